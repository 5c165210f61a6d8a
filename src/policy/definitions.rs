//! Reads `[conditions]`, `[groups]` and `[header_sets.NAME]`: of a policy and of the files that it includes.
//!
//! All of them together are one set of names, in which every name is defined once. The order does not matter: conditions
//! are compiled in the order in which they need each other, and circles are refused. What only the policy's own file
//! defines and nothing uses is worth a warning; a shared file serves others too.
//!
//! May touch: secrets only through the caller's closure. Trust boundary: the files are an administrator's. Bound: 500
//! conditions, groups and header sets each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::compile::Environment;
use super::expression::{Alias, Expression, Kind, Named, names_in, unfit_name};
use super::header::Header;
use super::header_table::{self, SecretSource, report, warn};
use super::include::Included;
use super::reader::{Owner, Reading, Section, Text, Value};
use crate::diagnostic::Diagnostic;
use crate::reference;

/// The most definitions of one kind.
const MAX_DEFINITIONS: usize = 500;

/// The claim that holds groups where nothing else is said.
const GROUPS: &str = "groups";

/// What a policy can use by name.
pub(super) struct Definitions {
    /// Conditions and aliases of groups.
    pub(super) named: Arc<Named>,
    /// Header sets; none with mistakes.
    pub(super) header_sets: BTreeMap<Box<str>, Vec<Arc<Header>>>,
    /// Header sets with mistakes.
    pub(super) unsound_sets: BTreeSet<Box<str>>,
    /// What the policy's own file defines.
    own: Vec<Own>,
}

/// A definition of the policy's own file, which something should use.
struct Own {
    name: Box<str>,
    span: Range<usize>,
    what: What,
}

enum What {
    /// A condition or an alias, by its number.
    Named(&'static str, usize),
    HeaderSet,
}

/// One file with definitions, while it is read.
pub(super) struct Part<'d, 'r, 'f> {
    reading: &'r mut Reading<'f>,
    /// The file, where it is not the policy's own.
    included: Option<&'d Included>,
    claim: Option<Text<'d>>,
    groups: Option<Section<'d>>,
    conditions: Option<Section<'d>>,
    header_sets: Option<Section<'d>>,
}

impl<'d, 'r, 'f> Part<'d, 'r, 'f> {
    /// Takes the definitions out of a file in which nothing else may stand.
    pub(super) fn whole(mut top: Section<'d>, file: &'d Included, reading: &'r mut Reading<'f>) -> Self {
        let part = Self::take(&mut top, Some(file), reading);
        top.finish(part.reading);
        part
    }

    /// Takes the definitions out of a file's top level.
    pub(super) fn take(top: &mut Section<'d>, included: Option<&'d Included>, reading: &'r mut Reading<'f>) -> Self {
        Self {
            included,
            claim: top.text("groups_claim", reading),
            groups: top.section("groups", reading),
            conditions: top.section("conditions", reading),
            header_sets: top.section("header_sets", reading),
            reading,
        }
    }
}

/// The definitions of one kind, each name once.
struct Declared<'d> {
    part: usize,
    name: Text<'d>,
    value: &'d Value<'d>,
}

