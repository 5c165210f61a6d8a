//! What was logged, for tests that look for what must not be there.
//!
//! One subscriber for the whole process, at the finest level; each test thread reads what it logged itself. It is global
//! because `tracing` may decide for all threads on the word of one that has no subscriber of its own.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Begins to record, for this process from the first call on.
pub(crate) fn record() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Lines).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// Everything that this thread has logged since it began to record.
pub(crate) fn recorded() -> String {
    LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
