//! The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before its first byte.
//!
//! A [`HeaderReader`] is given bytes as they come, says how many of them belong to the header, and keeps no other. So nothing
//! behind the header is taken, whoever reads it next. Only addresses of TCP clients are believed; everything else that the protocol knows
//! (health checks, unknown and local families) announces nobody, and the additional fields are passed over once they add up.
//! Datagrams are refused: this is a stream.
//!
//! Pure. Bounds: a line of 107 bytes, a binary header of [`MAX_BINARY`] bytes; one allocation of at most that size, gone with the
//! reader. Trust boundary: bytes of a peer that the administrator trusts with addresses, read as strictly as a stranger's.
//! Specification: "The PROXY protocol, versions 1 & 2" of HAProxy, sections 2.1 and 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest line of version 1, with its end.
const MAX_LINE: usize = 107;
/// The longest header of version 2. The format allows 64 KiB; what load balancers send stays below 1 KiB.
pub const MAX_BINARY: usize = 4096;

const LINE_START: &[u8] = b"PROXY ";
const BINARY_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const BINARY_FIXED: usize = 16;
const UNIX_ADDRESSES: usize = 216;

/// What a header says of who is behind the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// This client.
    Client(SocketAddr),
    /// Nobody that has an address: the peer speaks for itself, or does not know.
    Nobody,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocolError {
    /// They begin in another way.
    Absent,
    /// A line that is longer than 107 bytes, or a binary header that is longer than [`MAX_BINARY`].
    TooLong,
    /// A line that does not end in CR LF, or has other words than the format.
    LineMalformed,
    /// Addresses or ports that are none, or too few bytes for them.
    AddressMalformed,
    /// A version or command that is not known.
    CommandUnknown,
    /// A family or transport that cannot be that of a TCP connection.
    FamilyUnknown,
    /// Additional fields that do not add up to the length.
    FieldsMalformed,
}

/// Reads one header as its bytes come.
#[derive(Debug, Default)]
pub struct HeaderReader {
    kept: Vec<u8>,
}

