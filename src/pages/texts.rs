//! The words of every page: what happened, and what to do next.
//!
//! Plain English, addressed to the person at the screen; nothing that an attacker could use and nothing that only an
//! administrator understands. The details stand in the log, found by the request id.

use std::borrow::Cow;

use super::{Me, Page};

/// What a page says, before it takes a form.
pub(super) struct Content<'a> {
    pub(super) title: Cow<'a, str>,
    pub(super) said: Cow<'a, str>,
    pub(super) next: Cow<'a, str>,
    pub(super) link: Option<Link<'a>>,
    pub(super) form: Option<PageForm<'a>>,
    /// Names and values, under a heading each.
    pub(super) lists: Vec<(&'static str, Vec<(&'a str, &'a str)>)>,
}

/// A way on.
pub(super) struct Link<'a> {
    pub(super) url: &'a str,
    pub(super) label: &'static str,
    /// Whether it opens beside the page and comes before the form.
    pub(super) beside: bool,
}

/// A form of one button.
pub(super) struct PageForm<'a> {
    pub(super) action: &'a str,
    pub(super) token: &'a str,
    pub(super) label: &'static str,
    /// A second button, which ends more.
    pub(super) everywhere: Option<&'static str>,
    pub(super) onward: Onward<'a>,
}

/// Where the answer to a form may redirect to, beside the page's own origin.
pub(super) enum Onward<'a> {
    /// Nowhere, or to this origin.
    Origin(Option<&'a str>),
    /// Wherever the application says.
    Anywhere,
}

impl<'a> Content<'a> {
    fn new(title: impl Into<Cow<'a, str>>, said: impl Into<Cow<'a, str>>, next: impl Into<Cow<'a, str>>) -> Self {
        Self { title: title.into(), said: said.into(), next: next.into(), link: None, form: None, lists: Vec::new() }
    }

    fn link(self, url: impl Into<Option<&'a str>>, label: &'static str) -> Self {
        Self { link: url.into().map(|url| Link { url, label, beside: false }), ..self }
    }

    /// With the button that sends a kept form.
    fn sending_form(self, action: &'a str, token: &'a str) -> Self {
        let (label, onward) = ("Send the form", Onward::Anywhere);
        Self { form: Some(PageForm { action, token, label, everywhere: None, onward }), ..self }
    }
}

const TELL: &str = "If it happens again, tell the people who look after it and give them the request id below.";