/// Compiles the definitions of all files, of which the policy's own is the last.
pub(super) fn compile(parts: &mut [Part<'_, '_, '_>], environment: &Environment<'_>) -> Definitions {
    let mut own = Vec::new();
    let groups = declared(parts, "group", |part| part.groups.as_ref());
    let mut named = Named::default();
    read_groups(&groups, parts, &mut named, &mut own);
    let conditions = declared(parts, "condition", |part| part.conditions.as_ref());
    read_conditions(&conditions, parts, &mut named, &mut own);
    let named = Arc::new(named);
    parts.iter_mut().for_each(|part| part.reading.know(&named));
    let sets = declared(parts, "header set", |part| part.header_sets.as_ref());
    let mut definitions = Definitions { named, header_sets: BTreeMap::new(), unsound_sets: BTreeSet::new(), own };
    read_header_sets(&sets, parts, environment, &mut definitions);
    definitions
}

/// All definitions of a kind, in the order of the files; a second one of the same name is an error that shows both places.
fn declared<'d>(
    parts: &mut [Part<'d, '_, '_>],
    what: &str,
    section: impl for<'p> Fn(&'p Part<'d, '_, '_>) -> Option<&'p Section<'d>>,
) -> Vec<Declared<'d>> {
    let mut all: Vec<Declared<'d>> = Vec::new();
    let mut places: BTreeMap<&'d str, String> = BTreeMap::new();
    for (index, part) in parts.iter_mut().enumerate() {
        for (name, value) in section(part).map(Section::in_order).unwrap_or_default() {
            if all.len() == MAX_DEFINITIONS {
                let help = "share only what several applications use";
                part.reading.error(
                    format!("there are more than {MAX_DEFINITIONS} definitions of this kind"),
                    name.span,
                    help,
                );
                return all;
            }
            if let Some(place) = places.get(name.text) {
                let message = format!("{what} `{}` is already defined at {place}", name.text);
                part.reading.error(message, name.span, "give one of them another name");
                continue;
            }
            let file = part.reading.file().path().display();
            places.insert(name.text, format!("{file}:{}", part.reading.line(name.span.start)));
            all.push(Declared { part: index, name, value });
        }
    }
    all
}

/// Whether a name can be a group's or a header set's.
fn check_label(name: &Text<'_>, what: &str, reading: &mut Reading<'_>) {
    if name.text.is_empty() || name.text.len() > 100 || name.text.contains(char::is_control) {
        let help = "1 to 100 bytes without control characters";
        reading.error(format!("this is no name for a {what}"), name.span.clone(), help);
    }
}

fn read_groups(declared: &[Declared<'_>], parts: &mut [Part<'_, '_, '_>], named: &mut Named, own: &mut Vec<Own>) {
    let claims: Vec<_> = parts.iter_mut().map(read_claim).collect();
    let usual = claims.last().cloned().flatten().unwrap_or_else(|| Box::new([GROUPS.into()]));
    for Declared { part: index, name, value } in declared {
        let claim = claims.get(*index).cloned().flatten().unwrap_or_else(|| usual.clone());
        let Some(part) = parts.get_mut(*index) else { continue };
        check_label(name, "group", part.reading);
        let groups = read_members(name, value, part.reading);
        let id = named.add_alias(name.text, Alias { claim, groups });
        if part.included.is_none() {
            own.push(Own::new(name, What::Named("group", id)));
        }
    }
}

/// The claim that holds the groups of a file.
fn read_claim(part: &mut Part<'_, '_, '_>) -> Option<Box<[Box<str>]>> {
    let text = part.claim.as_ref()?;
    let compiled = Expression::compile(text.text, &Named::default());
    let expression = compiled.map_err(|mistakes| report(mistakes, text, part.reading)).ok()?;
    let path = expression.claim_path().map(Into::into);
    if path.is_none() {
        let help =
            "groups_claim = \"user.roles\", \"user.realm_access.roles\" or \"user['https://gmr.example/roles']\"";
        part.reading.error("`groups_claim` names no claim", text.span.clone(), help);
    }
    path
}

fn read_members(name: &Text<'_>, value: &Value<'_>, reading: &mut Reading<'_>) -> BTreeSet<Box<str>> {
    let texts = reading.texts(value, name.text);
    let help = "the provider's names or ids of the groups: [\"royalty-admins\", \"0f3c6c8e-…\"]";
    if texts.as_ref().is_some_and(|texts| texts.is_empty()) {
        reading.error(format!("group `{}` has no groups of the provider", name.text), value.span(), help);
    }
    let mut members = BTreeSet::new();
    for text in texts.unwrap_or_default() {
        if text.text.trim() != text.text || text.text.is_empty() {
            reading.error("a group's name is empty, or begins or ends with a space", text.span.clone(), help);
        } else if !members.insert(text.text.into()) {
            let message = format!("`{}` stands in group `{}` twice", text.text, name.text);
            reading.push(Diagnostic::warning(message).help("remove one"), text.span.clone());
        }
    }
    members
}

