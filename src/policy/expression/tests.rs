//! What expressions mean and what they refuse.

use super::*;

#[test]
fn an_unknown_name_is_found_when_compiling() {
    let mistakes = Expression::compile("usr.email == 'x'").unwrap_err();
    assert!(mistakes.iter().any(|mistake| mistake.help.as_deref() == Some("did you mean `user`?")), "{mistakes:?}");
}