/// The words of one page.
pub(super) fn content<'a>(page: &Page<'a>) -> Content<'a> {
    match *page {
        Page::SignedOut { app, sign_in_url } => Content::new(
            "You are signed out",
            format!("You have been signed out of {app}."),
            "If other people use this computer, close all browser windows as well.",
        )
        .link(sign_in_url, "Sign in again"),
        Page::SignOut { app, action, token, stay_url, provider } => {
            let onward = Onward::Origin(provider);
            let form = PageForm { action, token, label: "Sign out", everywhere: None, onward };
            let said = format!("You are about to sign out of {app}.");
            let content = Content::new("Sign out?", said, "What you have not saved there may be lost.");
            Content { form: Some(form), ..content.link(stay_url, "Stay signed in") }
        }
        Page::Me(me) => about(me),
        Page::SignInRequired { app, sign_in_url } => Content::new(
            "Please sign in",
            format!("You are not signed in to {app}, or your session has ended."),
            "Sign in and then repeat what you were doing: nothing of it has reached the application.",
        )
        .link(sign_in_url, "Sign in"),
        Page::SessionOver { app, sign_in_url } => Content::new(
            "Your session has ended",
            format!("Your session ended before {app} had answered."),
            "Sign in again. What you sent may have reached the application all the same: see what became of it before you repeat it.",
        )
        .link(sign_in_url, "Sign in"),
        Page::FormKept { app, path, action, token, sign_in_url } => {
            let content = Content::new(
                "Your session has ended, and your form is kept",
                format!("What you sent to {path} has not reached {app}. It is kept in this page, unread, for an hour."),
                "Leave this page open. Sign in in a new tab, come back here, and send the form.",
            );
            let link = Some(Link { url: sign_in_url, label: "Sign in in a new tab", beside: true });
            Content { link, ..content.sending_form(action, token) }
        }
        Page::FormUnsent { app, path, action, token } => {
            let content = Content::new(
                "Your form has not been sent yet",
                format!("What you sent to {path} has not reached {app}, which could not take it just now. It is still kept in this page, unread."),
                "Leave this page open, wait a moment, and send it again.",
            );
            content.sending_form(action, token)
        }
        Page::FormUnderWay { app, path, action, token } => {
            let content = Content::new(
                "Your form is being sent already",
                format!("What you sent to {path} is on its way to {app}: it was sent a moment ago. It is still kept in this page, unread."),
                "Leave this page open, wait a moment, and send it again: it goes once, and you are told when it has gone.",
            );
            content.sending_form(action, token)
        }
        Page::FormNotKept { app, reason, sign_in_url } => Content::new(
            "Please sign in, and send your form again",
            format!("You are not signed in to {app}, or your session has ended, and the form that you sent could not be kept: {reason}."),
            "Nothing of it has reached the application. Go back if your browser still shows the form, copy what you wrote, sign in and send it again.",
        )
        .link(sign_in_url, "Sign in"),
        Page::SignedIn { app } => Content::new(
            "You are signed in",
            format!("You are signed in to {app}."),
            "Close this tab, go back to the one with your form, and send it there.",
        ),
        Page::TokenRefused { reason, code: Some(_) } => Content::new(
            "The access token was refused",
            format!("The request was not accepted as it was sent: {reason}."),
            "Ask the provider for a token for this application, then send the request again.",
        ),
        Page::TokenRefused { code: None, .. } => Content::new(
            "The access token cannot be checked just now",
            "The provider that vouches for the access token cannot be asked about it.",
            "Wait a moment, then send the request again with the same token.",
        ),
        Page::Forbidden { app, person, sign_out_url } => {
            let said = match person {
                Some(person) => format!("You are signed in as {person}, and this account may not open this page of {app}."),
                None => format!("This page of {app} is not open to you."),
            };
            let next = format!(
                "If you need it for your work, ask the people who look after {app} and give them the request id below."
            );
            Content::new("You do not have access", said, next).link(sign_out_url, "Use another account")
        }
        Page::StepUpFailed { app, retry_url } => Content::new(
            "A stronger sign-in is needed",
            format!("This part of {app} asks for more proof of who you are than your sign-in gave."),
            "Try again and use your second factor when you are asked for it. If you are not asked, tell the people who look \
             after your sign-in and give them the request id below.",
        )
        .link(retry_url, "Try again"),
        Page::LoginFailed { what, advice, retry_url } => {
            Content::new("Signing in did not work", what, advice).link(retry_url, "Try again")
        }
        Page::ProviderUnavailable { retry_url } => Content::new(
            "Signing in is not possible just now",
            "The sign-in service of your organisation cannot be reached.",
            "Wait a moment and try again. Where you are signed in already, you can go on working.",
        )
        .link(retry_url, "Try again"),
        Page::Unavailable { app, retry_url } => Content::new(
            "The application is not available",
            format!("The application {app} could not be reached, or broke off while it was answering."),
            format!("Wait a moment before you try again. {TELL}"),
        )
        .link(retry_url, "Try again"),
        Page::Timeout { app, retry_url } => Content::new(
            "The application is taking too long",
            format!("The application {app} has not answered in time."),
            format!("It may still be at work on what you asked for: look before you repeat it. {TELL}"),
        )
        .link(retry_url, "Try again"),
        Page::BadRequest { reason } => Content::new(
            "This request was refused",
            format!("It could not be accepted as it was sent: {reason}."),
            "Go back and try again. If a link brought you here, it may be damaged.",
        ),
        Page::NetworkDenied => Content::new(
            "This page is not open from where you are",
            "It can be reached from certain networks only, and your connection is in none of them.",
            "Connect to the network of your organisation, for example by its VPN, then load the page again. If you are connected, tell the \
             people who look after it and give them the request id below.",
        ),
        Page::TooManyRequests { wait } => Content::new(
            "Too many requests",
            "More was asked for in a short time than is allowed, by you or by somebody who shares your connection.",
            format!("Wait {}, then load the page again. Nothing of this request has reached the application.", seconds(wait)),
        ),
        Page::NotFound => Content::new(
            "There is nothing at this address",
            "No application is published here.",
            "Check the address for slips, or start from the page that links to the application.",
        ),
        Page::TooLarge => Content::new(
            "That is too large",
            "What you sent is larger than is accepted here.",
            "Send less at once, or ask the people who look after this application to raise the limit.",
        ),
        Page::HeadTooLarge => Content::new(
            "The request is too large",
            "Your browser sent more cookies, or a longer address, than is accepted here.",
            "Delete the cookies of this site in your browser, then try again.",
        ),
        Page::RequestTimeout => Content::new(
            "The request did not arrive",
            "It stopped on the way before all of it was here.",
            "Check your connection, then try again.",
        ),
        Page::Overloaded => Content::new(
            "Too busy just now",
            "More requests are waiting than can be served.",
            "Wait a moment, then load the page again.",
        ),
    }
}

/// A wait in words, never shorter than it is.
fn seconds(wait: u64) -> String {
    match wait {
        0 | 1 => "a second".to_owned(),
        2..=90 => format!("{wait} seconds"),
        91..=5400 => format!("{} minutes", wait.div_ceil(60)),
        _ => format!("{} hours", wait.div_ceil(3600)),
    }
}

fn about<'a>(me: &'a Me<'a>) -> Content<'a> {
    let form = PageForm {
        action: me.action,
        token: me.token,
        label: "Sign out",
        everywhere: Some("Sign out everywhere"),
        onward: Onward::Origin(me.provider),
    };
    let facts = me.facts.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let claims: Vec<_> = me.claims.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut lists = vec![("How you are signed in", facts)];
    if !claims.is_empty() {
        lists.push(("What your organisation says of you", claims));
    }
    let said = format!("You are signed in to {} as {}.", me.app, me.who);
    let next = "Signing out everywhere ends all your sessions behind this gateway, in every browser.";
    Content {
        form: Some(form),
        lists,
        ..Content::new("Your session", said, next).link(me.back_url, "Back to the application")
    }
}
