//! What an application is told about the person in front of it: a few request headers, believed as they are.
//!
//! Values are read as ISO 8859-1, one byte one letter, as servers of that age do. Nothing is verified, and
//! that is the point: whoever can send these headers is whoever they like.

use http::HeaderMap;

/// The person whom the headers name.
pub(super) struct Told {
    /// `X-Remote-User`.
    pub(super) user: String,
    /// `X-Remote-Name`, or else the user.
    pub(super) name: String,
    /// Whether `X-Royalty-Role` is `ADMIN`.
    pub(super) is_admin: bool,
    /// Whether `X-Remote-Groups` lists `archive-curators`.
    pub(super) is_curator: bool,
}

impl Told {
    /// Reads the headers; `None` when they name nobody.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).map(|value| latin1(value.as_bytes()));
        let user = text("x-remote-user").filter(|user| !user.is_empty())?;
        let groups = text("x-remote-groups").unwrap_or_default();
        Some(Self {
            name: text("x-remote-name").unwrap_or_else(|| user.clone()),
            is_admin: text("x-royalty-role").as_deref() == Some("ADMIN"),
            is_curator: groups.split(';').any(|group| group.trim() == "archive-curators"),
            user,
        })
    }
}

/// Every header line as name and text, in the order of arrival of the names.
pub(super) fn lines(headers: &HeaderMap) -> impl Iterator<Item = (&str, String)> {
    headers.iter().map(|(name, value)| (name.as_str(), latin1(value.as_bytes())))
}

/// Tells whether a header says who somebody is.
pub(super) fn is_identity(name: &str) -> bool {
    name.starts_with("x-remote-") || name == "x-royalty-role"
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[(&'static str, &[u8])]) -> Option<Told> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        Told::read(&headers)
    }

    #[test]
    fn without_a_user_there_is_nobody() {
        assert!(told(&[("x-remote-name", b"Ada")]).is_none());
        assert!(told(&[("x-remote-user", b"")]).is_none());
    }

    #[test]
    fn headers_are_believed_as_latin1() {
        let zoe = told(&[("x-remote-user", b"zoe"), ("x-remote-name", b"Zo\xeb")]).unwrap();
        assert_eq!((&*zoe.user, &*zoe.name, zoe.is_admin), ("zoe", "Zoë", false));
        let otis = told(&[("x-remote-user", b"otis"), ("x-royalty-role", b"ADMIN")]).unwrap();
        assert_eq!((&*otis.name, otis.is_admin), ("otis", true));
    }

    #[test]
    fn a_group_counts_only_whole() {
        let curator = |groups| told(&[("x-remote-user", b"zoe"), ("x-remote-groups", groups)]).unwrap().is_curator;
        assert!(curator(b"archive-readers;archive-curators"));
        assert!(!curator(b"archive-readers;archive-curators-old"));
        assert!(!curator(b""));
    }
}
