//! Heads and bodies, sound and hostile, whole and in pieces.

use proptest::prelude::*;

use super::*;
use crate::http::framing::FramingError::*;

const HEAD: &str = "Host: a\r\nAccept: */*\r\nCookie: a=b\r\n";
const LONGEST: usize = 4096;

/// Why bytes are no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsound {
    Head(UnreadableHead),
    Body,
    /// They end within a message.
    Cut,
}

/// What is read when bytes come in these pieces: of each request its head as text and its body.
fn read(pieces: &[&[u8]]) -> Result<Vec<(String, Vec<u8>)>, Unsound> {
    let (mut reader, mut came) = (HeadReader::new(LONGEST, 20), BytesMut::new());
    let (mut requests, mut body): (Vec<(String, Vec<u8>)>, _) = (Vec::new(), Decoder::Done);
    for piece in pieces {
        came.extend_from_slice(piece);
        loop {
            if let Some(data) = body.take(&mut came).map_err(|_| Unsound::Body)? {
                requests.last_mut().unwrap().1.extend_from_slice(&data);
            } else if !body.is_done() {
                break;
            } else if let Some(arrived) = reader.take(&mut came).map_err(Unsound::Head)? {
                requests.push((format!("{:?}", arrived.request), Vec::new()));
                body = arrived.body;
            } else {
                break;
            }
        }
    }
    if body.is_done() && came.is_empty() { Ok(requests) } else { Err(Unsound::Cut) }
}

fn with(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\n{HEAD}{fields}\r\n{body}").into_bytes()
}

fn one(head: &str) -> Arrived {
    HeadReader::new(LONGEST, 20).take(&mut BytesMut::from(head)).unwrap().unwrap()
}

fn sound() -> Vec<Vec<u8>> {
    vec![
        with("", ""),
        with("Content-Length: 0\r\n", ""),
        with("content-length:5\r\n", "a\nb\rc"),
        with("Transfer-Encoding: Chunked\r\n", "5\r\na\nb\rc\r\nA;x=\"y z\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"),
        with("Content-Lengthy: x\r\nContent-Type: a\r\nTe: trailers\r\nTransfer-Encodings: x\r\n", ""),
        // As long as the names that frame, and begin alike.
        with("Content-Digest: sha-256=:x:\r\nTransfer-Decoding: x\r\ncccccccccccccc: 1\r\n", ""),
        [b"\r\n\r\n".as_slice(), &with("", "")].concat(),
    ]
}

