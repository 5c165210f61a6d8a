//! What became of a request, in one word for the access log and the counters.
//!
//! May touch: nothing. Trust boundary: none.

/// What became of a request, for log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A public path.
    Public,
    /// Allowed by a rule.
    Allow,
    /// Forbidden by a rule, or by there being none.
    Deny,
    /// Nobody was signed in.
    SignIn,
    /// A stronger or fresher login was asked for.
    StepUp,
    /// Answered by the gateway itself, under `/.lychgate/`.
    Reserved,
    /// Refused before any rule was asked.
    Refused,
    /// Redirected by a rule.
    Redirect,
    /// Answered by a rule.
    Respond,
}

/// All decisions, in the order of the handles.
pub const DECISIONS: [Decision; 9] = [
    Decision::Public,
    Decision::Allow,
    Decision::Deny,
    Decision::SignIn,
    Decision::StepUp,
    Decision::Reserved,
    Decision::Refused,
    Decision::Redirect,
    Decision::Respond,
];

impl Decision {
    /// The word in logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::SignIn => "sign_in",
            Self::StepUp => "step_up",
            Self::Reserved => "reserved",
            Self::Refused => "refused",
            Self::Redirect => "redirect",
            Self::Respond => "respond",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_has_its_own_handle() {
        for (index, decision) in DECISIONS.iter().enumerate() {
            assert_eq!(*decision as usize, index);
        }
    }
}
