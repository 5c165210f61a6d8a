//! The layers above the file: environment variables and flags.
//!
//! A variable `LYCHGATE_SECTION__KEY` sets `section.key`; names are lower-cased, so keys that hold upper-case letters are
//! set in the file. A value that opens with `[` or `{` is read as TOML, any other is text, and the key's own type says
//! whether that text is a number, a truth value or a string.
//!
//! The process' environment is read once, in [`Environment::of_process`]; everything else is handed a value. It may hold
//! secrets and has therefore no `Debug`.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// What every variable of the gateway opens with.
const PREFIX: &str = "LYCHGATE_";
/// Variables with our prefix that are not settings: Kubernetes puts them into every container when a service is called
/// `lychgate`.
const FOREIGN: &[&str] = &["PORT", "SERVICE_HOST", "SERVICE_PORT"];
const FOREIGN_PREFIXES: &[&str] = &["PORT_", "SERVICE_PORT_"];

/// Environment variables, as they were when it was made.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The names of those whose values are no text.
    not_text: Vec<String>,
}

/// A setting given on the command line; stronger than the environment.
#[derive(Clone)]
pub struct Override {
    /// The option as the person wrote it, for messages: `--admin-address`.
    pub flag: &'static str,
    /// The key it sets, with dots: `admin.address`.
    pub key: &'static str,
    /// The value's text.
    pub value: String,
}

/// A variable that sets a key.
pub(super) struct Variable<'a> {
    pub(super) name: &'a str,
    pub(super) path: Vec<String>,
    pub(super) value: &'a str,
}

impl Environment {
    /// The environment of this process. Of variables whose values are no UTF-8 only the names are kept.
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    fn of(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self { variables: BTreeMap::new(), not_text: Vec::new() };
        for (name, value) in variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value))) {
            match value.into_string() {
                Ok(value) => drop(environment.variables.insert(name, value)),
                Err(_) => environment.not_text.push(name),
            }
        }
        environment
    }

    /// The value of one variable.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Whether a variable is set to what is no UTF-8.
    pub(super) fn is_not_text(&self, name: &str) -> bool {
        self.not_text.iter().any(|found| found == name)
    }

    /// The variables that would set keys, were their values UTF-8.
    pub(super) fn broken_settings(&self) -> impl Iterator<Item = &str> {
        self.not_text.iter().map(String::as_str).filter(|name| variable(name, "").is_some())
    }

    /// The variables that set keys, without those in `used`, which the file names as the source of a secret.
    pub(super) fn settings(&self, used: &[String]) -> Vec<Variable<'_>> {
        let settings = self.variables.iter().filter(|(name, _)| !used.contains(name));
        settings.filter_map(|(name, value)| variable(name, value)).collect()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().collect(), not_text: Vec::new() }
    }
}

fn variable<'a>(name: &'a str, value: &'a str) -> Option<Variable<'a>> {
    let key = name.strip_prefix(PREFIX)?;
    let foreign = FOREIGN.contains(&key) || FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    let path = key.split("__").map(str::to_lowercase).collect();
    (!foreign).then_some(Variable { name, path, value })
}

/// The variable that sets a key, given with dots.
pub(super) fn variable_of(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_keys_and_foreign_ones_are_left_alone() {
        let environment: Environment = [
            ("LYCHGATE_ADMIN__ADDRESS", "127.0.0.1:1"),
            ("LYCHGATE_PORT", "tcp://10.0.0.1:443"),
            ("LYCHGATE_PORT_443_TCP_ADDR", "10.0.0.1"),
            ("LYCHGATE_SERVICE_PORT_HTTPS", "443"),
            ("LYCHGATE_SECRET", "named by the file"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
        let settings = environment.settings(&["LYCHGATE_SECRET".to_owned()]);
        assert_eq!(settings.len(), 1);
        assert_eq!(settings[0].path, ["admin", "address"]);
    }

    #[test]
    fn variables_that_are_no_text_are_known_by_name() {
        use std::os::unix::ffi::OsStringExt as _;
        let broken = |name: &str| (OsString::from(name), OsString::from_vec(vec![b'1', 0xff]));
        let sound = (OsString::from("LYCHGATE_LOG__LEVEL"), OsString::from("info"));
        let names = ["LYCHGATE_LIMITS__BODY", "LYCHGATE_PORT", "CLIENT_SECRET"];
        let environment = Environment::of(names.into_iter().map(broken).chain([sound]));
        assert_eq!(environment.broken_settings().collect::<Vec<_>>(), ["LYCHGATE_LIMITS__BODY"]);
        assert_eq!(environment.settings(&[]).len(), 1);
        assert!(environment.is_not_text("CLIENT_SECRET") && !environment.is_not_text("LYCHGATE_LOG__LEVEL"));
        assert_eq!(environment.value("CLIENT_SECRET"), None);
    }
}
