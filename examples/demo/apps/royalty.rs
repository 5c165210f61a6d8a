//! The royalty system: statements for artists, and the screens where payouts are approved.
//!
//! It shows the administration to whoever comes with `X-Royalty-Role: ADMIN`, and does not even check that
//! on the administration's own pages, because "nobody knows the address". The policy does it.
//! Everything is in memory and starts afresh with the demonstration.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Method, Request, StatusCode};
use tokio::net::TcpListener;

use super::html::{self, Frame, escape, table};
use super::told::Told;
use super::{Answer, Link, answer, go_to, page};
use crate::provider::listen::listen;

/// Serves the royalty system on `listener` until `shutdown` completes.
pub(crate) async fn serve(listener: TcpListener, links: Vec<Link>, shutdown: impl Future<Output = ()>) {
    let frame = Frame { application: "Royalty accounting", class: "royalty", links };
    let system = Arc::new(Royalty { frame, approvals: Mutex::new(vec![None; STATEMENTS.len()]) });
    let handle = move |request: Request<_>| {
        let system = Arc::clone(&system);
        async move { system.answer(request.method(), request.uri().path(), request.headers()) }
    };
    listen(listener, handle, shutdown).await;
}

struct Royalty {
    frame: Frame,
    /// Who approved the payout of each statement, in the order of [`STATEMENTS`].
    approvals: Mutex<Vec<Option<String>>>,
}

struct Statement {
    number: &'static str,
    artist: &'static str,
    artist_user: &'static str,
    period: &'static str,
    sales: &'static [Sale],
}

/// A title, how it was sold, how many, and the royalty on each in thousandths of a pound.
struct Sale(&'static str, &'static str, u64, u64);

impl Royalty {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Answer {
        match path {
            "/static/style.css" => return answer(StatusCode::OK, "text/css", html::STYLE),
            "/favicon.ico" => return answer(StatusCode::OK, "image/svg+xml", html::ICON),
            _ => {}
        }
        let Some(told) = Told::read(headers) else {
            return page(StatusCode::FORBIDDEN, self.frame.nobody(headers));
        };
        let visit = Visit { royalty: self, told, headers };
        match (method, path) {
            (&Method::GET | &Method::HEAD, _) => visit.show(path),
            (&Method::POST, _) => visit.approve(path),
            _ => visit.page(StatusCode::METHOD_NOT_ALLOWED, "Not possible", "<p>GET and POST only.</p>"),
        }
    }

    fn approvals(&self) -> MutexGuard<'_, Vec<Option<String>>> {
        self.approvals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request of somebody with a name.
struct Visit<'a> {
    royalty: &'a Royalty,
    told: Told,
    headers: &'a HeaderMap,
}

