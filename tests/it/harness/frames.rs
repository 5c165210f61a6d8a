//! A client that writes HTTP/2 frame by frame, sound or not (RFC 9113 section 4.1).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::gateway::HOST;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
pub(crate) const CALM: u32 = 11;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client says first: the preface and empty settings.
pub(crate) fn opening() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

/// The head of a request in HPACK, nothing of it kept in the table.
pub(crate) fn head(method: &str, path: &str) -> Vec<u8> {
    let literal = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    [literal(2, method), vec![0x87], literal(4, path), literal(1, HOST)].concat()
}

/// Any fields in HPACK, nothing of them kept in the table; what is said need not be sound.
pub(crate) fn fields(fields: &[(&str, &[u8])]) -> Vec<u8> {
    // RFC 7541 section 5.1: seven bits, and what is more in two bytes, which is enough.
    let length = |length: usize| match length.checked_sub(127) {
        None => vec![u8::try_from(length).unwrap()],
        Some(more) => vec![127, u8::try_from(more % 128 + 128).unwrap(), u8::try_from(more / 128).unwrap()],
    };
    let text = |bytes: &[u8]| [&length(bytes.len()), bytes].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name.as_bytes()), text(value)].concat()).collect()
}

/// A request's head in one frame; the body is still to come.
pub(crate) fn request(stream: u32, method: &str, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(method, path))
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The reason of a GOAWAY.
    pub(crate) fn goes_away(&self) -> Option<u32> {
        (self.kind == GOAWAY).then(|| u32::from_be_bytes(self.payload[4..8].try_into().unwrap()))
    }
}

/// The frames of these bytes; what is incomplete at their end is left out.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut all = Vec::new();
    while let Some((&[high, middle, low, kind, flags, a, b, c, d], rest)) = bytes.split_first_chunk::<9>() {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes([a, b, c, d]);
        all.push(Frame { kind, flags, stream, payload: payload.to_vec() });
        bytes = rest;
    }
    all
}

/// What became of a flood.
pub(crate) struct Flooded {
    /// Whether the gateway ended the connection before everything was sent.
    pub(crate) ended: bool,
    /// How many frames had been given to the socket by then.
    pub(crate) sent: u32,
    /// What came back.
    pub(crate) received: Vec<Frame>,
}

impl Flooded {
    /// The reason of the GOAWAY that came, where one did.
    pub(crate) fn reason(&self) -> Option<u32> {
        self.received.iter().find_map(Frame::goes_away)
    }
}

/// How long the other side may take to close after the last frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `first`, then up to `most` times what `next` makes, and reads meanwhile, until the other side has closed.
pub(crate) async fn flood(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    first: Vec<u8>,
    most: u32,
    mut next: impl FnMut(u32) -> Vec<u8>,
) -> Flooded {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut received = Vec::new();
    let mut sent = 0;
    let writing = async {
        if writer.write_all(&[first, frame(SETTINGS, ACK, 0, &[])].concat()).await.is_err() {
            return true;
        }
        while sent < most {
            // In portions, so that a whole flood does not take a system call for each frame.
            let portion: Vec<u8> = (sent..(sent + 32).min(most)).flat_map(&mut next).collect();
            if writer.write_all(&portion).await.is_err() || writer.flush().await.is_err() {
                return true;
            }
            sent = (sent + 32).min(most);
        }
        false
    };
    let reading = async {
        // A reset is an end like any other.
        while reader.read_buf(&mut received).await.is_ok_and(|read| read > 0) {}
    };
    let mut reading = std::pin::pin!(reading);
    let refused = tokio::select! {
        biased;
        () = &mut reading => None,
        refused = writing => Some(refused),
    };
    // Who closes may have said why; and what was written may not have been read yet.
    let ended = match refused {
        None => true,
        Some(refused) => tokio::time::timeout(PATIENCE, reading).await.is_ok() || refused,
    };
    Flooded { ended, sent, received: frames(&received) }
}
