//! The tree of patterns from which a [`RouteTable`] is laid out, when a policy is compiled.
//!
//! What stands before the first `**` of a pattern is the way down the tree; the rest of it hangs at the node as a tail. Requests
//! never see the tree: they see the table, in which all nodes lie in one piece of memory.
//!
//! May touch: nothing. Trust boundary: patterns are an administrator's. Bound: as large as the patterns, which are a file's.

use std::collections::BTreeMap;

use super::case::Case;
use super::compile::{MAX_FILE, MAX_RULES};
use super::method_set::MethodSet;
use super::pattern::{Part, Pattern};
use super::route::{Offer, RouteTable, Side, first_slot, next_slot};

// Every number of the table fits into its field: a rule's into 16 bits, a place's into 32, with a file of any contents.
const _: () = assert!(MAX_RULES < u16::MAX as usize && MAX_FILE < u32::MAX as usize / 64);

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

/// Rules by their patterns.
pub(super) struct RouteTree {
    root: Node,
    methods: Vec<MethodSet>,
    observes: bool,
    case: Case,
}

#[derive(Default)]
struct Node {
    /// By their text, which is kept as `case` wants it.
    literals: BTreeMap<Box<str>, Node>,
    globs: Vec<(Part, Node)>,
    /// Rules whose pattern ends here, in order.
    ends: Vec<Offer>,
    /// Rules whose pattern goes on with `**`, in order; without parts where it ends there.
    tails: Vec<(Option<Box<[Part]>>, Offer)>,
}

impl RouteTree {
    /// An empty tree.
    pub(super) fn new(case: Case) -> Self {
        Self { root: Node::default(), methods: Vec::new(), observes: false, case }
    }

    /// Adds the next rule.
    pub(super) fn push(&mut self, route: RouteRule, patterns: &[Pattern]) {
        let offer = Offer::new(self.methods.len(), &route);
        self.observes |= route.observes;
        self.methods.push(route.methods);
        for pattern in patterns {
            self.root.insert(pattern.parts(), offer);
        }
    }

    /// The table of these rules.
    pub(super) fn lay_out(self) -> RouteTable {
        let mut layout = Layout { case: self.case, words: Vec::new(), globs: Vec::new(), rests: Vec::new() };
        layout.node("", self.root);
        let Layout { words, globs, rests, .. } = layout;
        let side = Side { globs: globs.into(), rests: rests.into(), methods: self.methods.into() };
        RouteTable::new(words.into(), side, self.case, self.observes)
    }
}

impl Node {
    fn insert(&mut self, parts: &[Part], offer: Offer) {
        match parts {
            [] => self.ends.push(offer),
            [Part::Rest] => self.tails.push((None, offer)),
            [Part::Rest, ..] => self.tails.push((Some(parts.into()), offer)),
            [Part::Literal(text), after @ ..] => {
                self.literals.entry(text.clone()).or_default().insert(after, offer);
            }
            [glob, after @ ..] => self.glob(glob).insert(after, offer),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the place was found or made just above")]
    fn glob(&mut self, glob: &Part) -> &mut Node {
        let place = self.globs.iter().position(|(known, _)| known == glob).unwrap_or_else(|| {
            self.globs.push((glob.clone(), Node::default()));
            self.globs.len() - 1
        });
        &mut self.globs[place].1
    }
}

/// A table as it grows; the form of a node is told in `route`.
struct Layout {
    case: Case,
    words: Vec<u32>,
    globs: Vec<Part>,
    rests: Vec<Box<[Part]>>,
}

impl Layout {
    /// Lays out a node, whose literal is `text`, and then those below it; where it lies.
    fn node(&mut self, text: &str, node: Node) -> u32 {
        let at = word(self.words.len());
        let Node { literals, globs, ends, tails } = node;
        // At most half of the slots are taken, so hardly any search goes further than to the next.
        let slots = if literals.is_empty() { 0 } else { (literals.len() * 2).next_power_of_two() };

        self.words.push(word(text.len()));
        self.words.extend(self.case.words(text));
        self.words.extend([tails.len(), ends.len(), slots, globs.len()].map(word));
        for (parts, offer) in tails {
            let follows = parts.is_some();
            self.rests.extend(parts);
            self.words.extend([offer.word(), if follows { word(self.rests.len()) } else { 0 }]);
        }
        self.words.extend(ends.into_iter().map(Offer::word));
        let slots_at = self.words.len();
        let globs_at = slots_at + slots * 2;
        self.words.resize(globs_at + globs.len() * 2, 0);

        for (text, below) in literals {
            let tag = self.case.tag(&text);
            let below = self.node(&text, below);
            let mut slot = first_slot(tag, slots);
            while self.words.get(slots_at + slot * 2 + 1).is_some_and(|below| *below != 0) {
                slot = next_slot(slot, slots);
            }
            self.put(slots_at + slot * 2, [tag, below]);
        }
        for (place, (glob, below)) in globs.into_iter().enumerate() {
            let index = word(self.globs.len());
            self.globs.push(glob);
            let below = self.node("", below);
            self.put(globs_at + place * 2, [index, below]);
        }
        at
    }

    fn put(&mut self, at: usize, words: [u32; 2]) {
        self.words.iter_mut().skip(at).zip(words).for_each(|(place, word)| *place = word);
    }
}

/// A number of the table. All of them fit (see above); one that did not would lead nowhere.
fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
