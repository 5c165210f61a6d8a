//! The arguments of functions: how many, of what type, and literals that must be what they say.
//!
//! The third part of [`check`](super::check). Patterns, networks, zones and times are read here, once, and kept by the node that
//! they stand in; [`lower`](super::lower) puts them into the tree.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use jiff::tz::TimeZone;

use super::Kind;
use super::check::{Walk, claim_path, text_literal};
use super::constant::{Constant, Unusable};
use super::functions::{Argument, Function};
use super::lower::{any, parts};

impl<'a> Walk<'a> {
    /// Checks the arguments of a call; gives the type of its result.
    pub(super) fn arguments(
        &mut self,
        node: &'a IdedExpr,
        name: &str,
        function: &Function,
        call: &'a CallExpr,
    ) -> Option<Kind> {
        let (least, most, found) = (function.required, function.arguments.len(), call.args.len());
        if found < least || found > most {
            let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
            self.mistake(node, format!("`{name}()` takes {wanted} arguments, not {found}"), None);
        }
        for (given, wanted) in call.args.iter().zip(function.arguments) {
            self.argument(name, given, *wanted);
        }
        call.args.iter().skip(most).for_each(|argument| {
            self.kind(argument);
        });
        self.time(node, function, call);
        if function.name == "domainOf" && call.args.iter().any(|argument| self.may_be_of_email(argument)) {
            self.found.reads.claims.insert("email_verified".into());
        }
        function.returns
    }

    fn argument(&mut self, name: &str, given: &'a IdedExpr, wanted: Argument) {
        match wanted {
            Argument::Any => {
                self.kind(given);
            }
            Argument::Of(kind) => self.of_kind(name, given, &[kind]),
            Argument::Texts => {
                self.of_kind(name, given, &[Kind::List, Kind::Text]);
                if matches!(&given.expr, Expr::List(list) if list.elements.is_empty()) {
                    self.mistake(given, format!("`{name}()` of an empty list says nothing"), None);
                }
            }
            Argument::Pattern => self.literal(given, "a pattern", Constant::pattern),
            Argument::Zone => self.literal(given, "a time zone", Constant::zone),
            Argument::Networks => self.networks(given),
            Argument::Time(_) => self.of_kind(name, given, &[Kind::Text]),
        }
    }

    fn of_kind(&mut self, name: &str, given: &'a IdedExpr, wanted: &[Kind]) {
        let found = self.kind(given);
        if let (Some(found), Some(first)) = (found.filter(|found| !wanted.contains(found)), wanted.first()) {
            self.mistake(given, format!("`{name}()` needs {first}, this is {found}"), None);
        }
    }

    fn literal(&mut self, given: &'a IdedExpr, what: &str, read: impl FnOnce(&str) -> Result<Constant, Unusable>) {
        match text_literal(given) {
            Some(text) => self.keep(given, read(text)),
            None => {
                self.kind(given);
                self.mistake(given, format!("{what} must be a literal"), Some("write it in quotes".to_owned()));
            }
        }
    }

    fn networks(&mut self, given: &'a IdedExpr) {
        let texts: Option<Vec<_>> = match &given.expr {
            Expr::List(list) => list.elements.iter().map(|element| text_literal(element)).collect(),
            _ => text_literal(given).map(|text| vec![text]),
        };
        match texts {
            Some(texts) if texts.is_empty() => self.mistake(given, "there is no network in this list", None),
            Some(texts) => self.keep(given, Constant::networks(texts)),
            None => {
                self.kind(given);
                let help = "inCidr(request.client, ['10.0.0.0/8', '192.0.2.7'])".to_owned();
                self.mistake(given, "networks must be literals", Some(help));
            }
        }
    }

    fn keep(&mut self, given: &IdedExpr, read: Result<Constant, Unusable>) {
        match read {
            Ok(constant) => {
                self.found.constants.insert(given.id, constant);
            }
            Err((message, help)) => self.mistake(given, message, Some(help)),
        }
    }

