//! A thousand applications of a hundred rules each, beside one of them.

use std::fmt::Write;

use crate::peers::lychgate::{self, Setup};
use crate::provider::Provider;
use crate::rounds::{Contender, in_turn};
use crate::site::Site;
use crate::{Bench, Result, load, sealed, table};

const APPLICATIONS: usize = 1_000;
const RULES: usize = 100;

pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let (site, provider) = (&bench.site, &bench.provider);
    let policies: Vec<_> = (0..APPLICATIONS).map(|number| (name(number), policy(site, provider, number))).collect();
    let first = policies.get(..1).unwrap_or_default();
    let one = Setup { name: "one application", tag: "lychgate-one", policies: first, ..lychgate::USUAL };
    // Each application has a session of its own, so what sessions cost is told apart from what applications cost.
    let many = Setup { name: "one, 1,000 sessions", tag: "lychgate-many", policies: first, ..lychgate::USUAL };
    let all = Setup { name: "1,000 applications", tag: "lychgate-all", policies: &policies, ..lychgate::USUAL };
    let mut started = Vec::new();
    for (setup, sessions) in [(one, 1), (many, APPLICATIONS), (all, APPLICATIONS)] {
        let gateway = lychgate::start_as(site, provider, &setup)?;
        let requests = (0..sessions).map(|number| {
            let number = number % setup.policies.len();
            let cookie = sealed::cookie(&gateway.keys, provider, &host(number), &name(number))?;
            Ok((format!("{}:{}", host(number), gateway.running.clear), crate::peers::padded(&cookie)))
        });
        let script = sealed::script(site, setup.tag, requests)?;
        started.push((gateway, script));
    }
    let contenders: Vec<Contender<'_>> = started
        .iter()
        .map(|(gateway, script)| {
            let url = format!("http://localhost:{}/1k", gateway.running.clear);
            Contender {
                name: gateway.running.name.to_owned(),
                process: &gateway.running.process,
                send: Box::new(move |seconds| load::wrk_script(&url, "", script, seconds)),
            }
        })
        .collect();
    let title = "Applications of 100 rules, requests to each in turn; HTTP/1.1 in clear, 64 connections, 1 kB answers";
    print!("{}", table::print(title, &in_turn(bench.pace, &contenders)));
    Ok(())
}

fn name(number: usize) -> String {
    format!("app-{number}")
}

fn host(number: usize) -> String {
    format!("app-{number}.localhost")
}

/// Rules for other paths, and a last one that the requests meet.
fn policy(site: &Site, provider: &Provider, number: usize) -> String {
    let (host, upstream, group) = (host(number), site.upstream, provider.group);
    let mut text = format!(
        "[app]\nhosts = [\"{host}\"]\nupstream = \"http://127.0.0.1:{upstream}\"\n[login]\nprovider = \"measured\"\n[headers]\n\
         X-Remote-User = \"${{user.preferred_username}}\"\nX-Remote-Email = \"${{user.email}}\"\n\
         X-Remote-Groups = {{ list = \"${{user.groups}}\", separator = \";\" }}\n"
    );
    for rule in 1..RULES {
        let (paths, allow) = match rule % 3 {
            0 => (format!("/area-{rule}/**"), format!("'team-{rule}' in user.groups")),
            1 => (format!("/reports/{rule}/*.pdf"), "user.groups.exists(g, g.startsWith('team-'))".to_owned()),
            _ => (format!("/people/*/{rule}"), format!("hasAny(user.groups, ['team-{rule}', 'admins'])")),
        };
        let _ = write!(text, "[[rules]]\npaths = [\"{paths}\"]\nallow = \"{allow}\"\n"); // writing to a string cannot fail
    }
    text + &format!("[[rules]]\nallow = \"'{group}' in user.groups\"\n")
}
