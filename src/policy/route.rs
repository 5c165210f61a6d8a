//! The table that finds a request's rule: the first whose methods, paths and other selectors match decides.
//!
//! Patterns are compiled into a tree of segments, so the cost of a look-up grows with the depth of the path and not with
//! the number of rules; no expression is evaluated and nothing is allocated. What stands before the first `**` of a
//! pattern is the way down the tree; the rest of it hangs at the node as a tail. What else a rule selects by is asked only
//! of rules whose path and method match, and only while no earlier one is found.
//!
//! May touch: nothing. Trust boundary: the path and method are a stranger's; every node is visited at most once for a
//! path and a tail costs at most its parts times the path's segments.

use http::Method;

use super::case::Case;
use super::method_set::MethodSet;
use super::pattern::{Part, Pattern, Segments, parts_match, segments};

/// Finds the index of the first matching rule.
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    root: Node,
    rules: Vec<RouteRule>,
    observes: bool,
    case: Case,
}

/// What the table knows of a rule beside its patterns.
#[derive(Clone, Debug)]
pub(super) struct RouteRule {
    /// The methods that it is for.
    pub(super) methods: MethodSet,
    /// Whether it only observes.
    pub(super) observes: bool,
    /// Whether it selects by anything else, so that its selectors are to be asked.
    pub(super) selects: bool,
}

/// Which rules a request matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The first that decides.
    pub(super) decides: Option<usize>,
    /// The first that observes, where it stands before the one that decides.
    pub(super) observes: Option<usize>,
}

#[derive(Debug, Default)]
struct Node {
    /// The first bytes of each literal ([`Case::start`]), all in one place: a look-up that finds nothing reads these and no text.
    starts: Vec<u64>,
    /// In order of their text, and so of their starts.
    literals: Vec<(Box<str>, Node)>,
    globs: Vec<(Part, Node)>,
    /// Rules whose pattern ends here, in order.
    ends: Vec<usize>,
    /// Rules whose pattern goes on with `**`, in order; without parts where it ends there.
    tails: Vec<(Option<Box<[Part]>>, usize)>,
}

impl RouteTable {
    /// An empty table.
    pub(super) fn new(case: Case) -> Self {
        Self { case, ..Self::default() }
    }

    /// Adds the next rule.
    pub(super) fn push(&mut self, route: RouteRule, patterns: &[Pattern]) {
        let rule = self.rules.len();
        self.observes |= route.observes;
        self.rules.push(route);
        for pattern in patterns {
            self.root.insert(pattern.parts(), rule, self.case);
        }
    }

    /// The methods of a rule.
    pub(super) fn methods(&self, rule: usize) -> Option<&MethodSet> {
        self.rules.get(rule).map(|route| &route.methods)
    }

    /// Whether a rule selects by anything besides methods and paths.
    pub(super) fn selects(&self, rule: usize) -> bool {
        self.rules.get(rule).is_none_or(|route| route.selects)
    }

    /// Whether any rule observes.
    pub(super) fn observes(&self) -> bool {
        self.observes
    }

    /// The first rules that match; `accepts` tells whether a rule's other selectors do.
    pub(super) fn find(&self, method: &Method, path: &str, accepts: &dyn Fn(usize) -> bool) -> Found {
        let mut search = Search { table: self, method, accepts, found: Found::default() };
        self.root.look_up(segments(path), &mut search);
        let Found { decides, observes } = search.found;
        Found { decides, observes: observes.filter(|observing| decides.is_none_or(|deciding| *observing < deciding)) }
    }
}

/// A look-up under way, and the earliest rules found so far.
struct Search<'a> {
    table: &'a RouteTable,
    method: &'a Method,
    accepts: &'a dyn Fn(usize) -> bool,
    found: Found,
}

impl Search<'_> {
    /// Takes `rule` if it is earlier than what was found; `path_matches` is asked last but for the rule's selectors.
    fn offer(&mut self, rule: usize, path_matches: impl FnOnce() -> bool) {
        let Some(route) = self.table.rules.get(rule) else { return };
        let best = if route.observes { &mut self.found.observes } else { &mut self.found.decides };
        if best.is_none_or(|best| rule < best)
            && route.methods.contains(self.method)
            && path_matches()
            && (self.accepts)(rule)
        {
            *best = Some(rule);
        }
    }
}