    /// A time in literals is read once, and stands for its number.
    fn time(&mut self, node: &IdedExpr, function: &Function, call: &CallExpr) {
        let (Some(Argument::Time(kind)), Some(text)) =
            (function.arguments.first(), call.args.first().and_then(text_literal))
        else {
            return;
        };
        let zone = match call.args.get(1).map(|zone| self.found.constants.get(&zone.id)) {
            None => TimeZone::UTC,
            Some(Some(Constant::Zone(zone))) => zone.clone(),
            Some(_) => return,
        };
        match (Constant::time(*kind, text, &zone), call.args.first()) {
            (Ok(constant), _) => {
                self.found.constants.insert(node.id, constant);
            }
            (Err((message, help)), Some(given)) => self.mistake(given, message, Some(help)),
            (Err(_), None) => {}
        }
    }

    /// Whether `user.email` may be in it: it is named, or a variable could hold it.
    fn may_be_of_email(&self, node: &IdedExpr) -> bool {
        any(node, &mut |node| match &node.expr {
            Expr::Ident(name) => self.locals.contains(&name.as_str()),
            _ => is_email(node),
        })
    }

    /// A domain rule that is written by hand asks neither for one `@` nor whether the provider vouches for the address (S09).
    pub(super) fn domain_rules(&mut self, tree: &IdedExpr) {
        let (mut found, mut local_parts) = (Vec::new(), Vec::new());
        any(tree, &mut |node| {
            local_parts.extend(first_of(node).filter(|list| splits_at_sign(list)).map(|list| list.id));
            if asks_for_domain(node) && !local_parts.contains(&node.id) {
                found.push(self.range(node));
            }
            false
        });
        for range in found {
            let help =
                "write domainOf(user.email) == 'gmr.example': it asks for exactly one `@` and a verified address";
            let message = "an address that nobody verified, or of two parts, could satisfy this";
            self.warning(range, message, help);
        }
    }
}

/// Whether a call looks at what stands behind the `@` of an address.
fn asks_for_domain(node: &IdedExpr) -> bool {
    let Expr::Call(CallExpr { func_name, target: Some(target), args }) = &node.expr else { return false };
    let text = args.first().and_then(text_literal);
    let by_hand = match func_name.as_str() {
        // Whatever an address ends with is some of its domain.
        "endsWith" => true,
        "contains" | "indexOf" | "lastIndexOf" | "split" => text.is_some_and(|text| text.contains('@')),
        "matches" => text.is_some_and(|text| text.contains('@') || reaches_the_end(text)),
        _ => false,
    };
    by_hand && may_hold_domain(target)
}

/// Whether the domain of `user.email` may be in a value. It is not in what stands before the first `@`, and `domainOf` is the very thing to ask.
fn may_hold_domain(node: &IdedExpr) -> bool {
    if let Expr::Call(CallExpr { func_name, .. }) = &node.expr
        && (["domainOf", "unverifiedDomainOf"].contains(&func_name.as_str())
            || first_of(node).is_some_and(splits_at_sign))
    {
        return false;
    }
    is_email(node) || parts(node).any(may_hold_domain)
}

/// Whether a node is `….split('@')`.
fn splits_at_sign(node: &IdedExpr) -> bool {
    let Expr::Call(CallExpr { func_name, args, .. }) = &node.expr else { return false };
    // With a limit the first part may be the whole.
    func_name == "split" && matches!(args.as_slice(), [only] if text_literal(only) == Some("@"))
}

/// Whether a pattern has an end of the text in it: `$` or `\z`.
fn reaches_the_end(pattern: &str) -> bool {
    let mut signs = pattern.chars();
    while let Some(sign) = signs.next() {
        if sign == '$' || (sign == '\\' && signs.next() == Some('z')) {
            return true;
        }
    }
    false
}

/// The list of which a node takes the first element, which is all of an address before its first `@`.
fn first_of(node: &IdedExpr) -> Option<&IdedExpr> {
    let Expr::Call(call) = &node.expr else { return None };
    match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
        ("first", Some(list), []) => Some(list),
        (operators::INDEX, None, [list, IdedExpr { expr: Expr::Literal(LiteralValue::Int(at)), .. }])
            if *at.inner() == 0 =>
        {
            Some(list)
        }
        _ => None,
    }
}

fn is_email(node: &IdedExpr) -> bool {
    claim_path(node).is_some_and(|path| matches!(path.as_slice(), [name] if &**name == "email"))
}