impl HeaderReader {
    /// Takes bytes, in order and each once: how many of them belong to the header, and when it is whole, what it says. The
    /// caller gives the rest, from the first byte that was not taken, to whoever is next. After an error nothing more may be asked.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Announced>), ProxyProtocolError> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let (part, complete) = self.next_part(rest)?;
            self.kept.extend_from_slice(part);
            taken += part.len();
            self.check_start()?;
            if complete && let Some(announced) = self.whole()? {
                return Ok((taken, Some(announced)));
            }
        }
        Ok((taken, None))
    }

    /// The beginning of `bytes` that surely belongs to the header, and whether something is complete with it.
    fn next_part<'b>(&self, bytes: &'b [u8]) -> Result<(&'b [u8], bool), ProxyProtocolError> {
        let wanted = match self.kept.first().or(bytes.first()) {
            Some(b'P') => {
                let line = memchr::memchr(b'\n', bytes).map(|at| at + 1);
                if self.kept.len() + line.unwrap_or(bytes.len()) > MAX_LINE {
                    return Err(ProxyProtocolError::TooLong);
                }
                line
            }
            _ => Some(self.binary_length()?.saturating_sub(self.kept.len())),
        };
        let length = wanted.unwrap_or(bytes.len()).min(bytes.len());
        Ok((bytes.get(..length).unwrap_or_default(), wanted == Some(length)))
    }

    /// Whether what came can still become a header.
    fn check_start(&self) -> Result<(), ProxyProtocolError> {
        let begins = |start: &[u8]| self.kept.iter().zip(start).all(|(kept, wanted)| kept == wanted);
        if begins(LINE_START) || begins(BINARY_START) { Ok(()) } else { Err(ProxyProtocolError::Absent) }
    }

    /// How long a binary header is, as far as that is known.
    fn binary_length(&self) -> Result<usize, ProxyProtocolError> {
        let Some([high, low]) = self.kept.get(14..BINARY_FIXED) else { return Ok(BINARY_FIXED) };
        let length = BINARY_FIXED + usize::from(u16::from_be_bytes([*high, *low]));
        if length > MAX_BINARY { Err(ProxyProtocolError::TooLong) } else { Ok(length) }
    }

    /// What is kept, read whole; nothing when more must come.
    fn whole(&self) -> Result<Option<Announced>, ProxyProtocolError> {
        if self.kept.starts_with(LINE_START) {
            return line(&self.kept).map(Some);
        }
        let body = self.kept.get(BINARY_FIXED..);
        match (self.kept.get(12..14), body) {
            (Some([command, family]), Some(body)) if self.kept.len() == self.binary_length()? => {
                binary(*command, *family, body).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// A line of version 1 with its end.
fn line(bytes: &[u8]) -> Result<Announced, ProxyProtocolError> {
    let text = bytes.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
    let mut words = text.ok_or(ProxyProtocolError::LineMalformed)?.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        // Whatever follows is to be ignored (section 2.1).
        return Ok(Announced::Nobody);
    }
    let mut next = || words.next().ok_or(ProxyProtocolError::LineMalformed);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(ProxyProtocolError::LineMalformed);
    }
    let address = match family {
        Some("TCP4") => both::<Ipv4Addr>(source, destination).map(IpAddr::V4),
        Some("TCP6") => both::<Ipv6Addr>(source, destination).map(IpAddr::V6),
        _ => return Err(ProxyProtocolError::FamilyUnknown),
    };
    let ports = port(source_port).zip(port(destination_port));
    let (address, (port, _)) = address.zip(ports).ok_or(ProxyProtocolError::AddressMalformed)?;
    Ok(client(address, port))
}

/// The source, when both are addresses of one family.
fn both<A: FromStr>(source: &str, destination: &str) -> Option<A> {
    destination.parse::<A>().ok()?;
    source.parse().ok()
}

/// A decimal number without sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// What stands behind the fixed part of version 2.
fn binary(command: u8, family: u8, body: &[u8]) -> Result<Announced, ProxyProtocolError> {
    match command {
        // The peer's own connection: the rest is to be discarded, whatever its family.
        0x20 => return Ok(Announced::Nobody),
        0x21 => {}
        _ => return Err(ProxyProtocolError::CommandUnknown),
    }
    let (announced, fields) = match family {
        0x00 => return Ok(Announced::Nobody),
        0x11 => {
            let (block, fields) = split::<12>(body)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *block;
            (client(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])), fields)
        }
        0x21 => {
            let (source, rest) = split::<16>(body)?;
            let (_destination, rest) = split::<16>(rest)?;
            let ([high, low, _, _], fields) = split::<4>(rest)?;
            (client(Ipv6Addr::from(*source).into(), u16::from_be_bytes([*high, *low])), fields)
        }
        0x31 => (Announced::Nobody, split::<UNIX_ADDRESSES>(body)?.1),
        _ => return Err(ProxyProtocolError::FamilyUnknown),
    };
    pass_fields(fields)?;
    Ok(announced)
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), ProxyProtocolError> {
    bytes.split_first_chunk().ok_or(ProxyProtocolError::AddressMalformed)
}

/// Additional fields: a byte of type, two of length, the value.
fn pass_fields(mut fields: &[u8]) -> Result<(), ProxyProtocolError> {
    while !fields.is_empty() {
        let ([_kind, high, low], rest) = fields.split_first_chunk().ok_or(ProxyProtocolError::FieldsMalformed)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        fields = rest.get(length..).ok_or(ProxyProtocolError::FieldsMalformed)?;
    }
    Ok(())
}

