//! The table that finds a request's rule: the first whose methods, paths and other selectors match decides.
//!
//! The cost of a look-up grows with the depth of the path and not with the number of rules; no expression is evaluated and
//! nothing is allocated. What else a rule selects by is asked only of rules whose path and method match, and only while no
//! earlier one is found. Made by [`RouteTree::lay_out`](super::route_tree::RouteTree::lay_out).
//!
//! All nodes lie in one run of words, because with many policies each place of its own is one more wait for memory. A node is:
//!
//! ```text
//! length of its literal in bytes, the literal's words     as `Case` keeps and cuts them; nothing below a glob and at the root
//! number of tails, of ends, of slots, of globs
//! tails     an offer, and the place of the parts behind `**` from 1, 0 where nothing follows
//! ends      an offer
//! slots     a hash table of the literals below, by their tags: a tag, and where the literal's node lies, 0 where the slot is free
//! globs     the place of the glob, and where its node lies
//! ```
//!
//! May touch: nothing. Trust boundary: the path and method are a stranger's; every node is visited at most once for a
//! path, a tail costs at most its parts times the path's segments, and which slots are taken is an administrator's doing alone.

use http::Method;

use super::case::Case;
use super::method_set::{self, MethodSet};
use super::pattern::{Part, Segments, parts_match, segments};
use super::route_tree::RouteRule;

/// Finds the index of the first matching rule.
#[derive(Debug)]
pub(super) struct RouteTable {
    words: Box<[u32]>,
    side: Box<Side>,
    case: Case,
    observes: bool,
}

/// What only some look-ups need.
#[derive(Debug)]
pub(super) struct Side {
    /// All globs.
    pub(super) globs: Box<[Part]>,
    /// All that follows a `**`.
    pub(super) rests: Box<[Box<[Part]>]>,
    /// The methods of each rule.
    pub(super) methods: Box<[MethodSet]>,
}

/// Which rules a request matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The first that decides.
    pub(super) decides: Option<usize>,
    /// The first that observes, where it stands before the one that decides.
    pub(super) observes: Option<usize>,
}

/// A rule where one of its patterns leads to: its place in the upper half, then the bits of its usual methods, then flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer(u32);

const OBSERVES: u32 = 1;
const SELECTS: u32 = 2;
/// It names methods for which there are no bits.
const UNUSUAL: u32 = 4;

impl Offer {
    /// What the table says of the rule at `place`.
    pub(super) fn new(place: usize, route: &RouteRule) -> Self {
        let flags = [(route.observes, OBSERVES), (route.selects, SELECTS), (route.methods.has_unusual(), UNUSUAL)];
        let flags = flags.into_iter().filter(|(is, _)| *is).fold(0, |all, (_, flag)| all | flag);
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        Self(u32::from(place) << 16 | u32::from(route.methods.usual_bits()) << 8 | flags)
    }

    /// As it stands in the table.
    pub(super) fn word(self) -> u32 {
        self.0
    }

    /// The rule's place.
    pub(super) fn rule(self) -> usize {
        (self.0 >> 16) as usize
    }

    /// Whether the rule selects by anything besides methods and paths.
    pub(super) fn selects(self) -> bool {
        self.0 & SELECTS != 0
    }

    fn observes(self) -> bool {
        self.0 & OBSERVES != 0
    }
}

impl RouteTable {
    /// A table of these words, the first of which are the root.
    pub(super) fn new(words: Box<[u32]>, side: Side, case: Case, observes: bool) -> Self {
        Self { words, side: Box::new(side), case, observes }
    }

    /// The methods of a rule.
    pub(super) fn methods(&self, rule: usize) -> Option<&MethodSet> {
        self.side.methods.get(rule)
    }

    /// Whether any rule observes.
    pub(super) fn observes(&self) -> bool {
        self.observes
    }

    /// The first rules that match; `accepts` tells whether a rule's other selectors do.
    pub(super) fn find(&self, method: &Method, path: &str, accepts: impl Fn(Offer) -> bool) -> Found {
        let bit = method_set::bit(method).unwrap_or_default();
        let mut search = Search { table: self, method, bit: bit.into(), accepts, found: Found::default() };
        if let Some((_, root)) = self.node(0) {
            search.look_up(&root, segments(path));
        }
        let Found { decides, observes } = search.found;
        Found { decides, observes: observes.filter(|observing| decides.is_none_or(|deciding| *observing < deciding)) }
    }

    /// The node at this place, and its literal's length and words.
    fn node(&self, at: u32) -> Option<((u32, &[u32]), Node<'_>)> {
        let (length, words) = self.words.get(at as usize..)?.split_first()?;
        let (literal, words) = words.split_at_checked(length.div_ceil(4) as usize)?;
        let (&[tails, ends, slots, globs], words) = words.split_first_chunk()?;
        let (tails, words) = words.split_at_checked(tails as usize * 2)?;
        let (ends, words) = words.split_at_checked(ends as usize)?;
        let (slots, words) = words.split_at_checked(slots as usize * 2)?;
        let globs = words.get(..globs as usize * 2)?;
        let node = Node { tails: tails.as_chunks().0, ends, slots: slots.as_chunks().0, globs: globs.as_chunks().0 };
        Some(((*length, literal), node))
    }

