//! What one evaluation has looked up of the request: each parameter and header once, however often it is read.
//!
//! Looking for a parameter goes over the whole query, and a loop may read it for every group of a person. What was found is lent from then on.
//!
//! May touch: nothing but memory. Bound: one entry for each name that the expressions of a policy read; lives as long as the
//! evaluation. Trust boundary: values are a stranger's.

use std::sync::OnceLock;

use cel::common::types::CelString;

/// A list that grows at its end, so that what it holds can be lent.
#[derive(Default)]
pub(super) struct LookedUp(OnceLock<Box<Entry>>);

struct Entry {
    name: Box<str>,
    found: Option<CelString<'static>>,
    next: LookedUp,
}

impl LookedUp {
    /// What stands under `name`, which `look` finds where that was not asked before.
    pub(super) fn get_or_look(&self, name: &str, look: impl Fn() -> Option<String>) -> Option<&CelString<'static>> {
        let mut place = self;
        loop {
            let entry = place.0.get_or_init(|| {
                let found = look().map(CelString::from);
                Box::new(Entry { name: name.into(), found, next: Self::default() })
            });
            if *entry.name == *name {
                return entry.found.as_ref();
            }
            place = &entry.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_name_is_looked_for_once() {
        let (looked_up, looks) = (LookedUp::default(), Cell::new(0));
        let get = |name: &str| {
            let look = || {
                looks.set(looks.get() + 1);
                name.strip_prefix("there:").map(str::to_owned)
            };
            looked_up.get_or_look(name, look).map(|found| found.inner().to_owned())
        };
        for _ in 0..3 {
            assert_eq!(get("there:a").as_deref(), Some("a"));
            assert_eq!(get("absent"), None);
            assert_eq!(get("there:b").as_deref(), Some("b"));
        }
        assert_eq!(looks.get(), 3);
    }
}
