// SPDX-License-Identifier: MPL-2.0

//! The stable labels of a frame as cues of a subtitle stream.
//!
//! A muxer wants its streams in step, so a cue has to be sent when it begins, and nobody knows then
//! when it will end. So a cue holds until the next decision is due, at a multiple of an interval,
//! and is renewed there while there are labels. Cues never overlap: MP4 cannot hold such, and
//! players show both.

use super::Settings;
use crate::core::result::{Expression, Status};
use crate::core::types::{Ns, slot, slot_start};
use crate::records::format::cue_text;
use crate::records::{Detail, Frame};

#[derive(Debug)]
pub(super) struct Cues {
    every_frame: bool,
    interval: Ns,
    newest: Option<Newest>,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    /// Number of the interval it began in.
    slot: u64,
    end: Ns,
}

/// What a frame has to say.
#[derive(Debug, PartialEq)]
pub(super) enum Cue {
    /// A cue begins, so long after the frame, and holds so long.
    New {
        text: String,
        after: Ns,
        duration: Ns,
    },
    /// An earlier one holds.
    Holds,
    Silence,
}

impl Cues {
    pub fn new(settings: Settings) -> Self {
        Self {
            every_frame: settings.detail == Detail::Frames,
            interval: settings.cue_interval,
            newest: None,
        }
    }

    /// Forgets the newest cue, as after a seek.
    pub fn reset(&mut self) {
        self.newest = None;
    }

    pub fn frame(&mut self, frame: &Frame) -> Cue {
        // On the time line of the decisions.
        let Some(now) = frame.head.pts.or(frame.now) else { return Cue::Silence };
        let this = slot(now, self.interval);
        let holds = |newest: Newest| newest.slot == this && now < newest.end;
        if !self.every_frame && self.newest.is_some_and(holds) {
            return Cue::Holds;
        }
        let lines: Vec<_> = frame.selected.all.iter().filter_map(|r| line(&r.expression)).collect();
        if lines.is_empty() {
            return Cue::Silence;
        }
        let end = match self.every_frame {
            true if frame.duration > 0 => now.saturating_add(frame.duration),
            _ => self.end(now, frame.duration),
        };
        // Frames may come a little before they were expected.
        let start = self.newest.map_or(now, |newest| newest.end.max(now).min(end));
        self.newest = Some(Newest { slot: this, end });
        Cue::New { text: lines.join("\n"), after: start - now, duration: end - start }
    }

    /// When the first frame of the next interval is expected.
    fn end(&self, now: Ns, frame: Ns) -> Ns {
        let next = slot(now, self.interval).saturating_add(1);
        if frame == 0 {
            return next.saturating_mul(self.interval).max(now);
        }
        let rest = slot_start(next, self.interval).saturating_sub(now);
        now.saturating_add(rest.div_ceil(frame).max(1).saturating_mul(frame))
    }
}

/// What is said of a face whose label holds.
fn line(e: &Expression) -> Option<String> {
    let label = e.label.as_ref()?;
    let holds = matches!(e.status, Status::Stable | Status::Changing);
    holds.then(|| cue_text(e.track_id, label, e.probability, e.agreement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Record;
    use crate::records::Selected;

    const MS: Ns = 1_000_000;

    #[test]
    fn the_end_is_where_the_first_frame_of_the_next_interval_begins() {
        let of = |interval| Cues::new(Settings { cue_interval: interval, ..Settings::default() });
        for interval in [MS, 200 * MS, 1000 * MS] {
            for frame in [1, MS, 33_333_333, 40 * MS, 3000 * MS] {
                for now in [0, 190 * MS, 199 * MS, 1_433_333_333] {
                    let end = of(interval).end(now, frame);
                    assert!(slot(end, interval) > slot(now, interval) && (end - now) % frame == 0);
                    let before = end - frame;
                    assert!(before == now || slot(before, interval) == slot(now, interval));
                }
            }
        }
        assert_eq!(of(200 * MS).end(5, Ns::MAX - 1), Ns::MAX, "no duration is too long");
    }

    /// Cues as (start, end, text) in ms, from frames at these times with these labels of one face.
    fn cues(
        detail: Detail,
        frame_ms: u64,
        frames: impl IntoIterator<Item = (u64, Option<&'static str>)>,
    ) -> Vec<(u64, u64, String)> {
        let template: Record = serde_json::from_str(
            r#"{"schema":"dfer/1","stream":"f","seq":0,"frame":[1,1],"track-id":1,"status":"stable"}"#,
        )
        .unwrap();
        let mut cues = Cues::new(Settings { detail, ..Settings::default() });
        let mut out = Vec::new();
        for (ms, label) in frames {
            let mut record = template.clone();
            record.expression.label = label.map(Into::into);
            let frame = Frame {
                selected: Selected { all: vec![record], ..Selected::default() },
                head: template.clone(),
                now: Some(ms * MS),
                duration: frame_ms * MS,
                unix: None,
            };
            if let Cue::New { text, after, duration } = cues.frame(&frame) {
                let start = ms + after / MS;
                out.push((start, start + duration / MS, text));
            }
        }
        out
    }

    const SAD: Option<&str> = Some("sad");
    const HAPPY: Option<&str> = Some("happy");

    fn expected(cues: &[(u64, u64, &str)]) -> Vec<(u64, u64, String)> {
        cues.iter().map(|(start, end, text)| (*start, *end, (*text).to_owned())).collect()
    }

    #[test]
    fn cues_meet_where_decisions_are_due() {
        let labels = [None, SAD, SAD, SAD, SAD, SAD, SAD, HAPPY, HAPPY, HAPPY, HAPPY, None];
        let frames = (0..).map(|i| i * 40).zip(labels);
        let all = [(40, 200, "#1 sad"), (200, 400, "#1 sad"), (400, 600, "#1 happy")];
        assert_eq!(cues(Detail::Changes, 40, frames.clone()), expected(&all));
        assert_eq!(cues(Detail::Changes, 0, frames), expected(&all), "frames without a length");
    }

    #[test]
    fn cues_do_not_overlap_when_frames_come_early() {
        let frames = [(0, SAD), (40, SAD), (190, HAPPY), (230, HAPPY)];
        let all = [(0, 200, "#1 sad"), (200, 390, "#1 happy")];
        assert_eq!(cues(Detail::Changes, 40, frames), expected(&all));
    }

    #[test]
    fn every_frame_has_a_cue_where_that_is_wanted() {
        let frames = [(0, SAD), (40, HAPPY), (75, SAD)];
        let all = [(0, 40, "#1 sad"), (40, 80, "#1 happy"), (80, 115, "#1 sad")];
        assert_eq!(cues(Detail::Frames, 40, frames), expected(&all));
    }
}