fn read_conditions(declared: &[Declared<'_>], parts: &mut [Part<'_, '_, '_>], named: &mut Named, own: &mut Vec<Own>) {
    let mut open: Vec<Wanted<'_, '_>> = Vec::new();
    for condition in declared {
        let Some(part) = parts.get_mut(condition.part) else { continue };
        if let Some((message, help)) = unfit_name(condition.name.text) {
            part.reading.error(message, condition.name.span.clone(), help);
            named.add_unsound(condition.name.text);
            continue;
        }
        match part.reading.text(condition.value, condition.name.text) {
            Some(text) => open.push(Wanted { condition, needs: names_in(text.text), text }),
            None => named.add_unsound(condition.name.text),
        }
    }
    let names: BTreeSet<&str> = open.iter().map(|wanted| wanted.condition.name.text).collect();
    for wanted in &mut open {
        wanted.needs.retain(|need| names.contains(&**need));
    }
    // Each turn compiles what needs nothing that is still open; what stays stands in a circle or behind one.
    loop {
        let still: BTreeSet<Box<str>> = open.iter().map(|wanted| wanted.condition.name.text.into()).collect();
        let (ready, waiting): (Vec<_>, Vec<_>) = open.into_iter().partition(|wanted| wanted.needs.is_disjoint(&still));
        open = waiting;
        if ready.is_empty() {
            break;
        }
        for wanted in ready {
            wanted.compile(parts, named, own);
        }
    }
    open.iter().for_each(|wanted| named.add_unsound(wanted.condition.name.text));
    report_circles(&open, parts);
}

/// A condition that is to be compiled, and the conditions that it names.
struct Wanted<'c, 'd> {
    condition: &'c Declared<'d>,
    text: Text<'d>,
    needs: BTreeSet<Box<str>>,
}

