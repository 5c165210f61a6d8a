//! Every refusal has a code, and every code stands on the page of the access log.
