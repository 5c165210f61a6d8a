//! What it costs to read the framing of a request strictly (H01): `cargo bench --bench framing`.
//!
//! One head is read in four ways, each under callgrind, with a number of heads and with three times as many; the difference is what heads
//! cost. What strictness adds to splitting a head into its lines may be 2 % of a request's instructions (`benches/instructions/figures.toml`);
//! more is a failure. Needs valgrind.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::hint::black_box;
use std::process::{Command, ExitCode};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use lychgate::http::framing::HeadScan;
use lychgate::http::request::HeadReader;
use memchr::memchr;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const FIELDS: usize = 100;
const FEW: u64 = 500;
/// What is allowed, in hundredths of a per cent of a request.
const MOST: u64 = 200;
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/figures.toml");

/// A way to read a head.
type Way = fn(&str, u64) -> Result<()>;
const WAYS: [(&str, Way); 4] =
    [("lines", lines_alone), ("framing", lines_and_framing), ("httparse", by_httparse), ("reader", by_our_reader)];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.as_slice() {
        [way, times] if way != "--bench" => read(way, times).map(|()| true),
        _ => compare(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A browser's request with 600 bytes of cookies.
fn head() -> String {
    let cookies = format!("theme=dark; __Host-lychgate={}; JSESSIONID=abc", "x".repeat(560));
    [
        "GET /statements/2026/07 HTTP/1.1",
        "Host: royalty.gmr.example",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "Accept: text/html,application/xhtml+xml",
        "Accept-Encoding: gzip, br",
        "Accept-Language: en",
        "Referer: https://royalty.gmr.example/",
        "Sec-Fetch-Mode: navigate",
        &format!("Cookie: {cookies}"),
        "\r\n",
    ]
    .join("\r\n")
}

fn read(way: &str, times: &str) -> Result<()> {
    let (_, way) = WAYS.iter().find(|(name, _)| *name == way).ok_or("no such way")?;
    way(&head(), times.parse()?)
}

fn lines_alone(head: &str, times: u64) -> Result<()> {
    let mut ends = Vec::new();
    for _ in 0..times {
        let (bytes, mut searched) = (black_box(head).as_bytes(), 0);
        while let Some(found) = memchr(b'\n', bytes.get(searched..).unwrap_or_default()) {
            ends.push(searched + found);
            searched += found + 1;
        }
        black_box(&mut ends).clear();
    }
    Ok(())
}

fn lines_and_framing(head: &str, times: u64) -> Result<()> {
    let mut scan = HeadScan::default();
    for _ in 0..times {
        let end = scan.scan(black_box(head).as_bytes()).map_err(|error| error.code())?;
        black_box((end, scan.body().map_err(|error| error.code())?, scan.ends()));
        scan.clear();
    }
    Ok(())
}

fn by_our_reader(head: &str, times: u64) -> Result<()> {
    let mut reader = HeadReader::new(64 << 10, FIELDS);
    for _ in 0..times {
        black_box(reader.take(&mut BytesMut::from(black_box(head)))?);
    }
    Ok(())
}

/// As hyper reads a head, but that the values are checked once more, because to leave that out is not safe.
fn by_httparse(head: &str, times: u64) -> Result<()> {
    for _ in 0..times {
        black_box(leniently(BytesMut::from(black_box(head)))?);
    }
    Ok(())
}

fn leniently(mut read: BytesMut) -> Result<Request<()>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(end) = parsed.parse(&read)? else { return Err("a part of a head".into()) };
    let base = read.as_ptr().addr();
    let place = |part: &[u8]| part.as_ptr().addr() - base..part.as_ptr().addr() - base + part.len();
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())?;
    let target = place(parsed.path.unwrap_or_default().as_bytes());
    let mut places = Vec::with_capacity(parsed.headers.len());
    places.extend(parsed.headers.iter().map(|field| (place(field.name.as_bytes()), place(field.value))));
    let bytes: Bytes = read.split_to(end).freeze();
    let mut headers = HeaderMap::with_capacity(places.len());
    for (name, value) in places {
        let name = HeaderName::from_bytes(bytes.get(name).unwrap_or_default())?;
        headers.try_append(name, HeaderValue::from_maybe_shared(bytes.slice(value))?)?;
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_maybe_shared(bytes.slice(target))?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn compare() -> Result<bool> {
    let mut found = Vec::new();
    for (name, _) in WAYS {
        let each = (collected(name, 3 * FEW)? - collected(name, FEW)?) / (2 * FEW);
        println!("{name:10} {each:6} instructions a head");
        found.push(each);
    }
    let [lines, framing, ..] = found.as_slice() else { return Err("nothing was measured".into()) };
    let strictness = framing.saturating_sub(*lines);
    let request = request()?;
    let share = strictness * 10_000 / request;
    println!(
        "strictness {strictness:6} instructions, {}.{:02} % of a request on HTTP/1.1 ({request}); {} % are allowed",
        share / 100,
        share % 100,
        MOST / 100
    );
    Ok(share <= MOST)
}

/// What a request costs, as it was checked in.
fn request() -> Result<u64> {
    let figures: toml::Table = std::fs::read_to_string(FIGURES)?.parse()?;
    let figure = figures.get("http1").and_then(|kind| kind.get("instructions")).and_then(toml::Value::as_integer);
    Ok(u64::try_from(figure.ok_or("figures.toml has no figure for HTTP/1.1")?)?)
}

/// Instructions of this program that reads so many heads.
fn collected(way: &str, times: u64) -> Result<u64> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([way, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.filter(|_| run.status.success()).ok_or_else(|| said.into())
}
