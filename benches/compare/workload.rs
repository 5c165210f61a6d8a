//! The kinds of traffic that are measured.

use crate::Result;
use crate::load::{self, Load};
use crate::peers::Running;
use crate::site::Site;

/// One kind of traffic.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    /// What the table and `--workload` call it.
    pub(crate) name: &'static str,
    /// What it is, for people.
    pub(crate) title: &'static str,
    /// Whether the proxies that check a login take part; only the head of a request says what they do.
    pub(crate) small: bool,
    protocol: Protocol,
    path: &'static str,
}

#[derive(Clone, Copy)]
enum Protocol {
    Clear1,
    Upload1,
    Tls1,
    Tls2,
}

/// All kinds of traffic, in the order in which they are measured.
pub(crate) const ALL: [Workload; 8] = [
    Workload {
        name: "clear",
        title: "HTTP/1.1 in clear, 64 connections, 1 kB answers",
        protocol: Protocol::Clear1,
        small: true,
        path: "/1k",
    },
    Workload {
        name: "tls",
        title: "HTTP/1.1 over TLS 1.3, 64 connections, 1 kB answers",
        protocol: Protocol::Tls1,
        small: true,
        path: "/1k",
    },
    Workload {
        name: "h2",
        title: "HTTP/2 over TLS 1.3, 8 connections of 100 streams, 1 kB answers",
        protocol: Protocol::Tls2,
        small: true,
        path: "/1k",
    },
    Workload {
        name: "64k",
        title: "HTTP/1.1 in clear, 64 connections, 64 kB answers",
        protocol: Protocol::Clear1,
        small: false,
        path: "/64k",
    },
    Workload {
        name: "1m",
        title: "HTTP/1.1 in clear, 64 connections, 1 MB answers",
        protocol: Protocol::Clear1,
        small: false,
        path: "/1m",
    },
    Workload {
        name: "64k-tls",
        title: "HTTP/1.1 over TLS 1.3, 64 connections, 64 kB answers",
        protocol: Protocol::Tls1,
        small: false,
        path: "/64k",
    },
    Workload {
        name: "1m-tls",
        title: "HTTP/1.1 over TLS 1.3, 64 connections, 1 MB answers",
        protocol: Protocol::Tls1,
        small: false,
        path: "/1m",
    },
    Workload {
        name: "upload",
        title: "HTTP/1.1 in clear, 64 connections, uploads of 1 MB",
        protocol: Protocol::Upload1,
        small: false,
        path: "/upload",
    },
];

impl Workload {
    /// Sends this traffic through one proxy for a number of seconds.
    pub(crate) fn send(&self, site: &Site, proxy: &Running, seconds: u64) -> Result<Load> {
        let path = self.path;
        let clear = format!("http://localhost:{}{path}", proxy.clear);
        let tls = format!("https://localhost:{}{path}", proxy.tls);
        match self.protocol {
            Protocol::Clear1 => load::wrk(&clear, &proxy.clear_cookie, seconds),
            Protocol::Upload1 => load::wrk_script(&clear, &proxy.clear_cookie, &site.path("upload.lua"), seconds),
            Protocol::Tls1 => load::wrk(&tls, &proxy.tls_cookie, seconds),
            Protocol::Tls2 => load::h2load(site, &tls, &proxy.tls_cookie, seconds),
        }
    }
}
