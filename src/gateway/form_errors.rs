//! What goes wrong with a form: on its way into a page that keeps it, and out of it again (C13).
//!
//! May touch: nothing. Trust boundary: none; nothing of a form is in here.

/// Why a kept form cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptFormError {
    /// Another site sent it.
    Foreign,
    /// It does not open: damaged, of another host, sealed with a key that is gone.
    Unreadable,
    /// It was kept for too long.
    Expired,
    /// The browser lacks the cookie that belongs to it.
    OtherBrowser,
    /// Somebody else has signed in since.
    OtherPerson,
    /// It was sent before.
    Used,
    /// Too many are being worked on.
    NoRoom,
}

impl KeptFormError {
    /// The reason code for the log.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Foreign => "form_foreign",
            Self::Unreadable => "form_unreadable",
            Self::Expired => "form_expired",
            Self::OtherBrowser => "form_other_browser",
            Self::OtherPerson => "form_other_person",
            Self::Used => "form_used",
            Self::NoRoom => "form_no_room",
        }
    }

    /// For the person.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Foreign => "the form did not come from this site's own page",
            Self::Unreadable => "the form that was kept cannot be read any more",
            Self::Expired => "the form was kept for more than an hour, and is no longer sent",
            Self::OtherBrowser => "the form was kept for another browser, or was sent before",
            Self::OtherPerson => "the form was filled in by somebody else than the one who is signed in now",
            Self::Used => "the form was sent before",
            Self::NoRoom => "too many forms are being sent just now; wait a moment and send it again",
        }
    }
}

/// Why a form was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// It is larger than [`MAX_FORM`](super::kept_form::MAX_FORM).
    TooLarge,
    /// The client stopped in its middle.
    BrokenOff,
    /// It took longer than [`READING`](super::kept_form::READING).
    Late,
    /// Too many are being worked on.
    NoRoom,
}

impl NotKept {
    /// The reason code for the log.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "form_too_large",
            Self::BrokenOff => "form_broken_off",
            Self::Late => "form_late",
            Self::NoRoom => "form_no_room",
        }
    }

    /// For the person.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "it is larger than 1 MiB",
            Self::BrokenOff => "it broke off on the way",
            Self::Late => "it took too long to arrive",
            Self::NoRoom => "too many forms are being kept just now",
        }
    }
}
