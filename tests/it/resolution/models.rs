//! How servers make a resource of a target: the steps of each, in its order.
//!
//! A resource is the list of its segments as bytes, without empty ones at the end. Each model is as lenient as its server
//! can be configured to be, and more so where that costs nothing: all but the oldest take a backslash for a slash, as on Windows. A
//! server that refuses gives none. `tests/system/hostile-upstreams.mjs` asks the servers themselves.

/// What a server serves.
pub(super) type Resource = Vec<Vec<u8>>;

/// What is done with `%2F`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EncodedSlash {
    Refused,
    Slash,
    Letter,
}

/// A server by name.
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) resolve: fn(&str) -> Option<Resource>,
    /// Whether it cuts parameters off; to the others they are part of a name.
    pub(super) cuts_parameters: bool,
    /// Whether it tells upper and lower case apart.
    pub(super) ignores_case: bool,
}

const fn model(name: &'static str, resolve: fn(&str) -> Option<Resource>) -> Model {
    Model { name, resolve, cuts_parameters: false, ignores_case: false }
}

const fn container(name: &'static str, resolve: fn(&str) -> Option<Resource>) -> Model {
    Model { cuts_parameters: true, ..model(name, resolve) }
}

pub(super) const MODELS: &[Model] = &[
    container("Tomcat", |target| tomcat(target, EncodedSlash::Refused)),
    container("Tomcat, encodedSolidusHandling=decode", |target| tomcat(target, EncodedSlash::Slash)),
    container("Tomcat, encodedSolidusHandling=passthrough", |target| tomcat(target, EncodedSlash::Letter)),
    container("a container that cuts up to the end", |target| {
        let path = target.split(';').next()?;
        climb_strictly(&slashes(&decode(path, EncodedSlash::Slash)?))
    }),
    container("a container that resolves before it cuts", |target| {
        let resolved = climb_strictly(&decode(target, EncodedSlash::Slash)?)?;
        Some(without_last_empty(resolved.into_iter().map(cut).collect()))
    }),
    model("Apache, AllowEncodedSlashes Off", |target| httpd(target, EncodedSlash::Refused)),
    model("Apache, AllowEncodedSlashes On", |target| httpd(target, EncodedSlash::Slash)),
    model("Apache, AllowEncodedSlashes NoDecode", |target| httpd(target, EncodedSlash::Letter)),
    model("nginx", |target| climb_strictly(&slashes(&decode(target, EncodedSlash::Slash)?))),
    model("PHP's own server", |target| Some(climb(&slashes(&decode_leniently(target))))),
    model("WSGI, PATH_INFO through normpath", |target| Some(climb(&decode_leniently(target)))),
    model("CGI, overlong UTF-8 taken for what it means", |target| {
        Some(climb(&slashes(&overlong(&decode_leniently(target)))))
    }),
    Model {
        ignores_case: true,
        ..model("Node, decodeURIComponent through normalize, in lower case", |target| {
            let decoded = String::from_utf8(decode(target, EncodedSlash::Slash)?).ok()?;
            Some(climb(&slashes(decoded.to_ascii_lowercase().as_bytes())))
        })
    },
    model("an application that reads the target as it came", |target| Some(climb(target.as_bytes()))),
];

/// `CoyoteAdapter`: parameters go first, from the raw bytes; then escapes are undone, then the path is resolved.
fn tomcat(target: &str, slash: EncodedSlash) -> Option<Resource> {
    let cut: Vec<&str> = target.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    climb_strictly(&slashes(&decode(&cut.join("/"), slash)?))
}

/// `ap_unescape_url` and `ap_normalize_path`; an encoded NUL is not found.
fn httpd(target: &str, slash: EncodedSlash) -> Option<Resource> {
    let decoded = decode(target, slash)?;
    climb_strictly(&slashes(&decoded))
}

fn slashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

fn cut(segment: Vec<u8>) -> Vec<u8> {
    segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec()
}

fn escape(bytes: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(bytes.get(1..3)?).ok()?;
    let sound = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| sound)
}

/// Undoes escapes; a bad one and an encoded NUL are refused.
fn decode(path: &str, slash: EncodedSlash) -> Option<Vec<u8>> {
    let mut rest = path.as_bytes();
    let mut decoded = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = after;
            continue;
        }
        match (escape(rest)?, slash) {
            (0, _) | (b'/', EncodedSlash::Refused) => return None,
            (b'/', EncodedSlash::Letter) => decoded.extend(b"%2F"),
            (value, _) => decoded.push(value),
        }
        rest = &rest[3..];
    }
    Some(decoded)
}

/// Undoes escapes and leaves what is none as it stands.
fn decode_leniently(path: &str) -> Vec<u8> {
    let mut rest = path.as_bytes();
    let mut decoded = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        match escape(rest).filter(|_| byte == b'%') {
            Some(value) => {
                decoded.push(value);
                rest = &rest[3..];
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

/// Reads overlong forms of ASCII as decoders did that did not check for them.
fn overlong(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let (value, used) = match rest {
            [0xc0..=0xc1, low, ..] => (((byte & 1) << 6) | (low & 0x3f), 2),
            [0xe0, middle @ 0x80..=0x81, low, ..] => (((middle & 1) << 6) | (low & 0x3f), 3),
            _ => (byte, 1),
        };
        decoded.push(value);
        rest = if used == 1 { after } else { &rest[used..] };
    }
    decoded
}

/// Resolves empty and dot segments; above the root is the root.
fn climb(path: &[u8]) -> Resource {
    let mut found: Resource = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(found.pop()),
            name => found.push(name.to_vec()),
        }
    }
    found
}

/// The same; above the root is refused.
fn climb_strictly(path: &[u8]) -> Option<Resource> {
    let mut depth = 0_i32;
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return None;
        }
    }
    Some(climb(path))
}

fn without_last_empty(mut resource: Resource) -> Resource {
    while resource.last().is_some_and(Vec::is_empty) {
        resource.pop();
    }
    resource
}

/// What was decided: the segments of a canonical path, each with its escapes undone.
pub(super) fn decided(path: &str) -> Resource {
    without_last_empty(path.split('/').skip(1).map(decode_leniently).collect())
}

/// A resource as a server that takes `;` for a letter names it, without the parameters of its last segment.
pub(super) fn without_parameters(mut resource: Resource) -> Resource {
    if let Some(last) = resource.pop() {
        resource.push(cut(last));
    }
    resource
}

/// A resource in lower case.
pub(super) fn lower(resource: Resource) -> Resource {
    resource.into_iter().map(|segment| segment.to_ascii_lowercase()).collect()
}
