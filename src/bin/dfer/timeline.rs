// SPDX-License-Identifier: MPL-2.0

//! What was said of every face, when, and for how long.

use std::collections::BTreeMap;
use std::sync::Arc;

use gstdfer::core::result::{Probabilities, Status};
use gstdfer::core::types::SECOND;
use gstdfer::core::{Ns, Rect};
use gstdfer::meta::FrameResults;

use crate::shown;

/// A frame without a known duration ends where the next begins, but not later than this.
const LONGEST_FRAME: Ns = SECOND;

/// One input from its first frame to its last.
#[derive(Debug, Default)]
pub struct Timeline {
    pub frames: u64,
    /// The stream came to its end, or was ended in order after a signal.
    pub whole: bool,
    /// Width and height of the first frame, in pixels.
    pub size: Option<(i32, i32)>,
    /// Time of the first frame.
    pub start: Ns,
    /// Time of the end of the newest frame.
    pub end: Ns,
    /// By track id, in the order in which they came.
    pub faces: BTreeMap<u64, Face>,
    open: Option<Open>,
}

/// The newest frame; how long it lasts is known with the next.
#[derive(Debug)]
struct Open {
    t: Ns,
    duration: Option<Ns>,
    /// Track ids of the faces in it.
    faces: Vec<u64>,
}

#[derive(Debug, Default)]
pub struct Face {
    /// Stretches of one state; a gap between two means that the face was not seen.
    pub spans: Vec<Span>,
    pub decisions: Vec<Decision>,
    /// Sum over frames of its area in pixels.
    pub weight: f64,
    /// Where it was, in order of time; pixels of the frame.
    boxes: Vec<(Ns, Rect)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub start: Ns,
    pub end: Ns,
    pub status: Status,
    /// With status `stable` and `changing`.
    pub label: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub struct Decision {
    /// Time of the newest frame that it looked at.
    pub t: Ns,
    pub probabilities: Probabilities,
    pub agreement: Option<f32>,
    pub key_times: Vec<Ns>,
}

impl Timeline {
    /// Takes in the results of the next frame; times on the stream's time line.
    pub fn observe(&mut self, t: Ns, duration: Option<Ns>, results: &FrameResults) {
        self.close(Some(t));
        if self.frames == 0 {
            self.start = t;
        }
        self.frames += 1;
        let faces = results.faces.iter().filter_map(|f| f.expression.track_id).collect();
        self.open = Some(Open { t, duration, faces });
        for face in &results.faces {
            let e = &face.expression;
            let Some(track) = e.track_id else { continue };
            let known = self.faces.entry(track).or_default();
            if let Some(rect) = face.rect {
                known.weight += f64::from(rect.area());
                known.boxes.push((t, rect));
            }
            let same = known.spans.last_mut().filter(|s| {
                s.status == e.status && s.label == e.label && s.end.abs_diff(t) <= GLITCH
            });
            match same {
                Some(span) => span.end = t,
                None => known.spans.push(Span {
                    start: t,
                    end: t,
                    status: e.status,
                    label: e.label.clone(),
                }),
            }
            let (Some(probabilities), Some(clip_end)) = (&e.probabilities, e.clip_end) else {
                continue;
            };
            if known.decisions.last().is_none_or(|d| d.t < clip_end) {
                known.decisions.push(Decision {
                    t: clip_end,
                    probabilities: probabilities.clone(),
                    agreement: e.agreement,
                    key_times: e.key_times.clone(),
                });
            }
        }
    }

    /// Ends the last frame; nothing comes after.
    pub fn finish(&mut self) {
        self.close(None);
    }

    fn close(&mut self, next: Option<Ns>) {
        let Some(Open { t, duration, faces }) = self.open.take() else { return };
        let until_next = next.and_then(|n| n.checked_sub(t)).filter(|d| *d <= LONGEST_FRAME);
        let end = t + until_next.or(duration).unwrap_or(0).min(LONGEST_FRAME);
        self.end = end;
        for track in faces {
            if let Some(span) = self.faces.get_mut(&track).and_then(|f| f.spans.last_mut()) {
                span.end = end;
            }
        }
    }

