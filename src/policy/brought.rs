//! What a policy takes for granted that a request brings: the headers that it reads, and the requests of its tests.
//!
//! For whoever knows all applications of the gateway: one alone cannot know what is removed for the sake of the others, and which paths
//! they have.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's.

use std::collections::BTreeSet;

use http::HeaderMap;

use super::Policy;
use crate::http::{CanonicalPath, HostName};

/// A request of a test.
#[derive(Clone, Copy, Debug)]
pub struct TestedRequest<'p> {
    /// The line of the policy file on which the test begins, from 1.
    pub line: usize,
    /// The host that is asked.
    pub host: &'p HostName,
    /// The path.
    pub path: &'p CanonicalPath,
    /// The fields of its head.
    pub headers: &'p HeaderMap,
}

impl Policy {
    /// The fields of the request's head that rules and headers read, in lower case, each once.
    pub fn headers_read(&self) -> BTreeSet<&str> {
        let doubtful = [&self.hurdles().doubtful, &self.observed_doubtful];
        doubtful.into_iter().flat_map(|read| read.headers()).collect()
    }

    /// The requests of all tests.
    pub fn requests_tested(&self) -> impl Iterator<Item = TestedRequest<'_>> {
        self.tests.iter().filter_map(|test| {
            let host = test.circumstances.host.as_ref().or(self.hosts().first())?;
            Some(TestedRequest { line: test.line, host, path: &test.path, headers: &test.circumstances.headers })
        })
    }
}