impl Node {
    fn insert(&mut self, parts: &[Part], rule: usize, case: Case) {
        match parts {
            [] => self.ends.push(rule),
            [Part::Rest] => self.tails.push((None, rule)),
            [Part::Rest, ..] => self.tails.push((Some(parts.into()), rule)),
            [Part::Literal(text), after @ ..] => self.literal(text, case).insert(after, rule, case),
            [glob, after @ ..] => self.glob(glob).insert(after, rule, case),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the place was found or made just above")]
    fn literal(&mut self, text: &str, case: Case) -> &mut Node {
        let place = self.literals.binary_search_by(|(known, _)| case.order(known, text)).unwrap_or_else(|place| {
            self.starts.insert(place, case.start(text));
            self.literals.insert(place, (text.into(), Node::default()));
            place
        });
        &mut self.literals[place].1
    }

    #[expect(clippy::indexing_slicing, reason = "the place was found or made just above")]
    fn glob(&mut self, glob: &Part) -> &mut Node {
        let place = self.globs.iter().position(|(known, _)| known == glob).unwrap_or_else(|| {
            self.globs.push((glob.clone(), Node::default()));
            self.globs.len() - 1
        });
        &mut self.globs[place].1
    }

    /// The node below a literal.
    fn child(&self, segment: &str, case: Case) -> Option<&Node> {
        let start = case.start(segment);
        let first = self.starts.partition_point(|known| *known < start);
        let alike = self.starts.get(first..)?.iter().take_while(|known| **known == start).count();
        let alike = self.literals.get(first..first + alike)?;
        let place = alike.binary_search_by(|(known, _)| case.order(known, segment)).ok()?;
        alike.get(place).map(|(_, node)| node)
    }

    fn look_up(&self, path: Segments<'_>, search: &mut Search<'_>) {
        let case = search.table.case;
        for (parts, rule) in &self.tails {
            search.offer(*rule, || parts.as_ref().is_none_or(|parts| parts_match(parts, path, case)));
        }
        let mut rest = path;
        let Some(segment) = rest.next() else {
            for rule in &self.ends {
                search.offer(*rule, || true);
            }
            return;
        };
        if let Some(node) = self.child(segment, case) {
            node.look_up(rest, search);
        }
        for (glob, node) in &self.globs {
            if glob.matches(segment, case) {
                node.look_up(rest, search);
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
            let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text, Case::Matters).unwrap()).collect();
            let methods = if methods.is_empty() { MethodSet::usual() } else { MethodSet::named(methods.to_vec()) };
            table.push(RouteRule { methods, observes: false, selects: true }, &patterns);
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
        let find = |method, path| table.find(&method, path, &|_| true).decides;
        assert_eq!(find(Method::GET, "/a/b"), Some(0));
        assert_eq!(find(Method::GET, "/c"), Some(1));
        assert_eq!(find(Method::PUT, "/c/d"), Some(1));
        assert_eq!(find(Method::HEAD, "/x/y"), Some(2));
        assert_eq!(find(Method::POST, "/x/y"), None);
    }

    #[test]
    fn literals_that_begin_alike_are_told_apart() {
        let texts = ["/a", "/ab", "/abcdefgh", "/abcdefgha", "/abcdefghb", "/abcdefgh-", "/b", "/zzzzzzzzz", "/~"];
        let rules: Vec<(&[&str], &[Method])> = texts.iter().map(|text| (std::slice::from_ref(text), &[][..])).collect();
        let table = table(&rules);
        let find = |path: &str| table.find(&Method::GET, path, &|_| true).decides;
        for (rule, text) in texts.iter().enumerate() {
            assert_eq!((find(text), find(&format!("{text}c"))), (Some(rule), None), "{text}");
        }
        assert_eq!(find("/abc"), None);
    }

    #[test]
    fn p06_a_method_that_no_rule_names_matches_nothing() {
        let table = table(&[(&["/**"], &[])]);
        assert_eq!(table.find(&Method::from_bytes(b"PROPFIND").unwrap(), "/", &|_| true), Found::default());
        assert_eq!(table.find(&Method::TRACE, "/", &|_| true), Found::default());
    }
}