    /// A line for the input and one for each face.
    pub fn summary(&self, name: &str) -> String {
        let count = match self.faces.len() {
            0 => "no face".to_owned(),
            1 => "1 face".to_owned(),
            n => format!("{n} faces"),
        };
        let mut text = format!(
            "{name}: {}, {} frames, {count}\n",
            shown::seconds(self.end.saturating_sub(self.start)),
            self.frames
        );
        for (track, face) in &self.faces {
            let parts: Vec<_> = face
                .shares()
                .into_iter()
                .map(|(what, t)| format!("{} {}", shown::text(&what), shown::seconds(t)))
                .collect();
            text += &format!("  face {track}: {}\n", parts.join(", "));
        }
        text
    }
}

/// Frames' times are rounded; spans this near to each other touch.
const GLITCH: Ns = 1_000_000;

impl Face {
    /// Where it was in the frame nearest to `t`.
    pub fn rect_at(&self, t: Ns) -> Option<Rect> {
        let after = self.boxes.partition_point(|(at, _)| *at < t);
        let near = self.boxes[after.saturating_sub(1)..].iter().take(2);
        near.min_by_key(|(at, _)| at.abs_diff(t)).map(|(_, rect)| *rect)
    }

    /// How long each stable label was there, and each other status; the longest first.
    pub fn shares(&self) -> Vec<(String, Ns)> {
        let mut all: Vec<(String, Ns)> = Vec::new();
        for span in &self.spans {
            let what = match (&span.label, span.status) {
                (Some(label), Status::Stable | Status::Changing) => label.to_string(),
                (_, status) => status.to_string(),
            };
            let length = span.end - span.start;
            match all.iter_mut().find(|(known, _)| *known == what) {
                Some((_, t)) => *t += length,
                None => all.push((what, length)),
            }
        }
        all.sort_by_key(|(_, t)| std::cmp::Reverse(*t));
        all
    }
}

#[cfg(test)]
mod tests {
    use gstdfer::core::result::Expression;
    use gstdfer::meta::Face as MetaFace;

    use super::*;

    const MS: Ns = 1_000_000;

    fn frame(status: Status, label: Option<&str>) -> FrameResults {
        let mut e = Expression::new(Some(7), status);
        e.label = label.map(Into::into);
        let face = MetaFace::new(Rect { x: 0.0, y: 0.0, w: 10.0, h: 20.0 }, e);
        FrameResults { faces: vec![face], ..FrameResults::default() }
    }

    #[test]
    fn spans_last_until_the_next_frame_and_gaps_stay_gaps() {
        let mut line = Timeline::default();
        let happy = frame(Status::Stable, Some("happy"));
        line.observe(0, None, &frame(Status::WarmingUp, None));
        line.observe(40 * MS, None, &happy);
        line.observe(80 * MS, None, &happy);
        line.observe(120 * MS, None, &FrameResults::default());
        line.observe(200 * MS, Some(50 * MS), &happy);
        line.finish();
        let face = &line.faces[&7];
        let spans: Vec<_> = face.spans.iter().map(|s| (s.start / MS, s.end / MS)).collect();
        assert_eq!(spans, [(0, 40), (40, 120), (200, 250)]);
        let shares = [("happy".to_owned(), 130 * MS), ("warming-up".to_owned(), 40 * MS)];
        assert_eq!(face.shares(), shares);
        assert_eq!(face.weight, 800.0);
        assert_eq!(face.rect_at(150 * MS), Some(Rect { x: 0.0, y: 0.0, w: 10.0, h: 20.0 }));
        let told = line.summary("a.mp4");
        assert_eq!(
            told,
            "a.mp4: 0.2 s, 5 frames, 1 face\n  face 7: happy 0.1 s, warming-up 0.0 s\n"
        );
    }
}
