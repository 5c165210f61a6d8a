//! Requests on HTTP/1.1 as the strictest reader has them: what it would not take must not be taken (H01; RFC 9112 sections 2 to 7).

use super::is_token;

/// One request.
pub(super) struct Framed {
    pub(super) method: String,
    /// How many fields it has.
    pub(super) fields: usize,
    /// As much of its body as came and is sound.
    pub(super) body: Vec<u8>,
    /// Whether that is all of it.
    pub(super) whole: bool,
}

/// The request at the front of `rest`, which is moved behind it. Its head is known to be taken, so that one which is none is a finding.
pub(super) fn next(rest: &mut &[u8]) -> Framed {
    let all = *rest;
    // Made where it is needed only: an input may hold many requests.
    let shown = || String::from_utf8_lossy(all).into_owned();
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        *rest = after;
    }
    let end = memchr::memmem::find(rest, b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {:?}", shown()));
    let (head, behind) = rest.split_at(end + 2);
    *rest = &behind[2..];
    let head: Vec<&[u8]> = head.split_inclusive(|byte| *byte == b'\n').collect();
    let mut lines =
        head.iter().map(|line| line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("a bare LF: {:?}", shown())));
    let first = lines.next().unwrap();
    let parts: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, version] = *parts else { panic!("no request line: {:?}", shown()) };
    assert!(!method.is_empty() && method.iter().all(|byte| is_token(*byte)), "{:?}", shown());
    let is_target = |byte: &u8| *byte > b' ' && *byte != 0x7f && *byte != b'#';
    assert!(!target.is_empty() && target.iter().all(is_target), "{:?}", shown());
    assert!(matches!(version, b"HTTP/1.1" | b"HTTP/1.0"), "{:?}", shown());
    let fields: Vec<(String, &[u8])> =
        lines.map(|line| field(line).unwrap_or_else(|| panic!("no field: {:?}", shown()))).collect();
    let named =
        |name: &str| fields.iter().filter(|(found, _)| found == name).map(|(_, value)| *value).collect::<Vec<_>>();
    let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "framed twice: {:?}", shown());
    assert!(
        !fields.iter().any(|(name, _)| name.replace('-', "_") == "transfer_encoding" && !name.contains('-')),
        "{:?}",
        shown()
    );
    assert!(
        codings.is_empty() || version == b"HTTP/1.1" && codings[0].eq_ignore_ascii_case(b"chunked"),
        "{:?}",
        shown()
    );
    let (body, whole) = match (&*lengths, &*codings) {
        ([length], _) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            assert!(digits, "{:?}", shown());
            let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap_or(usize::MAX);
            let (body, behind) = rest.split_at(length.min(rest.len()));
            *rest = behind;
            (body.to_vec(), body.len() == length)
        }
        (_, [_]) => chunks(rest),
        _ => (Vec::new(), true),
    };
    Framed { method: String::from_utf8(method.to_vec()).unwrap(), fields: fields.len(), body, whole }
}

/// A name in small letters and its value, if that is what the line is.
fn field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, mut value) = (&line[..colon], &line[colon + 1..]);
    let sound = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
    let control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    (sound && !value.iter().any(control)).then(|| (String::from_utf8_lossy(name).to_ascii_lowercase(), value))
}

/// The chunks up to the first that is none, and whether the last one came with its trailers.
fn chunks(rest: &mut &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = line(rest) else { return (body, false) };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let sound = matches!(extension, [] | [b';', ..]) && !extension.contains(&b'\r');
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|_| sound) else { return (body, false) };
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(behind) = rest.get(size..).and_then(|behind| behind.strip_prefix(b"\r\n")) else {
            return (body, false);
        };
        *rest = behind;
    }
    loop {
        match line(rest) {
            Some([]) => return (body, true),
            Some(line) if line.contains(&b'\r') => return (body, false),
            Some(_) => {}
            None => return (body, false),
        }
    }
}

/// The next line without its CR LF; none where its LF stands alone.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, behind) = rest.split_at(end + 1);
    *rest = behind;
    line.strip_suffix(b"\r\n")
}
