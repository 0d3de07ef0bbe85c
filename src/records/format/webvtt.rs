// SPDX-License-Identifier: MPL-2.0

//! WebVTT (W3C): one cue for each stretch of a stable label, in order of their start.

use super::segments::{Segment, Segments};
use super::{Format, Frame, cue_time, escaped};

#[derive(Default)]
pub(crate) struct Webvtt {
    segments: Segments,
}

impl Format for Webvtt {
    fn header(&self) -> String {
        "WEBVTT\n\n".to_owned()
    }

    fn frame(&mut self, frame: &Frame, out: &mut String) {
        self.segments.frame(frame).iter().for_each(|s| cue(s, out));
    }

    fn finish(&mut self, out: &mut String) {
        self.segments.finish().iter().for_each(|s| cue(s, out));
    }
}

fn cue(segment: &Segment, out: &mut String) {
    let text = escaped(&segment.text());
    let (start, end) = (cue_time(segment.start, '.'), cue_time(segment.end, '.'));
    *out += &format!("{start} --> {end}\n{text}\n\n");
}
