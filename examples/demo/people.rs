//! The people of the demonstration: invented, one for each thing that a policy can decide.

use crate::provider::Person;

/// Everybody who can sign in, with a note on what to try as them.
pub(crate) fn people() -> Vec<Person> {
    vec![
        person("ada", "Ada Marlowe", &["royalty-artists"], "artist: her royalty statements, no payouts, no archives"),
        person(
            "otis",
            "Otis Penhale",
            &["royalty-admins", "archive-readers"],
            "accounts: all statements, approves payouts; reads the archives",
        ),
        person(
            "zoe",
            "Zoë Lindqvist",
            &["archive-readers", "archive-curators"],
            "curator: the archives with their masters, no royalties",
        ),
        person("sam", "Sam Quill", &[], "new here: signs in, and may see nothing yet"),
    ]
}

fn person(user: &str, name: &str, groups: &[&str], note: &str) -> Person {
    Person {
        user: user.into(),
        password: format!("{user}-demo"),
        name: name.into(),
        email: format!("{user}@gmr.example"),
        email_verified: true,
        groups: groups.iter().map(|group| (*group).into()).collect(),
        note: note.into(),
    }
}
