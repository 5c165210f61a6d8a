//! What the demonstration prints when everything runs: what to open, whom to sign in as, what to expect.

use crate::provider::Person;

/// What there is to tell.
pub(crate) struct Banner<'a> {
    /// The royalty system's address in front of the gateway.
    pub(crate) royalty: &'a str,
    /// The archives' address in front of the gateway.
    pub(crate) archives: &'a str,
    /// The provider's issuer.
    pub(crate) issuer: &'a str,
    /// The royalty system's own address, without the gateway.
    pub(crate) unguarded: &'a str,
    /// Who can sign in.
    pub(crate) people: &'a [Person],
}

impl Banner<'_> {
    /// The text, several lines without a line end at the last.
    pub(crate) fn text(&self) -> String {
        let Self { royalty, archives, issuer, unguarded, .. } = self;
        let width = |text: fn(&Person) -> &str| self.people.iter().map(|person| text(person).len()).max().unwrap_or(0);
        let (user, password) = (width(|person| &person.user), width(|person| &person.password));
        let people = self
            .people
            .iter()
            .map(|person| format!("    {:user$}   {:password$}   {}\n", person.user, person.password, person.note));
        let people: String = people.collect();
        format!(
            "\nLychgate demonstration: everything runs in this process, on loopback, and is forgotten at the end.\n\
             \n  Open in a browser\n\
             \x20   {royalty}/   the royalty system of GMR Records\n\
             \x20   {archives}/   its archives; sign in to one and you are signed in to both\n\
             \n  Sign in as\n{people}\
             \x20   After the password a six-digit code is asked for; the page shows it.\n\
             \n  Then try\n\
             \x20   {royalty}/admin/payouts   payouts: only for otis\n\
             \x20   {archives}/downloads/masters/GMR-1544.wav   a master, half a gigabyte: only for zoe\n\
             \x20   {unguarded}/statements   the same application without the gateway: it believes any header,\n\
             \x20       curl -H 'X-Remote-User: ada' {unguarded}/statements\n\
             \x20   and through the gateway nobody can forge one:\n\
             \x20       curl -i -H 'X-Remote-User: ada' {royalty}/statements\n\
             \n  Also here\n\
             \x20   {issuer}/   the development provider\n\
             \x20   policies/royalty.toml, policies/archives.toml   who may do what, and what the applications are told\n\
             \n  Ctrl-C stops everything."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_and_every_address_is_named() {
        let people = crate::people::people();
        let banner = Banner {
            royalty: "http://royalty.localhost:1",
            archives: "http://archives.localhost:1",
            issuer: "http://login.localhost:2",
            unguarded: "http://127.0.0.1:3",
            people: &people,
        };
        let text = banner.text();
        for person in &people {
            let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{} ", person.user)));
            assert!(line.is_some_and(|line| line.contains(&person.password) && line.contains(&person.note)));
        }
        for address in [banner.royalty, banner.archives, banner.issuer, banner.unguarded] {
            assert!(text.contains(&format!("{address}/")), "{address}");
        }
    }
}