    /// The node below the one with these slots that `segment` leads to.
    fn child(&self, slots: &[[u32; 2]], segment: &str) -> Option<Node<'_>> {
        if slots.is_empty() {
            return None;
        }
        let tag = self.case.tag(segment);
        let mut slot = first_slot(tag, slots.len());
        // A table is never full, so a free slot ends this.
        loop {
            let &[known, below] = slots.get(slot)?;
            if below == 0 {
                return None;
            }
            if known == tag
                && let Some(child) = self.node_of(below, segment)
            {
                return Some(child);
            }
            slot = next_slot(slot, slots.len());
        }
    }

    /// The node at this place, if its literal is `segment`.
    fn node_of(&self, at: u32, segment: &str) -> Option<Node<'_>> {
        let ((length, literal), node) = self.node(at)?;
        let is_it = length as usize == segment.len() && self.case.words(segment).eq(literal.iter().copied());
        is_it.then_some(node)
    }
}

/// Where the search for a tag begins among so many slots, a power of two.
pub(super) fn first_slot(tag: u32, slots: usize) -> usize {
    tag as usize & slots.wrapping_sub(1)
}

/// The slot behind this one.
pub(super) fn next_slot(slot: usize, slots: usize) -> usize {
    (slot + 1) & slots.wrapping_sub(1)
}

/// A node as it lies in the table.
struct Node<'t> {
    tails: &'t [[u32; 2]],
    ends: &'t [u32],
    slots: &'t [[u32; 2]],
    globs: &'t [[u32; 2]],
}

/// A look-up under way, and the earliest rules found so far.
struct Search<'a, A> {
    table: &'a RouteTable,
    method: &'a Method,
    /// The method's bit among the usual ones, none where it is another.
    bit: u32,
    accepts: A,
    found: Found,
}

impl<A: Fn(Offer) -> bool> Search<'_, A> {
    fn look_up(&mut self, node: &Node<'_>, path: Segments<'_>) {
        let table = self.table;
        for &[offer, rest] in node.tails {
            self.offer(Offer(offer), || rest == 0 || table.rest_matches(rest, path));
        }
        let mut rest = path;
        let Some(segment) = rest.next() else {
            for offer in node.ends {
                self.offer(Offer(*offer), || true);
            }
            return;
        };
        if let Some(child) = table.child(node.slots, segment) {
            self.look_up(&child, rest);
        }
        for &[glob, below] in node.globs {
            let matches = table.side.globs.get(glob as usize).is_some_and(|glob| glob.matches(segment, table.case));
            if matches && let Some((_, child)) = table.node(below) {
                self.look_up(&child, rest);
            }
        }
    }

    /// Takes a rule if it is earlier than what was found; `path_matches` is asked last but for the rule's selectors.
    fn offer(&mut self, offer: Offer, path_matches: impl FnOnce() -> bool) {
        let best = if offer.observes() { self.found.observes } else { self.found.decides };
        if best.is_none_or(|best| offer.rule() < best)
            && self.has_method(offer)
            && path_matches()
            && (self.accepts)(offer)
        {
            let best = if offer.observes() { &mut self.found.observes } else { &mut self.found.decides };
            *best = Some(offer.rule());
        }
    }

    fn has_method(&self, offer: Offer) -> bool {
        if self.bit != 0 {
            return offer.0 >> 8 & self.bit != 0;
        }
        offer.0 & UNUSUAL != 0 && self.table.methods(offer.rule()).is_some_and(|methods| methods.contains(self.method))
    }
}

