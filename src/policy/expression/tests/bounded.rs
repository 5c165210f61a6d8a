//! What an evaluation costs, whatever claims and requests hold.

use cel::context::VariableResolver;

use super::super::scope::{Scope, Shared};
use super::*;

fn people(count: usize) -> String {
    let many: Vec<String> = (0..count).map(|number| format!("\"group-{number}\"")).collect();
    format!(
        r#"{{"groups": [{groups}], "nested": [[{groups}]], "s": "{}"}}"#,
        "x".repeat(16_000),
        groups = many.join(",")
    )
}

#[test]
fn what_is_copied_is_weighed_to_its_depth() {
    let too_much = [
        "size(user.groups.map(g, [user.groups])) > 0",
        "size(user.groups.map(g, {'a': [user.groups, user.groups]})) > 0",
        "size(user.groups.map(g, {'a': user.s})) > 0",
        "user.groups.exists(g, size([user.groups]) == 7)",
        "user.groups.exists(g, size({'a': user.groups}) == 7)",
        "user.groups.exists(g, user.nested.exists(n, false))",
        "user.groups.exists(g, user.nested.first() == [])",
        "user.groups.exists(g, (user.nested + user.nested).size() == 7)",
        "user.groups.exists(g, hasAny(user.nested, [[g]]))",
        "user.groups.exists(g, user.nested == [[g]])",
    ];
    let claims = people(1000);
    for text in too_much {
        let outcome = with_view(&claims, |view| compiled(text).test(view));
        assert!(matches!(&outcome, Err(Failure::Failed(why)) if why.contains("too")), "{text}: {outcome:?}");
    }
    let fine = [
        "size(user.groups.map(g, {'id': g, 'by': app})) == 1000",
        "user.groups.filter(g, g != '').size() == 1000",
        "user.groups.exists(g, g == request.params.view) || user.nested.exists(n, n.size() == 1000)",
        "{'a': user.groups, 'b': [user.groups, user.nested]}.size() == 2",
    ];
    for text in fine {
        assert_eq!(with_view(&claims, |view| compiled(text).test(view)), Ok(true), "{text}");
    }
}

#[test]
fn a_parameter_or_header_is_looked_up_once_in_an_evaluation() {
    with_view(ADA, |view| {
        let shared = Shared::default();
        let scope = Scope::new(view, &[], &shared);
        let other = scope.of(&[]);
        for variable in
            ["@value:params:view", "@value:params:x", "@value:headers:accept-language", "@value:params:view"]
        {
            let places = [&scope, &other].map(|scope| {
                let value = scope.resolve(variable).unwrap();
                assert!(value.is_borrowed(), "{variable} is lent, not read again");
                std::ptr::from_ref(value.as_ref()).cast::<()>()
            });
            assert_eq!(places[0], places[1], "{variable}");
        }
        assert!(scope.resolve("@value:params:other").is_none() && scope.resolve("@value:params:other").is_none());
    });
    assert_eq!(
        test("request.params.view == 'full page' && 'view' in request.params && !('other' in request.params)"),
        Ok(true)
    );
}