impl Visit<'_> {
    fn show(&self, path: &str) -> Answer {
        match path {
            "/" => self.home(),
            "/statements" => self.statements(),
            "/admin" | "/admin/" => go_to("/admin/payouts"),
            "/admin/payouts" => self.payouts(),
            _ => match path.strip_prefix("/statements/").and_then(|number| self.find(number)) {
                Some(statement) => self.statement(statement),
                None => self.missing(),
            },
        }
    }

    fn home(&self) -> Answer {
        let admin = if self.told.is_admin {
            "<p>You administer royalties: <a href=\"/admin/payouts\">payouts that wait for approval</a>.</p>"
        } else {
            ""
        };
        let body = format!(
            "<p>Good day, {}.</p>\n<p>Half-yearly accounts are in <a href=\"/statements\">your statements</a>.</p>\n{admin}",
            escape(&self.told.name)
        );
        self.page(StatusCode::OK, "Royalty accounting", &body)
    }

    fn statements(&self) -> Answer {
        let rows = STATEMENTS.iter().filter(|statement| self.may_read(statement)).map(|statement| {
            let number = statement.number;
            vec![
                format!("<a href=\"/statements/{number}\">{number}</a>"),
                escape(statement.artist),
                escape(statement.period),
                pounds(statement.total()),
            ]
        });
        let rows: Vec<_> = rows.collect();
        let body = if rows.is_empty() {
            format!("<p>There are no statements for <b>{}</b>.</p>", escape(&self.told.user))
        } else {
            table("Statements, newest first", &["Number", "Artist", "Period", "#Royalty"], rows)
        };
        self.page(StatusCode::OK, "Statements", &body)
    }

    fn statement(&self, statement: &Statement) -> Answer {
        let rows = statement.sales.iter().map(|sale| {
            let Sale(title, medium, units, _) = *sale;
            vec![escape(title), escape(medium), grouped(units), pounds(sale.pence())]
        });
        let caption = format!("{}, {}", statement.artist, statement.period);
        let sales = table(&caption, &["Title", "Sold as", "#Units", "#Royalty"], rows);
        let total = pounds(statement.total());
        let body = format!("{sales}\n<p>Total: <b>{total}</b></p>\n<p><a href=\"/statements\">All statements</a></p>");
        self.page(StatusCode::OK, &format!("Statement {}", statement.number), &body)
    }

    fn payouts(&self) -> Answer {
        let approvals = self.royalty.approvals().clone();
        let rows = STATEMENTS.iter().zip(approvals).map(|(statement, approved)| {
            let action = match approved {
                Some(by) => format!("<span class=\"done\">approved by {}</span>", escape(&by)),
                None => format!(
                    "<form method=\"post\" action=\"/admin/payouts/{number}/approve\">\
                     <button aria-label=\"Approve the payout of {number}\">Approve</button></form>",
                    number = statement.number
                ),
            };
            vec![statement.number.into(), escape(statement.artist), pounds(statement.total()), action]
        });
        let body = table("Payouts of this run", &["Statement", "Artist", "#Amount", "Approval"], rows);
        self.page(StatusCode::OK, "Payout administration", &body)
    }

    fn approve(&self, path: &str) -> Answer {
        let number = path.strip_prefix("/admin/payouts/").and_then(|rest| rest.strip_suffix("/approve"));
        let index = STATEMENTS.iter().position(|statement| Some(statement.number) == number);
        let mut approvals = self.royalty.approvals();
        let Some(approval) = index.and_then(|index| approvals.get_mut(index)) else {
            return self.missing();
        };
        // Who was first stays: approving twice changes nothing.
        approval.get_or_insert_with(|| self.told.user.clone());
        go_to("/admin/payouts")
    }

    fn find(&self, number: &str) -> Option<&'static Statement> {
        STATEMENTS.iter().find(|statement| statement.number == number && self.may_read(statement))
    }

    fn may_read(&self, statement: &Statement) -> bool {
        self.told.is_admin || statement.artist_user == self.told.user
    }

    fn missing(&self) -> Answer {
        self.page(StatusCode::NOT_FOUND, "Not found", "<p>There is no such page, or it is not yours.</p>")
    }

    fn page(&self, status: StatusCode, title: &str, body: &str) -> Answer {
        let mut own = vec![("Home", "/"), ("Statements", "/statements")];
        if self.told.is_admin {
            own.push(("Payouts", "/admin/payouts"));
        }
        page(status, self.royalty.frame.page(title, &self.told, &own, body, self.headers))
    }
}

impl Statement {
    fn total(&self) -> u64 {
        self.sales.iter().map(Sale::pence).sum()
    }
}

impl Sale {
    fn pence(&self) -> u64 {
        self.2 * self.3 / 10
    }
}

/// An amount in pence.
fn pounds(pence: u64) -> String {
    format!("\u{a3}{}.{:02}", grouped(pence / 100), pence % 100)
}

/// A number with its thousands apart.
fn grouped(mut number: u64) -> String {
    let mut text = String::new();
    while number >= 1000 {
        text = format!(",{:03}{text}", number % 1000);
        number /= 1000;
    }
    format!("{number}{text}")
}