fn framed_twice() -> Vec<(FramingError, Vec<u8>)> {
    vec![
        (LineEnd, b"GET / HTTP/1.1\nHost: a\n\n".to_vec()),
        (LineEnd, with("X: a\n", "")),
        (LineEnd, with("X: a\rb\r\n", "")),
        (LineEnd, with("X: a\r\r\n", "")),
        (LineEnd, b"\nGET / HTTP/1.1\r\n\r\n".to_vec()),
        (LengthRepeated, with("Content-Length: 1\r\nContent-Length: 1\r\n", "a")),
        (LengthRepeated, with("Content-Length: 1\r\ncontent-length: 2\r\n", "a")),
        (LengthMalformed, with("Content-Length: 1, 1\r\n", "a")),
        (LengthMalformed, with("Content-Length: +1\r\n", "a")),
        (LengthMalformed, with("Content-Length: 0x1\r\n", "a")),
        (LengthMalformed, with("Content-Length:\r\n", "")),
        (LengthMalformed, with("Content-Length: 99999999999999999999\r\n", "")),
        (LengthMalformed, with("Content-Length: 00000000000000000000\r\n", "")),
        (LengthAndCoding, with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        (LengthAndCoding, with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n")),
        (CodingUnsupported, with("Transfer-Encoding: gzip, chunked\r\n", "")),
        (CodingUnsupported, with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "")),
        (CodingUnsupported, with("Transfer-Encoding: identity\r\n", "")),
        (CodingUnsupported, with("Transfer-Encoding: \"chunked\"\r\n", "")),
        (CodingUnsupported, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
        (LookAlike, with("Transfer_Encoding: chunked\r\n", "")),
        (LookAlike, with("content.length: 1\r\n", "")),
        (LookAlike, with("Content-Length : 1\r\n", "")),
        (LookAlike, with("Transfer-Encoding\tx: 1\r\n", "")),
        (Fragment, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
    ]
}

#[test]
fn h01_what_can_be_framed_in_two_ways_is_refused() {
    let all = sound().concat();
    for (error, bytes) in framed_twice() {
        let refused = Err(Unsound::Head(UnreadableHead::Framing(error)));
        assert_eq!(read(&[&bytes]), refused, "{:?}", String::from_utf8_lossy(&bytes));
        assert_eq!(read(&[&all, &bytes]), refused);
        // Behind what is refused nothing is read, however it comes.
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), refused);
    }
}

#[test]
fn h01_a_line_is_refused_as_soon_as_its_end_has_come() {
    for begun in ["GET / HTTP/1.1\n", "GET /#x HTTP/1.1\r\n", "GET / HTTP/1.1\r\nX: a\n", "\n"] {
        assert!(matches!(read(&[begun.as_bytes()]), Err(Unsound::Head(_))), "{begun:?}");
    }
    for begun in ["GET / HTTP/1.1\r\nTransfer_Encoding: x\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n"] {
        assert!(matches!(read(&[begun.as_bytes()]), Err(Unsound::Head(_))), "{begun:?}");
    }
}

#[test]
fn h01_sound_requests_are_read_one_after_the_other() {
    let requests = read(&[&sound().concat()]).unwrap();
    assert_eq!(requests.len(), sound().len());
    let bodies: Vec<_> = requests.iter().map(|(_, body)| body.as_slice()).collect();
    assert_eq!(bodies, [b"", b"", &b"a\nb\rc"[..], b"a\nb\rc0123456789", b"", b"", b""]);
}

#[test]
fn h01_a_body_is_never_taken_for_a_head() {
    let inner = "GET /a#b HTTP/1.1\nTransfer_Encoding: x\n\n";
    assert!(read(&[&with(&format!("Content-Length: {}\r\n", inner.len()), inner)]).is_ok());
    assert!(read(&[&with(&format!("Content-Length: {}\r\n", inner.len() - 3), inner)]).is_err());
    for fields in ["Content-Length: 3\r\n", "Content-Length: 03\r\n"] {
        assert_eq!(read(&[&with(fields, "a\nb"), b"GET / HTTP/1.1\r\n\r\n"]).unwrap().len(), 2);
        assert!(read(&[&with(fields, "a\nb"), b"\n"]).is_err());
    }
    let chunks = "3\r\na\nb\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\nx";
    let refused = read(&[&with("Transfer-Encoding: chunked\r\n", chunks)]);
    assert_eq!(refused, Err(Unsound::Head(UnreadableHead::Framing(LineEnd))));
    for chunk in ["0x5\r\n", "5 \r\nhello\r\n", "-1\r\n", "\r\n", "ffffffffffffffff\r\n", "5;a\x01\r\nhello\r\n"] {
        assert_eq!(read(&[&with("Transfer-Encoding: chunked\r\n", chunk)]), Err(Unsound::Body), "{chunk:?}");
    }
}

#[test]
fn h02_what_is_no_head_of_a_request_is_refused() {
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/1.2",
        "GET / http/1.1",
        "GET /",
        "GET",
        "GET /a b HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "PRI * HTTP/2.0",
        "\u{16}\u{3}\u{1}",
    ] {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(read(&[head.as_bytes()]), Err(Unsound::Head(UnreadableHead::Malformed)), "{line:?}");
    }
    for field in ["X", ": x", "X : y", " X: y", "X: a\r\n b", "X: \0", "X: \u{1b}", "X y: z", "X\u{e9}: y", "(X): y"] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
        assert_eq!(read(&[head.as_bytes()]), Err(Unsound::Head(UnreadableHead::Malformed)), "{field:?}");
    }
}

