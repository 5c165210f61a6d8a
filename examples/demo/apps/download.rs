//! Sending a file: whole, in part, or not at all when the browser has it already.
//!
//! One strong entity tag for each file; ranges, `If-Range` and `If-None-Match` as browsers and download
//! tools use them to go on where they stopped.
//!
//! RFC 9110 sections 13.1.2, 13.1.5, 13.2.2, 14 and 15.3.7.

use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Empty};

use super::Answer;
use super::range::Wanted;
use super::recording::Recording;

/// Answers a request for `recording`, which is saved under `file_name`.
pub(super) fn send(recording: &Recording, file_name: &str, headers: &HeaderMap) -> Answer {
    let tag = format!("\"{file_name}-{}\"", recording.size());
    if lists(headers, &tag) {
        let mut answer = Response::new(Empty::new().boxed_unsync());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        set(&mut answer, ETAG, &tag);
        return answer;
    }
    let size = recording.size();
    let mut answer = match wanted(headers, &tag, size) {
        Wanted::Whole => Response::new(recording.stream(0..size).boxed_unsync()),
        Wanted::Part(range) => {
            let line = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            let mut answer = Response::new(recording.stream(range).boxed_unsync());
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut answer, CONTENT_RANGE, &line);
            answer
        }
        Wanted::Nothing => {
            let mut answer = Response::new(Empty::new().boxed_unsync());
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(&mut answer, CONTENT_RANGE, &format!("bytes */{size}"));
            return answer;
        }
    };
    let length = hyper::body::Body::size_hint(answer.body()).lower();
    set(&mut answer, CONTENT_LENGTH, &length.to_string());
    set(&mut answer, CONTENT_TYPE, "audio/wav");
    set(&mut answer, CONTENT_DISPOSITION, &format!("attachment; filename=\"{file_name}\""));
    set(&mut answer, ACCEPT_RANGES, "bytes");
    set(&mut answer, ETAG, &tag);
    answer
}

fn wanted(headers: &HeaderMap, tag: &str, size: u64) -> Wanted {
    let range = headers.get(RANGE).and_then(|line| line.to_str().ok());
    match headers.get(IF_RANGE) {
        Some(line) if line.as_bytes() != tag.as_bytes() => Wanted::Whole,
        _ => Wanted::read(range, size),
    }
}

fn lists(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|listed| listed == "*" || listed.trim_start_matches("W/") == tag)
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    // File names and numbers are this program's own and always fit.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn text(answer: &Answer, name: HeaderName) -> &str {
        answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn a_file_is_sent_whole_in_part_or_not() {
        let recording = Recording::new(440, 1);
        let size = recording.size();
        let whole = send(&recording, "a.wav", &request(&[]));
        assert_eq!((whole.status(), text(&whole, CONTENT_LENGTH)), (StatusCode::OK, &*size.to_string()));
        let part = send(&recording, "a.wav", &request(&[("range", "bytes=10-19")]));
        assert_eq!((part.status(), text(&part, CONTENT_LENGTH)), (StatusCode::PARTIAL_CONTENT, "10"));
        assert_eq!(text(&part, CONTENT_RANGE), format!("bytes 10-19/{size}"));
        let outside = send(&recording, "a.wav", &request(&[("range", "bytes=99999999-")]));
        assert_eq!(outside.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        let known = send(&recording, "a.wav", &request(&[("if-none-match", text(&whole, ETAG))]));
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn a_part_of_another_version_is_not_sent() {
        let recording = Recording::new(440, 1);
        let tag = text(&send(&recording, "a.wav", &request(&[])), ETAG).to_owned();
        let same = send(&recording, "a.wav", &request(&[("range", "bytes=0-1"), ("if-range", &tag)]));
        assert_eq!(same.status(), StatusCode::PARTIAL_CONTENT);
        let other = send(&recording, "a.wav", &request(&[("range", "bytes=0-1"), ("if-range", "\"b\"")]));
        assert_eq!(other.status(), StatusCode::OK);
    }
}
