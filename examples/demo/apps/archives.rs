//! The archives: a catalogue of recordings to search, and files to download.
//!
//! Listening copies are a few megabytes, masters half a gigabyte, streamed and resumable. The application
//! offers masters to curators only, as it reads in the groups it was given, but sends them to anybody who
//! knows the address. The policy does not.
//! Everything is computed; there are no files.

use std::future::Future;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, StatusCode, Uri};
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::html::{self, Frame, escape, table};
use super::recording::Recording;
use super::told::Told;
use super::{Answer, Link, answer, download, page};
use crate::provider::listen::listen;

/// The length of a listening copy in seconds: about five megabytes.
const LISTENING_SECONDS: u32 = 30;

/// The length of a master in seconds: about half a gigabyte.
const MASTER_SECONDS: u32 = 3_040;

/// Serves the archives on `listener` until `shutdown` completes.
pub(crate) async fn serve(listener: TcpListener, links: Vec<Link>, shutdown: impl Future<Output = ()>) {
    let frame = Frame { application: "Archives", class: "archives", links };
    let archives = Arc::new(Archives { frame });
    let handle = move |request: Request<_>| {
        let archives = Arc::clone(&archives);
        async move { archives.answer(request.method(), request.uri(), request.headers()) }
    };
    listen(listener, handle, shutdown).await;
}

struct Archives {
    frame: Frame,
}

struct Item {
    number: &'static str,
    title: &'static str,
    artist: &'static str,
    year: u16,
    carrier: &'static str,
    notes: &'static str,
    hertz: u32,
}

impl Archives {
    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Answer {
        match uri.path() {
            "/static/style.css" => return answer(StatusCode::OK, "text/css", html::STYLE),
            "/favicon.ico" => return answer(StatusCode::OK, "image/svg+xml", html::ICON),
            _ => {}
        }
        let Some(told) = Told::read(headers) else {
            return page(StatusCode::FORBIDDEN, self.frame.nobody(headers));
        };
        let visit = Visit { archives: self, told, headers };
        match *method {
            Method::GET | Method::HEAD => visit.show(uri),
            _ => visit.page(StatusCode::METHOD_NOT_ALLOWED, "Not possible", "<p>The archives are read only.</p>"),
        }
    }
}

/// One request of somebody with a name.
struct Visit<'a> {
    archives: &'a Archives,
    told: Told,
    headers: &'a HeaderMap,
}

impl Visit<'_> {
    fn show(&self, uri: &Uri) -> Answer {
        let segments: Vec<_> = uri.path().split('/').skip(1).collect();
        match segments.as_slice() {
            [""] => self.search(None),
            ["search"] => self.search(Some(&asked(uri))),
            ["recordings", number] => self.with(number, Self::recording),
            ["downloads", number, "notes.txt"] => self.with(number, |_, item| notes(item)),
            ["downloads", number, "listening.wav"] => {
                self.with(number, |visit, item| visit.send(item, "listening", LISTENING_SECONDS))
            }
            ["downloads", "masters", file] => {
                let number = file.strip_suffix(".wav").unwrap_or_default();
                self.with(number, |visit, item| visit.send(item, "master", MASTER_SECONDS))
            }
            _ => self.missing(),
        }
    }

    fn search(&self, asked: Option<&str>) -> Answer {
        let text = asked.unwrap_or_default();
        let form = format!(
            "<form class=\"search\" method=\"get\" action=\"/search\" role=\"search\">\
             <label for=\"q\">Title, artist, year or number</label>\
             <input id=\"q\" name=\"q\" type=\"search\" value=\"{}\"><button>Search</button></form>",
            escape(text)
        );
        let found: Vec<_> = ITEMS.iter().filter(|item| item.matches(text)).collect();
        let caption = match (asked, found.len()) {
            (None, _) => "The catalogue".to_owned(),
            (Some(_), 1) => "1 recording found".to_owned(),
            (Some(_), count) => format!("{count} recordings found"),
        };
        let rows = found.into_iter().map(Item::row);
        let list = table(&caption, &["Number", "Title", "Artist", "Year", "Carrier"], rows);
        self.page(StatusCode::OK, "Recordings", &format!("{form}\n{list}"))
    }

    fn recording(&self, item: &Item) -> Answer {
        let number = item.number;
        let master = if self.told.is_curator {
            format!("<li><a href=\"/downloads/masters/{number}.wav\">Master</a> (WAV, half a gigabyte)</li>")
        } else {
            "<li>The master is for curators.</li>".to_owned()
        };
        let body = format!(
            "{}\n<p>{}</p>\n<h2>Downloads</h2>\n<ul>\n\
             <li><a href=\"/downloads/{number}/notes.txt\">Notes</a> (text)</li>\n\
             <li><a href=\"/downloads/{number}/listening.wav\">Listening copy</a> (WAV, 5 megabytes)</li>\n{master}\n</ul>\n\
             <p><a href=\"/\">Back to the catalogue</a></p>",
            table("Entry in the catalogue", &["Number", "Title", "Artist", "Year", "Carrier"], [item.row()]),
            escape(item.notes),
        );
        self.page(StatusCode::OK, item.title, &body)
    }

    fn send(&self, item: &Item, kind: &str, seconds: u32) -> Answer {
        let name = format!("{}-{kind}.wav", item.number);
        download::send(&Recording::new(item.hertz, seconds), &name, self.headers)
    }

    fn with(&self, number: &str, show: impl FnOnce(&Self, &'static Item) -> Answer) -> Answer {
        match ITEMS.iter().find(|item| item.number == number) {
            Some(item) => show(self, item),
            None => self.missing(),
        }
    }

    fn missing(&self) -> Answer {
        self.page(StatusCode::NOT_FOUND, "Not found", "<p>There is nothing at this address.</p>")
    }

    fn page(&self, status: StatusCode, title: &str, body: &str) -> Answer {
        let own = [("Catalogue", "/")];
        page(status, self.archives.frame.page(title, &self.told, &own, body, self.headers))
    }
}