impl RouteTable {
    /// Whether what follows a `**`, at this place from 1, matches all of `path`.
    fn rest_matches(&self, rest: u32, path: Segments<'_>) -> bool {
        let parts = self.side.rests.get((rest as usize).wrapping_sub(1));
        parts.is_some_and(|parts| parts_match(parts, path, self.case))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::route_tree::RouteTree;
    use super::*;
    use crate::policy::pattern::Pattern;

    fn table(rules: &[(&[&str], &[Method])]) -> RouteTable {
        let mut tree = RouteTree::new(Case::Matters);
        for (patterns, methods) in rules {
            let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text, Case::Matters).unwrap()).collect();
            let methods = if methods.is_empty() { MethodSet::usual() } else { MethodSet::named(methods.to_vec()) };
            tree.push(RouteRule { methods, observes: false, selects: true }, &patterns);
        }
        tree.lay_out()
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let table = table(&[
            (&["/a/*"], &[]),
            (&["/a/b", "/c/**"], &[]),
            (&["/**"], &[Method::GET]),
            (&["/c/d"], &[Method::PUT]),
        ]);
        let find = |method, path| table.find(&method, path, |_| true).decides;
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
        let find = |path: &str| table.find(&Method::GET, path, |_| true).decides;
        for (rule, text) in texts.iter().enumerate() {
            assert_eq!((find(text), find(&format!("{text}c"))), (Some(rule), None), "{text}");
        }
        assert_eq!(find("/abc"), None);
    }

    #[test]
    fn p04_texts_with_the_same_tag_are_told_apart() {
        // Found by trying: so far from each other that nothing else has their tag.
        let mut known = std::collections::HashMap::new();
        let (one, other) = (0..)
            .find_map(|number: u32| {
                let text = format!("{number:x}");
                Some((known.insert(Case::Matters.tag(&text), text.clone())?, text))
            })
            .unwrap();
        assert_eq!(Case::Matters.tag(&one), Case::Matters.tag(&other));
        let (one, other) = (format!("/{one}"), format!("/{other}"));
        let find = |table: &RouteTable, path: &str| table.find(&Method::GET, path, |_| true).decides;
        let both = table(&[(&[&one], &[]), (&[&other], &[])]);
        assert_eq!((find(&both, &one), find(&both, &other)), (Some(0), Some(1)));
        assert_eq!(find(&table(&[(&[&one], &[])]), &other), None);
    }

    #[test]
    fn p06_a_method_that_no_rule_names_matches_nothing() {
        let table = table(&[(&["/**"], &[])]);
        assert_eq!(table.find(&Method::from_bytes(b"PROPFIND").unwrap(), "/", |_| true), Found::default());
        assert_eq!(table.find(&Method::TRACE, "/", |_| true), Found::default());
    }

    /// A rule as it is written, by which the table is judged.
    #[derive(Debug)]
    struct Written {
        patterns: Vec<Pattern>,
        methods: MethodSet,
        observes: bool,
        selects: bool,
    }

    fn written(case: Case) -> impl Strategy<Value = Written> {
        let pattern = prop_oneof![
            "(/([abA]{1,2}|[ab]?\\*[ab]?|\\*\\*)){1,4}",
            "/[ab]{3,9}(/\\*\\*)?",
            Just("/**".to_owned()),
            Just("/".to_owned()),
        ];
        let patterns = pattern.prop_filter_map("no pattern", move |text| Pattern::parse(&text, case).ok());
        let methods = prop::sample::subsequence(vec![Method::GET, Method::POST, Method::TRACE], 0..3);
        let methods =
            methods.prop_map(|some| if some.is_empty() { MethodSet::usual() } else { MethodSet::named(some) });
        (prop::collection::vec(patterns, 1..4), methods, prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(patterns, methods, observes, selects)| Written { patterns, methods, observes, selects })
    }

    fn agrees(rules: &[Written], case: Case, method: &Method, path: &str) -> Result<(), TestCaseError> {
        let mut tree = RouteTree::new(case);
        for rule in rules {
            let Written { methods, observes, selects, .. } = rule;
            let route = RouteRule { methods: methods.clone(), observes: *observes, selects: *selects };
            tree.push(route, &rule.patterns);
        }
        let table = tree.lay_out();
        let offered = |rule: &Written| {
            let matches = |pattern: &Pattern| parts_match(pattern.parts(), segments(path), case);
            rule.methods.contains(method) && rule.patterns.iter().any(matches)
        };
        // Once every selector accepts; once those that select refuse; once all are asked and none is taken.
        for refusing in [false, true] {
            let accepted = |rule: &Written| offered(rule) && !(refusing && rule.selects);
            let first = |observes| rules.iter().position(|rule| rule.observes == observes && accepted(rule));
            let decides = first(false);
            let observes = first(true).filter(|observing| decides.is_none_or(|deciding| *observing < deciding));
            let found = table.find(method, path, |offer| !(refusing && offer.selects()));
            prop_assert_eq!(found, Found { decides, observes }, "{} {} {:?}", method, path, rules);
        }
        let all = std::cell::RefCell::new(std::collections::BTreeSet::new());
        table.find(method, path, |offer| {
            all.borrow_mut().insert(offer.rule());
            false
        });
        let expected = rules.iter().enumerate().filter(|(_, rule)| offered(rule)).map(|(place, _)| place).collect();
        prop_assert_eq!(all.into_inner(), expected, "{} {} {:?}", method, path, rules);
        prop_assert_eq!(table.observes(), rules.iter().any(|rule| rule.observes));
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn p03_the_table_finds_what_the_rules_say(
            rules in prop::collection::vec(written(Case::Matters), 0..12),
            method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::TRACE, Method::CONNECT]),
            path in "(/[abAB]{1,3}){0,5}/?|/[ab]{3,9}(/b)?",
        ) {
            agrees(&rules, Case::Matters, &method, if path.is_empty() { "/" } else { &path })?;
        }

        #[test]
        fn p03_the_table_finds_what_the_rules_say_where_case_is_ignored(
            rules in prop::collection::vec(written(Case::Ignored), 0..12),
            path in "(/[abAB]{1,3}){0,5}/?|/[abAB]{3,9}(/B)?",
        ) {
            agrees(&rules, Case::Ignored, &Method::GET, if path.is_empty() { "/" } else { &path })?;
        }
    }
}
