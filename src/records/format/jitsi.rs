// SPDX-License-Identifier: MPL-2.0

//! Segments as the face-landmarks feature of Jitsi Meet collects them, one JSON object a line:
//! `timestamp` (ms since 1970 where the pipeline knows the time, else since the start of the
//! stream), `duration` (ms), `faceExpression` (Jitsi's words), `score` (mean probability, 0 to 1).

use serde_json::json;

use super::segments::{Segment, Segments};
use super::{Format, Frame};

#[derive(Default)]
pub(crate) struct Jitsi {
    segments: Segments,
}

impl Format for Jitsi {
    fn can_append(&self) -> bool {
        true
    }

    fn frame(&mut self, frame: &Frame, out: &mut String) {
        self.segments.frame(frame).iter().for_each(|s| line(s, out));
    }

    fn finish(&mut self, out: &mut String) {
        self.segments.finish().iter().for_each(|s| line(s, out));
    }
}

fn line(segment: &Segment, out: &mut String) {
    let start = segment.unix.unwrap_or(i128::from(segment.start)) / 1_000_000;
    let object = json!({
        "timestamp": start as i64,
        "duration": (segment.end - segment.start) / 1_000_000,
        "faceExpression": word(&segment.label),
        "score": segment.probability.map(|p| (f64::from(p) * 10_000.0).round() / 10_000.0),
    });
    *out += &format!("{object}\n");
}

/// Jitsi's word for a class.
fn word(label: &str) -> &str {
    match label {
        "surprise" => "surprised",
        "disgust" => "disgusted",
        "fear" => "fearful",
        same => same,
    }
}