impl Item {
    /// Tells whether every word asked for occurs somewhere in the entry.
    fn matches(&self, asked: &str) -> bool {
        let entry = format!("{} {} {} {} {}", self.number, self.title, self.artist, self.year, self.carrier);
        let entry = entry.to_lowercase();
        asked.split_whitespace().all(|word| entry.contains(&word.to_lowercase()))
    }

    fn row(&self) -> Vec<String> {
        let number = self.number;
        vec![
            format!("<a href=\"/recordings/{number}\">{number}</a>"),
            escape(self.title),
            escape(self.artist),
            self.year.to_string(),
            escape(self.carrier),
        ]
    }
}

fn notes(item: &Item) -> Answer {
    let text = format!(
        "{}\n{}, {}\nGMR Records {}, {}\n\n{}\n",
        item.title, item.artist, item.year, item.number, item.carrier, item.notes
    );
    answer(StatusCode::OK, "text/plain; charset=utf-8", text)
}

fn asked(uri: &Uri) -> String {
    let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(name, _)| name == "q").map_or_else(String::new, |(_, value)| value.into_owned())
}

const ITEMS: [Item; 6] = [
    Item {
        number: "GMR-0017",
        title: "Foxtrot for a Rainy Pier",
        artist: "The Salon Orchestra of the Grand Pavilion",
        year: 1931,
        carrier: "shellac disc",
        notes: "Recorded in one take. The applause after the second chorus is the tea room's.",
        hertz: 262,
    },
    Item {
        number: "GMR-0233",
        title: "Songs from the Signal Box",
        artist: "Tobias Fenn",
        year: 1954,
        carrier: "shellac disc",
        notes: "Six songs with concertina. Side two runs fast by a quarter tone; corrected in the master.",
        hertz: 294,
    },
    Item {
        number: "GMR-1108",
        title: "Music for Rectangular Rooms",
        artist: "Oblong Trio",
        year: 1968,
        carrier: "quarter-inch tape",
        notes: "Vibraphone, bass and drums in the old boardroom. Tape baked and transferred in 2011.",
        hertz: 330,
    },
    Item {
        number: "GMR-1544",
        title: "North by a Little West",
        artist: "The Tin Weathervanes",
        year: 1979,
        carrier: "quarter-inch tape",
        notes: "The original mix. The one in the shops was made a week later.",
        hertz: 392,
    },
    Item {
        number: "GMR-2210",
        title: "Seven Small Harbours",
        artist: "Ada Marlowe",
        year: 2019,
        carrier: "file",
        notes: "Field recordings of seven harbours, each with one song.",
        hertz: 440,
    },
    Item {
        number: "GMR-2391",
        title: "Lanterns on the Canal",
        artist: "Ada Marlowe",
        year: 2025,
        carrier: "file",
        notes: "With the string quartet that lives on the fourth boat.",
        hertz: 494,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn get(uri: &str, groups: &str) -> Answer {
        let archives = Archives { frame: Frame { application: "Archives", class: "archives", links: vec![] } };
        let lines = [("x-remote-user", "zoe"), ("x-remote-groups", groups)];
        let headers = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        archives.answer(&Method::GET, &uri.parse().unwrap(), &headers.collect())
    }

    async fn text(answer: Answer) -> String {
        use http_body_util::BodyExt;
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_search_finds_every_word_and_writes_the_question_as_text() {
        let found = text(get("/search?q=MARLOWE+2019", "")).await;
        assert!(found.contains("1 recording found") && found.contains("GMR-2210"));
        let none = text(get("/search?q=%3Cscript%3E", "")).await;
        assert!(none.contains("0 recordings found") && none.contains("&lt;script&gt;") && !none.contains("<script>"));
    }

    #[tokio::test]
    async fn masters_are_offered_to_curators() {
        assert!(!text(get("/recordings/GMR-0017", "archive-readers")).await.contains("/masters/"));
        assert!(text(get("/recordings/GMR-0017", "archive-curators")).await.contains("/masters/"));
    }

    #[test]
    fn downloads_are_found_by_their_addresses() {
        let status = |uri| get(uri, "").status();
        assert_eq!(status("/downloads/GMR-0017/notes.txt"), StatusCode::OK);
        assert_eq!(status("/downloads/GMR-0017/listening.wav"), StatusCode::OK);
        assert_eq!(status("/downloads/masters/GMR-0017.wav"), StatusCode::OK);
        assert_eq!(status("/downloads/masters/GMR-0017"), StatusCode::NOT_FOUND);
        assert_eq!(status("/downloads/GMR-9999/notes.txt"), StatusCode::NOT_FOUND);
        assert_eq!(status("/recordings/"), StatusCode::NOT_FOUND);
    }
}