fn client(address: IpAddr, port: u16) -> Announced {
    Announced::Client(SocketAddr::new(address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Cases {
        good: Vec<Good>,
        refused: Vec<Bad>,
    }

    /// `text` is version 1, `hex` version 2; the header ends where the bytes do.
    #[derive(Deserialize)]
    struct Good {
        why: String,
        text: Option<String>,
        hex: Option<String>,
        client: Option<SocketAddr>,
    }

    #[derive(Deserialize)]
    struct Bad {
        why: String,
        text: Option<String>,
        hex: Option<String>,
        error: String,
    }

    fn cases() -> Cases {
        toml::from_str(include_str!("../../tests/data/proxy-protocol.toml")).unwrap()
    }

    /// The bytes of a case; in hexadecimal `XX*N` stands for a byte many times.
    fn bytes(text: Option<&str>, hex: Option<&str>) -> Vec<u8> {
        let of_hex = |word: &str| {
            let (byte, times) = word.split_once('*').unwrap_or((word, "1"));
            vec![u8::from_str_radix(byte, 16).unwrap(); times.parse().unwrap()]
        };
        match (text, hex) {
            (Some(text), None) => text.into(),
            (None, Some(hex)) => hex.split_whitespace().flat_map(of_hex).collect(),
            _ => panic!("a case has either text or hex"),
        }
    }

    /// Reads `bytes` in pieces of this size: what was taken in all, and what came of it.
    fn read(bytes: &[u8], piece: usize) -> Result<(usize, Option<Announced>), ProxyProtocolError> {
        let (mut reader, mut all) = (HeaderReader::default(), 0);
        for bytes in bytes.chunks(piece) {
            let (taken, announced) = reader.take(bytes)?;
            all += taken;
            if announced.is_some() || taken < bytes.len() {
                return Ok((all, announced));
            }
        }
        Ok((all, None))
    }

    #[test]
    fn good_headers_are_read_however_they_arrive_and_not_a_byte_more() {
        for case in cases().good {
            let header = bytes(case.text.as_deref(), case.hex.as_deref());
            let expected = case.client.map_or(Announced::Nobody, Announced::Client);
            let followed = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            for piece in [1, 2, 5, 16, 17, 4200] {
                assert_eq!(read(&followed, piece), Ok((header.len(), Some(expected))), "{} by {piece}", case.why);
            }
            for end in 0..header.len() {
                assert_eq!(read(&header[..end], 4200), Ok((end, None)), "{} cut at {end}", case.why);
            }
        }
    }

    #[test]
    fn everything_else_is_refused_however_it_arrives() {
        for case in cases().refused {
            let header = bytes(case.text.as_deref(), case.hex.as_deref());
            for piece in [1, 3, 4200] {
                let error = read(&header, piece).expect_err(&case.why);
                assert_eq!(format!("{error:?}"), case.error, "{} by {piece}", case.why);
            }
        }
    }

    #[test]
    fn no_more_is_kept_than_the_longest_header() {
        let mut reader = HeaderReader::default();
        assert_eq!(reader.take(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat()), Ok((107, None)));
        assert_eq!(reader.take(b"x"), Err(ProxyProtocolError::TooLong));
        let longest = u16::try_from(MAX_BINARY - BINARY_FIXED).unwrap();
        for (length, fits) in [(longest, true), (longest + 1, false)] {
            let [high, low] = length.to_be_bytes();
            let fixed = [BINARY_START, &[0x20, 0, high, low]].concat();
            let body = vec![0; usize::from(length)];
            assert_eq!(read(&[fixed, body].concat(), 1000).is_ok(), fits, "{length}");
        }
    }

    /// A binary header of a client, with additional fields.
    fn build(client: SocketAddr, fields: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let (family, mut body) = match client.ip() {
            IpAddr::V4(address) => (0x11, [&address.octets()[..], &[192, 0, 2, 1]].concat()),
            IpAddr::V6(address) => (0x21, [address.octets(), [0xfe; 16]].concat()),
        };
        body.extend(client.port().to_be_bytes());
        body.extend([1, 187]);
        for (kind, value) in fields {
            body.push(*kind);
            body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(value);
        }
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [BINARY_START, &[0x21, family], &length, &body].concat()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            address in any::<IpAddr>(),
            port in any::<u16>(),
            fields in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
            piece in 1_usize..300,
            behind in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let client = SocketAddr::new(address, port);
            let expected = Announced::Client(SocketAddr::new(address.to_canonical(), port));
            let header = build(client, &fields);
            let followed = [&header[..], &behind].concat();
            prop_assert_eq!(read(&followed, piece), Ok((header.len(), Some(expected))));
            let (family, other) = match address { IpAddr::V4(_) => ("TCP4", "192.0.2.1"), IpAddr::V6(_) => ("TCP6", "::1") };
            let line = format!("PROXY {family} {address} {other} {port} 443\r\n").into_bytes();
            let followed = [&line[..], &behind].concat();
            prop_assert_eq!(read(&followed, piece), Ok((line.len(), Some(expected))));
        }

        #[test]
        fn bytes_are_read_alike_however_they_arrive(bytes in prop::collection::vec(any::<u8>(), 0..60), piece in 1_usize..20) {
            for start in [&b""[..], b"PROXY ", b"PROXY TCP4 ", BINARY_START, &[BINARY_START, &[0x21, 0x11, 0]].concat()] {
                let bytes = [start, &bytes].concat();
                prop_assert_eq!(read(&bytes, piece), read(&bytes, bytes.len().max(1)));
            }
        }
    }
}