impl Wanted<'_, '_> {
    fn compile(&self, parts: &mut [Part<'_, '_, '_>], named: &mut Named, own: &mut Vec<Own>) {
        let Some(part) = parts.get_mut(self.condition.part) else { return };
        let name = &self.condition.name;
        part.reading.know(&Arc::default());
        part.reading.own(Some(Owner::Condition(name.text.into())));
        let expression = read_expression("a condition", &self.text, named, part.reading);
        part.reading.own(None);
        match expression {
            Some(expression) => {
                let id = named.add_condition(name.text, self.text.text, expression);
                if part.included.is_none() {
                    own.push(Own::new(name, What::Named("condition", id)));
                }
            }
            None => named.add_unsound(name.text),
        }
    }
}

/// Each circle once, at the first of its conditions.
fn report_circles(open: &[Wanted<'_, '_>], parts: &mut [Part<'_, '_, '_>]) {
    let find = |name: &str| open.iter().find(|wanted| wanted.condition.name.text == name);
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for start in open {
        let mut way = vec![start];
        // Everything open needs something open, so the way ends where it meets itself.
        while let Some(next) = way.last().and_then(|last| last.needs.iter().find_map(|need| find(need))) {
            let met = way.iter().position(|wanted| std::ptr::eq(*wanted, next));
            way.push(next);
            if met == Some(0) {
                let names: Vec<&str> = way.iter().map(|wanted| wanted.condition.name.text).collect();
                if names.iter().any(|name| told.contains(name)) {
                    break;
                }
                told.extend(&names);
                if let Some(part) = parts.get_mut(start.condition.part) {
                    let message = format!("conditions need each other in a circle: `{}`", names.join("` → `"));
                    let help = "let one of them stand by itself";
                    part.reading.error(message, start.condition.name.span.clone(), help);
                }
            }
            if met.is_some() {
                break;
            }
        }
    }
}

/// Compiles an expression that is true or false; `key` is what it stands under.
pub(super) fn read_expression(
    key: &str,
    text: &Text<'_>,
    named: &Named,
    reading: &mut Reading<'_>,
) -> Option<Expression> {
    if text.text.starts_with("${") {
        let help = format!("{key} is an expression by itself: leave `${{` and `}}` away");
        reading.error(format!("{key} does not take `${{…}}`"), text.span.clone(), help);
        return None;
    }
    let compiled = Expression::compile(text.text, named);
    let expression = compiled.map_err(|mistakes| report(mistakes, text, reading)).ok()?;
    for warning in expression.warnings() {
        warn(warning, reading.inside(text, warning.range.clone()), reading);
    }
    if let Some(kind) = expression.kind().filter(|kind| *kind != Kind::Bool) {
        let help = "compare it: user.email == 'ada@gmr.example', 'staff' in user.groups";
        reading.error(format!("{key} needs true or false, this is {kind}"), text.span.clone(), help);
        return None;
    }
    reading.note_claims(text, expression.places().iter().map(|(claim, place)| (&**claim, place.clone())));
    Some(expression)
}

fn read_header_sets(
    declared: &[Declared<'_>],
    parts: &mut [Part<'_, '_, '_>],
    environment: &Environment<'_>,
    definitions: &mut Definitions,
) {
    for Declared { part: index, name, value } in declared {
        let Some(part) = parts.get_mut(*index) else { continue };
        let (reading, included) = (&mut *part.reading, part.included);
        check_label(name, "header set", reading);
        let Some(section) = reading.section(value, name.text, &reference::policy::HEADERS) else {
            definitions.unsound_sets.insert(name.text.into());
            continue;
        };
        let secrets = |source: &SecretSource| match included {
            Some(included) => included.secret(source, environment),
            None => (environment.secrets)(source),
        };
        let environment = Environment { secrets: &secrets, ..*environment };
        reading.own(Some(Owner::HeaderSet(name.text.into())));
        let headers = header_table::read(&section, &environment, reading);
        reading.own(None);
        if included.is_none() {
            definitions.own.push(Own::new(name, What::HeaderSet));
        }
        definitions.header_sets.insert(name.text.into(), headers.into_iter().map(Arc::new).collect());
    }
}

impl Own {
    fn new(name: &Text<'_>, what: What) -> Self {
        Self { name: name.text.into(), span: name.span.clone(), what }
    }
}

impl Definitions {
    /// Warns of what the policy itself defines and nothing uses.
    pub(super) fn warn_of_unused(&self, uses: &Uses, reading: &mut Reading<'_>) {
        for own in &self.own {
            let (used, what) = match &own.what {
                What::Named(what, id) => (uses.named.contains(id), *what),
                What::HeaderSet => (uses.header_sets.contains(&own.name), "header set"),
            };
            if !used {
                let message = format!("nothing uses {what} `{}`", own.name);
                let help = "remove it, or put it into a file that several policies include";
                reading.push(Diagnostic::warning(message).help(help), own.span.clone());
            }
        }
    }
}

/// Which definitions the rules and headers of a policy use.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Conditions and aliases, by number.
    pub(super) named: BTreeSet<usize>,
    /// Header sets.
    pub(super) header_sets: BTreeSet<Box<str>>,
}

impl Uses {
    /// Whether what stands in `owner` is used.
    pub(super) fn include(&self, owner: Option<&Owner>, named: &Named) -> bool {
        match owner {
            None => true,
            Some(Owner::HeaderSet(name)) => self.header_sets.contains(name),
            Some(Owner::Condition(name)) => self
                .named
                .iter()
                .filter_map(|id| named.get(*id))
                .any(|used| used.expression().is_some() && used.name() == &**name),
        }
    }
}
