//! The methods that a rule answers for (P06): complete, with no method let through by being forgotten.
//!
//! `HEAD` follows `GET`. A rule that names no methods covers the seven that applications use; any other method is
//! covered only by a rule that names it, so an unknown method matches nothing and is denied.
//!
//! May touch: nothing. Trust boundary: the request's method is a stranger's. Specification: RFC 9110 section 9.

use std::fmt;

use http::Method;

/// What a rule without `methods` covers.
const USUAL: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A set of methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MethodSet {
    /// Those of the usual seven that it has, by their place: almost every request is settled here.
    usual: u8,
    /// All, in the order of the file.
    all: Box<[Method]>,
}

impl MethodSet {
    /// The usual seven.
    pub(super) fn usual() -> Self {
        Self::of(USUAL.into())
    }

    /// The named methods, with `HEAD` where `GET` is named.
    pub(super) fn named(mut methods: Vec<Method>) -> Self {
        if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
            methods.push(Method::HEAD);
        }
        Self::of(methods.into())
    }

    fn of(all: Box<[Method]>) -> Self {
        let usual = all.iter().filter_map(bit).fold(0, |bits, bit| bits | bit);
        Self { usual, all }
    }

    /// One of the methods.
    pub(super) fn first(&self) -> Option<&Method> {
        self.all.first()
    }

    /// The bits of the usual methods that it has.
    pub(super) fn usual_bits(&self) -> u8 {
        self.usual
    }

    /// Whether it has others.
    pub(super) fn has_unusual(&self) -> bool {
        self.all.iter().any(|method| bit(method).is_none())
    }

    /// Whether the set has `method`.
    pub(super) fn contains(&self, method: &Method) -> bool {
        match bit(method) {
            Some(bit) => self.usual & bit != 0,
            None => self.all.contains(method),
        }
    }

    /// All of them, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Method> {
        self.all.iter()
    }
}

/// A bit for each of the usual seven.
pub(super) fn bit(method: &Method) -> Option<u8> {
    USUAL.iter().position(|usual| usual == method).map(|place| 1 << place)
}

impl fmt::Display for MethodSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.all.iter().map(Method::as_str).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p06_head_follows_get() {
        assert!(MethodSet::named(vec![Method::GET]).contains(&Method::HEAD));
        assert!(!MethodSet::named(vec![Method::HEAD]).contains(&Method::GET));
        assert!(!MethodSet::named(vec![Method::POST]).contains(&Method::HEAD));
    }

    #[test]
    fn p06_unusual_methods_are_covered_only_when_named() {
        let report = Method::from_bytes(b"REPORT").unwrap();
        for method in [Method::TRACE, Method::CONNECT, report.clone(), Method::from_bytes(b"get").unwrap()] {
            assert!(!MethodSet::usual().contains(&method), "{method}");
        }
        assert!(MethodSet::named(vec![report.clone()]).contains(&report));
    }
}
