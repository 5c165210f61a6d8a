//! Heads of answers, in one piece and in many, and over a connection.

use std::future::poll_fn;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::super::socket::Socket;
use super::*;

/// What is read of an answer's head, that comes in such pieces.
fn heard(pieces: &[&[u8]], to_head: bool) -> Result<Option<AnswerHead>, UpstreamError> {
    let (mut reader, mut bytes) = (HeadReader::new(to_head), BytesMut::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        while let Some(head) = reader.take(&mut bytes)? {
            let head = read(&head, to_head)?;
            if !head.response.status().is_informational() {
                return Ok(Some(head));
            }
        }
    }
    Ok(None)
}

fn framed(fields: &str) -> Result<(Decoder, bool), UpstreamError> {
    let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    heard(&[text.as_bytes()], false).map(|head| head.map(|head| (head.decoder, head.keeps)).unwrap())
}

#[test]
fn h08_the_length_of_an_answer_has_one_reading() {
    assert_eq!(framed("Content-Length: 5\r\n"), Ok((Decoder::Length(5), true)));
    assert_eq!(framed("Content-Length: 5, 5\r\nContent-Length:5\r\n"), Ok((Decoder::Length(5), true)));
    assert_eq!(framed("Content-Length: 0\r\n"), Ok((Decoder::Done, true)));
    assert_eq!(framed("Transfer-Encoding: CHUNKED\r\n"), Ok((Decoder::chunked(Sender::Application), true)));
    assert_eq!(framed(""), Ok((Decoder::UntilClose, false)));
    // A coding counts before a length, and the connection is not trusted any more.
    assert_eq!(
        framed("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        Ok((Decoder::chunked(Sender::Application), false))
    );
    for fields in [
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: y\r\n z\r\n",
    ] {
        assert_eq!(framed(fields), Err(UpstreamError::Invalid), "{fields:?}");
    }
    let old = heard(&[b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], false);
    assert!(old.is_err());
}

#[test]
fn h04_what_an_answer_says_of_its_connection_goes_no_further() {
    let text = "HTTP/1.1 200 OK\r\nConnection: X-Internal, close\r\nX-Internal: 1\r\nx-internal: 2\r\nContent-Length: 2\r\nETag: e\r\n\r\n";
    let head = heard(&[text.as_bytes()], false).unwrap().unwrap();
    assert_eq!(head.response.headers().keys().collect::<Vec<_>>(), ["etag"]);
    let head = heard(&[b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"], false).unwrap().unwrap();
    assert_eq!(head.response.headers()["content-length"], "2");
}

#[test]
fn h07_a_connection_is_kept_where_both_say_so() {
    let keeps = |text: &str| heard(&[text.as_bytes()], false).unwrap().unwrap().keeps;
    assert!(keeps("HTTP/1.1 204 No Content\r\n\r\n"));
    assert!(keeps("HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n"));
    assert!(keeps("HTTP/1.0 204 No Content\r\nConnection: x, Keep-Alive\r\n\r\n"));
    assert!(!keeps("HTTP/1.0 204 No Content\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nconnection: Close\r\n\r\n"));
}

#[test]
fn h08_a_connection_is_not_kept_where_a_body_may_come_that_must_not() {
    let long = "Content-Length: 9\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (status, fields, to_head, kept) in [
        (200, long, true, false),
        (200, chunked, true, false),
        (200, "", true, false),
        (200, "Content-Length: 0\r\n", true, true),
        (200, "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", true, false),
        (404, long, true, false),
        (200, long, false, true),
        (204, "", false, true),
        (204, "", true, true),
        (204, "Content-Length: 0\r\n", false, true),
        (204, long, false, false),
        (204, chunked, false, false),
        (304, "", false, true),
        (304, "", true, true),
        (304, long, false, false),
        (304, long, true, false),
        (304, chunked, false, false),
    ] {
        let text = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        let head = heard(&[text.as_bytes()], to_head).unwrap().unwrap();
        assert_eq!(head.keeps, kept, "{text:?} to HEAD: {to_head}");
    }
}

#[test]
fn h06_answers_to_head_have_no_body_and_interim_ones_are_passed_over() {
    let text = b"\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 7\r\n\r\n";
    let head = heard(&[text], true).unwrap().unwrap();
    assert_eq!((head.decoder, head.response.headers()["content-length"].as_bytes()), (Decoder::Done, &b"7"[..]));
    assert_eq!(head.response.extensions().get::<ReasonPhrase>().unwrap().as_bytes(), b"Fine");
    assert!(!head.response.headers().contains_key("link"));
}

#[test]
fn h08_a_head_that_never_ends_is_refused() {
    let line = format!("X: {}\r\n", "y".repeat(1000));
    let long = format!("HTTP/1.1 200 OK\r\n{}", line.repeat(70));
    assert_eq!(heard(&[long.as_bytes()], false).err(), Some(UpstreamError::Invalid));
    assert_eq!(heard(&[b"SSH-2.0-OpenSSH_9.9\r\n"], false).err(), Some(UpstreamError::Invalid));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(MAX_FIELDS + 1));
    assert_eq!(heard(&[many.as_bytes()], false).err(), Some(UpstreamError::Invalid));
}

/// What is heard of an application that says so much and closes.
async fn said(text: &[u8], to_head: bool) -> Result<AnswerHead, UpstreamError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (application, socket) = tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
    let (mut application, _) = application.unwrap();
    application.write_all(text).await.unwrap();
    drop(application);
    let mut connection = Connection::new(Socket::Clear(socket.unwrap()));
    let mut reader = HeadReader::new(to_head);
    poll_fn(|context| reader.poll(&mut connection, context)).await
}