#[test]
fn h01_no_value_has_a_control_character_but_a_tab() {
    for byte in (0..0x20).chain([0x7f]) {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\nX: a", &[byte][..], b"b\r\n\r\n"].concat();
        let expected = match byte {
            b'\t' => None,
            b'\r' | b'\n' => Some(Unsound::Head(LineEnd.into())),
            _ => Some(Unsound::Head(UnreadableHead::Malformed)),
        };
        assert_eq!(read(&[&head]).err(), expected, "{byte:#x}");
    }
}

#[test]
fn h02_a_head_says_what_its_bytes_say() {
    let arrived = one(
        "PATCH /a%20b?c=d HTTP/1.1\r\nHost: a\r\nX:\t y z \t\r\nx: \r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
    );
    assert_eq!(
        (arrived.request.method(), arrived.request.uri().to_string()),
        (&Method::PATCH, "/a%20b?c=d".to_owned())
    );
    let values: Vec<_> = arrived.request.headers().get_all("x").iter().collect();
    assert_eq!(values, ["y z", ""]);
    assert_eq!((arrived.body, arrived.expects_continue, arrived.upgrades), (Decoder::Length(1), true, false));
    assert!(one("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n").upgrades);
    assert!(!one("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n").upgrades);
    // Nothing would follow.
    assert!(!one("GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n").expects_continue);
    assert!(!one("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").expects_continue);
}

#[test]
fn every_refusal_of_a_head_has_its_code() {
    let all = [
        (UnreadableHead::Malformed, "head_unreadable"),
        (UnreadableHead::TooLarge, "head_too_large"),
        (UnreadableHead::Framing(LineEnd), "line_end_bare"),
    ];
    for (refused, code) in all {
        assert_eq!((refused.code(), refused.to_string().as_str()), (code, code));
    }
}

#[test]
fn h07_a_connection_is_kept_where_the_client_says_so() {
    let keeps = |version: &str, fields: &str| one(&format!("GET / HTTP/{version}\r\n{fields}\r\n")).keeps;
    assert!(
        keeps("1.1", "") && keeps("1.1", "Connection: x, upgrade\r\n") && keeps("1.0", "connection: Keep-Alive\r\n")
    );
    assert!(!keeps("1.0", "") && !keeps("1.1", "Connection: Close\r\n"));
    assert!(!keeps("1.1", "Connection: x,close\r\nConnection: keep-alive\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive\r\nConnection: close\r\n"));
}

#[test]
fn h02_a_head_has_so_many_bytes_and_fields_and_no_more() {
    let taken = |longest: usize, most: usize, text: &str, at: usize| {
        let mut reader = HeadReader::new(longest, most);
        let mut read = BytesMut::from(&text[..at]);
        let begun = reader.take(&mut read)?.map(|_| ());
        read.extend_from_slice(&text.as_bytes()[at..]);
        Ok::<_, UnreadableHead>(begun.or(reader.take(&mut read)?.map(|_| ())))
    };
    let text = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n";
    for at in [0, 5, 20, text.len() - 1, text.len()] {
        assert_eq!(taken(text.len(), 2, text, at), Ok(Some(())));
        assert_eq!(taken(text.len() - 1, 2, text, at), Err(UnreadableHead::TooLarge));
        assert_eq!(taken(text.len(), 1, text, at), Err(UnreadableHead::TooLarge));
    }
    // What has no end yet counts too.
    assert_eq!(taken(4, 2, "GET /", 5), Err(UnreadableHead::TooLarge));
    assert_eq!(taken(5, 2, "GET /", 5), Ok(None));
}

proptest! {
    #[test]
    fn h01_requests_are_the_same_in_whatever_pieces_they_come(
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        which in proptest::collection::vec(any::<proptest::sample::Index>(), 1..5),
    ) {
        let mut all = sound();
        all.extend(framed_twice().into_iter().map(|(_, bytes)| bytes));
        let text: Vec<u8> = which.iter().flat_map(|which| which.get(&all).clone()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        prop_assert_eq!(read(&pieces), read(&[&text]));
    }

    #[test]
    fn t02_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&[&bytes]);
        let _ = read(&[b"GET / HTTP/1.1\r\n", &bytes, b"\r\n\r\n"]);
    }
}
