// SPDX-License-Identifier: MPL-2.0

//! SubRip: numbered cues, one for each stretch of a stable label.

use super::segments::{Segment, Segments};
use super::{Format, Frame, cue_time};

#[derive(Default)]
pub(crate) struct Srt {
    segments: Segments,
    /// Cues written.
    count: u64,
}

impl Format for Srt {
    fn frame(&mut self, frame: &Frame, out: &mut String) {
        let segments = self.segments.frame(frame);
        self.cues(&segments, out);
    }

    fn finish(&mut self, out: &mut String) {
        let segments = self.segments.finish();
        self.cues(&segments, out);
    }
}

impl Srt {
    fn cues(&mut self, segments: &[Segment], out: &mut String) {
        for segment in segments {
            self.count += 1;
            let (start, end) = (cue_time(segment.start, ','), cue_time(segment.end, ','));
            // There is no way to escape in SubRip; players take tags in angle brackets for mark-up.
            let text = segment.text().replace('<', "(").replace('>', ")");
            *out += &format!("{}\n{start} --> {end}\n{text}\n\n", self.count);
        }
    }
}
