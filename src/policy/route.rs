//! The table that finds a request's rule: the first whose methods and paths match decides.
//!
//! Patterns are compiled into a tree of segments, so the cost of a look-up grows with the depth of the path and not with
//! the number of rules; no expression is evaluated and nothing is allocated. What stands before the first `**` of a
//! pattern is the way down the tree; the rest of it hangs at the node as a tail.
//!
//! May touch: nothing. Trust boundary: the path and method are a stranger's; every node is visited at most once for a
//! path and a tail costs at most its parts times the path's segments.

use std::collections::BTreeMap;

use http::Method;

use super::method_set::MethodSet;
use super::pattern::{Part, Pattern, Segments, parts_match, segments};

/// Finds the index of the first matching rule.
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    root: Node,
    methods: Vec<MethodSet>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<Box<str>, Node>,
    globs: Vec<(Part, Node)>,
    /// Rules whose pattern ends here, in order.
    ends: Vec<usize>,
    /// Rules whose pattern goes on with `**`, in order.
    tails: Vec<(Box<[Part]>, usize)>,
}

impl RouteTable {
    /// Adds the next rule.
    pub(super) fn push(&mut self, methods: MethodSet, patterns: &[Pattern]) {
        let rule = self.methods.len();
        self.methods.push(methods);
        for pattern in patterns {
            self.root.insert(pattern.parts(), rule);
        }
    }

    /// The first rule that matches, or none.
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<usize> {
        let mut best = Best { methods: &self.methods, method, rule: None };
        self.root.look_up(segments(path), &mut best);
        best.rule
    }
}

/// The earliest rule found so far.
struct Best<'a> {
    methods: &'a [MethodSet],
    method: &'a Method,
    rule: Option<usize>,
}

impl Best<'_> {
    fn could_take(&self, rule: usize) -> bool {
        self.rule.is_none_or(|best| rule < best)
            && self.methods.get(rule).is_some_and(|methods| methods.contains(self.method))
    }
}

impl Node {
    fn insert(&mut self, parts: &[Part], rule: usize) {
        match parts {
            [] => self.ends.push(rule),
            [Part::Rest, ..] => self.tails.push((parts.into(), rule)),
            [Part::Literal(text), after @ ..] => self.literals.entry(text.clone()).or_default().insert(after, rule),
            [glob, after @ ..] => self.glob(glob).insert(after, rule),
        }
    }

    fn glob(&mut self, glob: &Part) -> &mut Node {
        let at = self.globs.iter().position(|(known, _)| known == glob).unwrap_or_else(|| {
            self.globs.push((glob.clone(), Node::default()));
            self.globs.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the position was found or made just above")]
        &mut self.globs[at].1
    }

    fn look_up(&self, path: Segments<'_>, best: &mut Best<'_>) {
        for (parts, rule) in &self.tails {
            if best.could_take(*rule) && parts_match(parts, path) {
                best.rule = Some(*rule);
            }
        }
        let mut rest = path;
        let Some(segment) = rest.next() else {
            for rule in &self.ends {
                if best.could_take(*rule) {
                    best.rule = Some(*rule);
                }
            }
            return;
        };
        if let Some(node) = self.literals.get(segment) {
            node.look_up(rest, best);
        }
        for (glob, node) in &self.globs {
            if glob.matches(segment) {
                node.look_up(rest, best);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rules: &[(&[&str], &[Method])]) -> RouteTable {
        let mut table = RouteTable::default();
        for (patterns, methods) in rules {
            let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
            let methods = if methods.is_empty() { MethodSet::usual() } else { MethodSet::named(methods.to_vec()) };
            table.push(methods, &patterns);
        }
        table
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let table = table(&[
            (&["/a/*"], &[]),
            (&["/a/b", "/c/**"], &[]),
            (&["/**"], &[Method::GET]),
            (&["/c/d"], &[Method::PUT]),
        ]);
        let find = |method, path| table.find(&method, path);
        assert_eq!(find(Method::GET, "/a/b"), Some(0));
        assert_eq!(find(Method::GET, "/c"), Some(1));
        assert_eq!(find(Method::PUT, "/c/d"), Some(1));
        assert_eq!(find(Method::HEAD, "/x/y"), Some(2));
        assert_eq!(find(Method::POST, "/x/y"), None);
    }

    #[test]
    fn p06_a_method_that_no_rule_names_matches_nothing() {
        let table = table(&[(&["/**"], &[])]);
        assert_eq!(table.find(&Method::from_bytes(b"PROPFIND").unwrap(), "/"), None);
        assert_eq!(table.find(&Method::TRACE, "/"), None);
    }
}