const STATEMENTS: [Statement; 5] = [
    Statement {
        number: "2026-1-0041",
        artist: "Ada Marlowe",
        artist_user: "ada",
        period: "January to June 2026",
        sales: &[
            Sale("Lanterns on the Canal", "streams", 1_204_331, 4),
            Sale("Lanterns on the Canal", "long-playing record", 2_150, 1_920),
            Sale("Seven Small Harbours", "streams", 488_020, 4),
            Sale("Seven Small Harbours", "film licence", 1, 750_000),
        ],
    },
    Statement {
        number: "2026-1-0042",
        artist: "The Tin Weathervanes",
        artist_user: "weathervanes",
        period: "January to June 2026",
        sales: &[
            Sale("North by a Little West", "streams", 3_911_507, 4),
            Sale("North by a Little West", "compact disc", 8_404, 1_100),
        ],
    },
    Statement {
        number: "2026-1-0043",
        artist: "Oblong Trio",
        artist_user: "oblong",
        period: "January to June 2026",
        sales: &[Sale("Music for Rectangular Rooms", "streams", 96_212, 4)],
    },
    Statement {
        number: "2025-2-0041",
        artist: "Ada Marlowe",
        artist_user: "ada",
        period: "July to December 2025",
        sales: &[
            Sale("Seven Small Harbours", "streams", 2_010_400, 4),
            Sale("Seven Small Harbours", "long-playing record", 5_321, 1_920),
        ],
    },
    Statement {
        number: "2025-2-0042",
        artist: "The Tin Weathervanes",
        artist_user: "weathervanes",
        period: "July to December 2025",
        sales: &[Sale("North by a Little West", "streams", 1_118_093, 4)],
    },
];

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn system() -> Royalty {
        let frame = Frame { application: "Royalty", class: "royalty", links: vec![] };
        Royalty { frame, approvals: Mutex::new(vec![None; STATEMENTS.len()]) }
    }

    async fn get(system: &Royalty, path: &str, headers: &[(&'static str, &'static str)]) -> (StatusCode, String) {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let answer = system.answer(&Method::GET, path, &headers.collect());
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn without_a_user_only_the_style_and_the_icon_are_given() {
        let system = system();
        let (status, body) = get(&system, "/statements", &[]).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(body.contains("no user: this application must stand behind a gateway"));
        assert_eq!(get(&system, "/static/style.css", &[]).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn an_artist_sees_statements_of_their_own() {
        let system = system();
        let ada = [("x-remote-user", "ada"), ("x-royalty-role", "VIEWER")];
        let (_, list) = get(&system, "/statements", &ada).await;
        assert!(list.contains("2026-1-0041") && !list.contains("2026-1-0042"));
        assert_eq!(get(&system, "/statements/2026-1-0041", &ada).await.0, StatusCode::OK);
        assert_eq!(get(&system, "/statements/2026-1-0042", &ada).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_payout_is_approved_once_and_under_the_name_in_the_header() {
        let system = system();
        for user in ["otis", "ada"] {
            let headers = [("x-remote-user".parse().unwrap(), user.parse().unwrap())].into_iter().collect();
            let path = "/admin/payouts/2026-1-0041/approve";
            assert_eq!(system.answer(&Method::POST, path, &headers).status(), StatusCode::SEE_OTHER);
        }
        let (_, list) = get(&system, "/admin/payouts", &[("x-remote-user", "otis")]).await;
        assert!(list.contains("approved by otis") && !list.contains("approved by ada"));
        assert_eq!(list.matches("/approve\"").count(), STATEMENTS.len() - 1);
    }

    #[test]
    fn amounts_are_written_with_thousands_apart() {
        assert_eq!(pounds(5), "£0.05");
        assert_eq!(pounds(123_456), "£1,234.56");
        assert_eq!(pounds(100_000_700), "£1,000,007.00");
    }
}