#[tokio::test]
async fn h06_a_connection_is_read_past_interim_answers_but_not_past_a_switch_of_protocols() {
    let early = b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    let head = said(early, false).await.unwrap();
    assert_eq!((head.response.status(), head.decoder), (StatusCode::OK, Decoder::Length(7)));
    assert_eq!(said(early, true).await.unwrap().decoder, Decoder::Done);
    let switch =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n";
    let head = said(switch, false).await.unwrap();
    assert_eq!((head.response.status(), head.decoder), (StatusCode::SWITCHING_PROTOCOLS, Decoder::Done));
    assert_eq!(head.response.headers()["upgrade"], "websocket");
}

#[tokio::test]
async fn h08_only_so_many_interim_answers_are_passed_over() {
    for (count, expected) in [(MAX_INTERIM, Ok(StatusCode::OK)), (MAX_INTERIM + 1, Err(UpstreamError::Invalid))] {
        let text = format!("{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n".repeat(count));
        let found = said(text.as_bytes(), false).await.map(|head| head.response.status());
        assert_eq!(found, expected, "{count}");
    }
}

#[test]
fn h08_an_answer_whose_names_are_no_tokens_is_none() {
    for name in ["X\"A", "\"", "X A", "X(A", "X/A", ""] {
        let text = format!("HTTP/1.1 200 OK\r\nETag: \"x\"\r\n{name}: a\r\n\r\n");
        assert_eq!(heard(&[text.as_bytes()], false).err(), Some(UpstreamError::Invalid), "{name:?}");
    }
    assert!(heard(&[b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nX'A: a\r\n\r\n"], false).is_ok());
}

#[tokio::test]
async fn h08_an_end_before_an_answer_is_told_from_what_is_none() {
    for text in ["", "\r\n", "HTT", "HTTP/1.1 200 OK\r\nContent-Len", "HTTP/1.1 100 Continue\r\n\r\n"] {
        assert_eq!(said(text.as_bytes(), false).await.err(), Some(UpstreamError::Closed), "{text:?}");
    }
    for text in ["SSH", "HTTX", "http"] {
        assert_eq!(said(text.as_bytes(), false).await.err(), Some(UpstreamError::Invalid), "{text:?}");
    }
}

#[test]
fn h08_a_head_and_its_fields_have_a_bound() {
    let of_length = |length: usize| {
        let frame = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(length - frame))
    };
    assert!(heard(&[of_length(MAX_HEAD).as_bytes()], false).unwrap().is_some());
    assert_eq!(heard(&[of_length(MAX_HEAD + 1).as_bytes()], false).err(), Some(UpstreamError::Invalid));
    let of_fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
    let head = heard(&[of_fields(MAX_FIELDS).as_bytes()], false).unwrap().unwrap();
    assert_eq!(head.response.headers().len(), MAX_FIELDS);
}

#[test]
fn h08_a_head_ends_with_its_empty_line_and_nothing_behind_it_is_taken() {
    for end in ["\r\n\r\n", "\n\n", "\n\r\n", "\r\n\n"] {
        for body in ["", "x", "\nx", "\r\nx"] {
            let head = format!("HTTP/1.1 200 OK\nContent-Length: 3{end}");
            let mut bytes = BytesMut::from(format!("{head}{body}").as_str());
            let taken = HeadReader::new(false).take(&mut bytes).unwrap().unwrap();
            assert_eq!((&taken[..], &bytes[..]), (head.as_bytes(), body.as_bytes()), "{end:?}");
        }
    }
}

#[test]
fn h06_a_reason_is_kept_where_it_is_not_the_usual_one() {
    let reason = |line: &[u8]| {
        let head = heard(&[line, b"\r\n\r\n"], false)?.unwrap();
        Ok(head.response.extensions().get::<ReasonPhrase>().map(|reason| reason.as_bytes().to_vec()))
    };
    assert_eq!(reason(b"HTTP/1.1 200 OK"), Ok(None));
    for (line, kept) in [
        (&b"HTTP/1.1 200"[..], &b""[..]),
        (b"HTTP/1.1 200 ", b""),
        (b"HTTP/1.0 404 Gone", b"Gone"),
        (b"HTTP/1.1 200 a\tb ~\x80\xff", b"a\tb ~\x80\xff"),
        (b"HTTP/1.1 999  x", b" x"),
    ] {
        assert_eq!(reason(line), Ok(Some(kept.to_vec())), "{}", line.escape_ascii());
    }
    for line in [
        &b"HTTP/1.1 200OK"[..],
        b"HTTP/1.1 2000",
        b"HTTP/1.1 20",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1  200 x",
        b"HTTP/1.1\t200 x",
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.1 200 a\x7f",
        b"HTTP/1.1 200 a\x1f",
        b"HTTP/1.1 200 a\0",
        b"HTTP/1.1 200 a\rb",
    ] {
        assert_eq!(reason(line), Err(UpstreamError::Invalid), "{}", line.escape_ascii());
    }
}

#[test]
fn h04_a_field_is_told_by_its_whole_name() {
    // As long as `Connection`, `Content-Length` and `Transfer-Encoding`.
    let text = "HTTP/1.1 200 OK\r\nX-Nnectio1: close\r\nX-Ntent-Lengt1: 5\r\nX-Ansfer-Encodin1: chunked\r\n\r\n";
    let head = heard(&[text.as_bytes()], false).unwrap().unwrap();
    assert_eq!((head.response.headers().len(), head.decoder), (3, Decoder::UntilClose));
}

proptest! {
    #[test]
    fn h08_a_head_is_the_same_in_whatever_pieces_it_comes(
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12), bare: bool,
    ) {
        let text = "HTTP/1.1 200 OK\r\nA: 1\r\nB: \r\nSet-Cookie: x\r\nSet-Cookie: y\r\nContent-Length: 3\r\n\r\n";
        let text = if bare { text.replace('\r', "") } else { text.to_owned() };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
        let head = heard(&pieces, false).unwrap().unwrap();
        prop_assert_eq!(head.decoder, Decoder::Length(3));
        prop_assert_eq!(head.response.headers().len(), 4);
    }

    #[test]
    fn t02_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = heard(&[b"HTTP/1.1 200 OK\r\n", &bytes, b"\r\n\r\n"], false);
        let _ = heard(&[&bytes], true);
    }
}
