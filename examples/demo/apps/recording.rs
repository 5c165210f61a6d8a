//! Recordings that are computed, not stored: a tone as a WAV file of any length, streamed.
//!
//! Every second of sound is the same second, made once for a download, so that half a gigabyte costs no memory
//! and hardly any time, and any byte of it can be had without those before.
//!
//! WAVE (RIFF) files: PCM, two channels, 16 bits, 44,100 samples a second.

use std::convert::Infallible;
use std::f64::consts::TAU;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

const RATE: u32 = 44_100;
const BYTES_PER_SAMPLE: u32 = 4;
const HEADER: u64 = 44;

/// The bytes of one second of sound.
const SECOND: u32 = RATE * BYTES_PER_SAMPLE;

/// A recording of whole seconds; clones share the sound.
#[derive(Clone)]
pub(super) struct Recording {
    header: Bytes,
    second: Bytes,
    seconds: u32,
}

impl Recording {
    /// A tone of a whole number of oscillations a second.
    pub(super) fn new(hertz: u32, seconds: u32) -> Self {
        Self { header: header(seconds), second: tone(hertz), seconds }
    }

    /// The file's size in bytes.
    pub(super) fn size(&self) -> u64 {
        HEADER + u64::from(self.seconds) * u64::from(SECOND)
    }

    /// A body that streams these bytes of the file.
    pub(super) fn stream(&self, range: Range<u64>) -> Stream {
        Stream { recording: self.clone(), rest: range.start..range.end.min(self.size()) }
    }

    /// The longest run of bytes at `offset` that lie together in memory.
    fn at(&self, offset: u64) -> Bytes {
        let (bytes, within) = match offset.checked_sub(HEADER) {
            None => (&self.header, offset),
            Some(sound) => (&self.second, sound % u64::from(SECOND)),
        };
        bytes.slice(usize::try_from(within).unwrap_or(bytes.len())..)
    }
}

/// Bytes of a recording on their way.
pub(super) struct Stream {
    recording: Recording,
    rest: Range<u64>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let stream = self.get_mut();
        if stream.rest.is_empty() {
            return Poll::Ready(None);
        }
        let mut bytes = stream.recording.at(stream.rest.start);
        let left = stream.rest.end - stream.rest.start;
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        stream.rest.start += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.end.saturating_sub(self.rest.start))
    }
}

fn tone(hertz: u32) -> Bytes {
    let mut second = Vec::with_capacity(SECOND as usize);
    for sample in 0..RATE {
        let angle = TAU * f64::from(hertz) * f64::from(sample) / f64::from(RATE);
        // A quarter of full loudness; the cast cannot overflow.
        let level = (angle.sin() * 8_000.0) as i16;
        second.extend_from_slice(&level.to_le_bytes());
        second.extend_from_slice(&level.to_le_bytes());
    }
    second.into()
}

fn header(seconds: u32) -> Bytes {
    let sound = seconds.saturating_mul(SECOND);
    let mut header = Vec::with_capacity(HEADER as usize);
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(&sound.saturating_add(36).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt ");
    header.extend_from_slice(&16_u32.to_le_bytes());
    header.extend_from_slice(&1_u16.to_le_bytes()); // PCM
    header.extend_from_slice(&2_u16.to_le_bytes()); // channels
    header.extend_from_slice(&RATE.to_le_bytes());
    header.extend_from_slice(&SECOND.to_le_bytes());
    header.extend_from_slice(&(BYTES_PER_SAMPLE as u16).to_le_bytes());
    header.extend_from_slice(&16_u16.to_le_bytes()); // bits
    header.extend_from_slice(b"data");
    header.extend_from_slice(&sound.to_le_bytes());
    header.into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn read(recording: &Recording, range: Range<u64>) -> Bytes {
        recording.stream(range).collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_recording_is_a_wave_file_of_its_size() {
        let recording = Recording::new(440, 3);
        let file = read(&recording, 0..recording.size()).await;
        assert_eq!(file.len() as u64, recording.size());
        assert_eq!(&file[..4], b"RIFF");
        assert_eq!(&file[36..40], b"data");
        let sound = u32::from_le_bytes(file[40..44].try_into().unwrap());
        assert_eq!(u64::from(sound) + HEADER, recording.size());
    }

    #[tokio::test]
    async fn any_part_equals_the_same_part_of_the_whole() {
        let recording = Recording::new(440, 2);
        let file = read(&recording, 0..recording.size()).await;
        let second = u64::from(SECOND);
        for range in [0..1, 43..45, 40..HEADER + second + 7, HEADER + second - 1..HEADER + second + 1] {
            let part = read(&recording, range.clone()).await;
            assert_eq!(part, file[range.start as usize..range.end as usize], "{range:?}");
        }
    }

    #[tokio::test]
    async fn nothing_comes_from_behind_the_end() {
        let recording = Recording::new(440, 1);
        let size = recording.size();
        assert_eq!(read(&recording, size - 2..size + 10).await.len(), 2);
        assert!(read(&recording, size..size).await.is_empty());
    }
}
