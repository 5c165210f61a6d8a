//! What stands on the wire: requests, the PROXY protocol and frames, in whatever pieces they come.

use bytes::BytesMut;
use lychgate::http::decoder::Decoder;
use lychgate::http::frame_guard::FrameGuard;
use lychgate::http::proxy_protocol::{Announced, HeaderReader, MAX_BINARY, ProxyProtocolError};
use lychgate::http::request::HeadReader as RequestReader;

use super::framed;

/// Requests are read alike however their bytes arrive, nothing is read behind what is refused, and the strictest reader (`framed.rs`) has the same.
pub(crate) fn framing(data: &[u8]) {
    let whole = requests(data.chunks(data.len().max(1)));
    assert_eq!(requests(data.chunks(1)), whole);
    assert_eq!(requests(data.chunks(7)), whole);
    let (mut rest, mut ended) = (data, true);
    for Taken { head, method, fields, body } in &whole.0 {
        assert!(ended, "a request behind a body that has no end: {head}");
        let own = framed::next(&mut rest);
        assert_eq!((&own.method, own.fields), (method, *fields), "{head}");
        assert!(own.body.starts_with(body), "{head}: {body:?}, and {:?}", own.body);
        ended = own.whole && own.body == *body;
    }
}

/// A request that was taken.
#[derive(Debug, PartialEq)]
struct Taken {
    head: String,
    method: String,
    fields: usize,
    body: Vec<u8>,
}

/// What is read when bytes come in these pieces; and why it ends, if it is refused.
fn requests<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Taken>, Option<String>) {
    let (mut reader, mut came, mut body) = (RequestReader::new(usize::MAX, 10_000), BytesMut::new(), Decoder::Done);
    let mut requests: Vec<Taken> = Vec::new();
    for piece in pieces {
        came.extend_from_slice(piece);
        loop {
            match body.take(&mut came) {
                Ok(Some(data)) => requests.last_mut().unwrap().body.extend_from_slice(&data),
                Err(broken) => return (requests, Some(format!("{broken:?}"))),
                Ok(None) if !body.is_done() => break,
                Ok(None) => match reader.take(&mut came) {
                    Ok(None) => break,
                    Err(error) => return (requests, Some(error.code().to_owned())),
                    Ok(Some(arrived)) => {
                        let (head, method) = (format!("{:?}", arrived.request), arrived.request.method().to_string());
                        requests.push(Taken {
                            head,
                            method,
                            fields: arrived.request.headers().len(),
                            body: Vec::new(),
                        });
                        body = arrived.body;
                    }
                },
            }
        }
    }
    (requests, None)
}

/// A header is read alike however it arrives, and nothing behind it is taken.
pub(crate) fn proxy_protocol(data: &[u8]) {
    let whole = HeaderReader::default().take(data);
    let (mut reader, mut apart) = (HeaderReader::default(), Ok((0, None)));
    for byte in data {
        let next: Result<(usize, Option<Announced>), ProxyProtocolError> = reader.take(&[*byte]);
        let Ok((before, None)) = apart else { break };
        apart = next.map(|(taken, announced)| (before + taken, announced));
    }
    assert_eq!(whole.is_ok(), apart.is_ok());
    let Ok((taken, announced)) = whole else { return };
    assert_eq!(apart, Ok((taken, announced)));
    assert!(taken <= MAX_BINARY.min(data.len()) && (announced.is_some() || taken == data.len()));
    if let Some(announced) = announced {
        assert_eq!(announced_by(&data[..taken]), announced);
    }
}

/// Whom a header names that is known to be whole, by its places alone.
fn announced_by(header: &[u8]) -> Announced {
    let client = |address: std::net::IpAddr, port: u16| Announced::Client((address.to_canonical(), port).into());
    if let Some(line) = header.strip_prefix(b"PROXY ") {
        let line = std::str::from_utf8(line.strip_suffix(b"\r\n").unwrap()).unwrap();
        assert!(!line.contains(['\r', '\n']) || line.starts_with("UNKNOWN"), "{line:?}");
        let words: Vec<&str> = line.split(' ').collect();
        return match *words {
            ["TCP4" | "TCP6", source, destination, port, last] => {
                let source: std::net::IpAddr = source.parse().unwrap();
                let destination: std::net::IpAddr = destination.parse().unwrap();
                assert_eq!(
                    (source.is_ipv4(), destination.is_ipv4()),
                    (words[0] == "TCP4", words[0] == "TCP4"),
                    "{line:?}"
                );
                last.parse::<u16>().unwrap();
                client(source, port.parse().unwrap())
            }
            ["UNKNOWN", ..] => Announced::Nobody,
            _ => panic!("{line:?}"),
        };
    }
    let number = |at: usize| u16::from_be_bytes(header[at..at + 2].try_into().unwrap());
    assert_eq!(header.len(), 16 + usize::from(number(14)));
    match (header[12], header[13]) {
        (0x21, 0x11) => client(<[u8; 4]>::try_from(&header[16..20]).unwrap().into(), number(24)),
        (0x21, 0x21) => client(<[u8; 16]>::try_from(&header[16..32]).unwrap().into(), number(48)),
        (0x20, _) | (0x21, 0x00 | 0x31) => Announced::Nobody,
        other => panic!("{other:?}"),
    }
}

/// Frames are counted alike however they arrive, and refused only and always where many of a kind ask for nothing.
pub(crate) fn frames(data: &[u8]) {
    let whole = FrameGuard::new(0).inspect(data);
    let mut guard = FrameGuard::new(0);
    assert_eq!(data.iter().try_for_each(|byte| guard.inspect(&[*byte])), whole);
    let (mut rest, mut kinds) = (data.get(PREFACE..).unwrap_or_default(), [0u64; 256]);
    while let Some((&[high, middle, low, kind, ..], behind)) = rest.split_first_chunk::<9>() {
        kinds[usize::from(kind)] += 1;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        rest = behind.get(length..).unwrap_or_default();
    }
    let [_, _, _, resets, settings, _, pings, ..] = kinds;
    let idle: u64 = kinds.iter().sum::<u64>() - kinds[0] - kinds[1];
    match whole {
        Ok(()) => assert!(resets <= 1024 && settings <= 512 && pings <= 4096 && idle <= 4096, "{kinds:?}"),
        Err(why) => assert!(idle > 512, "{why:?} for {kinds:?}"),
    }
}

/// The bytes before the first frame.
const PREFACE: usize = 24;
