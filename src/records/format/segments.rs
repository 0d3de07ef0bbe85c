// SPDX-License-Identifier: MPL-2.0

//! Stretches of time in which a face keeps its stable label.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Frame, cue_text};
use crate::core::record::Record;
use crate::core::result::{Expression, Status};
use crate::core::types::{Ns, SECOND};

/// Longer stretches are told in pieces, so that what has passed is soon in the file.
const LONGEST: Ns = 60 * SECOND;

/// A stretch that is over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub track_id: Option<u64>,
    pub label: Arc<str>,
    /// When the evidence for the label begins, but not before the face's former label ended.
    pub start: Ns,
    /// When the label was last held.
    pub end: Ns,
    /// Nanoseconds since 1970 of `start`.
    pub unix: Option<i128>,
    /// Mean over the frames, 0 to 1.
    pub probability: Option<f32>,
    /// Mean over the frames, 0 to 1.
    pub agreement: Option<f32>,
}

impl Segment {
    /// What a cue says of it.
    pub fn text(&self) -> String {
        cue_text(self.track_id, &self.label, self.probability, self.agreement)
    }
}

/// Follows all faces. Segments come out in order of their start.
#[derive(Debug, Default)]
pub(super) struct Segments {
    open: BTreeMap<Option<u64>, Open>,
    /// When the former label of a face ended.
    ended: BTreeMap<Option<u64>, Ns>,
    done: Vec<Segment>,
    /// End of the newest frame.
    last: Ns,
}

#[derive(Debug)]
struct Open {
    label: Arc<str>,
    start: Ns,
    unix: Option<i128>,
    probability: Mean,
    agreement: Mean,
    /// Since when the label is held against other evidence.
    changing: Option<Ns>,
}

#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f32>) {
        if let Some(v) = value {
            self.sum += f64::from(v);
            self.count += 1;
        }
    }

    fn value(&self) -> Option<f32> {
        (self.count > 0).then(|| (self.sum / f64::from(self.count)) as f32)
    }
}

impl Segments {
    /// The segments that are known for good after this frame.
    pub fn frame(&mut self, frame: &Frame) -> Vec<Segment> {
        let Some(now) = frame.now else { return Vec::new() };
        for record in &frame.selected.all {
            self.face(record, now, frame.unix);
        }
        let here = |id| frame.selected.all.iter().any(|r| r.expression.track_id == id);
        let gone: Vec<_> = self.open.keys().copied().filter(|id| !here(*id)).collect();
        for id in gone {
            self.close(id, now);
        }
        self.ended.retain(|_, end| *end + LONGEST > now);
        self.last = now + frame.duration;
        self.ready()
    }

    /// The rest.
    pub fn finish(&mut self) -> Vec<Segment> {
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(id, self.last);
        }
        self.ready()
    }

    fn face(&mut self, record: &Record, now: Ns, unix: Option<i128>) {
        let e = &record.expression;
        let label =
            e.label.as_ref().filter(|_| matches!(e.status, Status::Stable | Status::Changing));
        let open = self.open.get_mut(&e.track_id);
        match (open, label) {
            (Some(open), Some(label)) if open.label == *label && now < open.start + LONGEST => {
                if e.status == Status::Changing {
                    open.changing.get_or_insert(now);
                } else {
                    open.changing = None;
                    open.add(e);
                }
                return;
            }
            (Some(_), _) => self.close(e.track_id, now),
            (None, _) => (),
        }
        if let Some(label) = label.filter(|_| e.status == Status::Stable) {
            let before = self.ended.get(&e.track_id).copied().unwrap_or(0);
            let start = evidence(record, now).max(before).min(now);
            let mut open = Open {
                label: label.clone(),
                start,
                unix: unix.map(|u| u - i128::from(now - start)),
                probability: Mean::default(),
                agreement: Mean::default(),
                changing: None,
            };
            open.add(e);
            self.open.insert(e.track_id, open);
        }
    }

    fn close(&mut self, track_id: Option<u64>, now: Ns) {
        let Some(open) = self.open.remove(&track_id) else { return };
        let end = open.changing.unwrap_or(now);
        self.ended.insert(track_id, end);
        if end > open.start {
            self.done.push(Segment {
                track_id,
                label: open.label,
                start: open.start,
                end,
                unix: open.unix,
                probability: open.probability.value(),
                agreement: open.agreement.value(),
            });
        }
    }

    /// What no open segment can come before any more.
    fn ready(&mut self) -> Vec<Segment> {
        self.done.sort_by_key(|s| s.start);
        let first_open = self.open.values().map(|o| o.start).min().unwrap_or(Ns::MAX);
        let count = self.done.iter().take_while(|s| s.start <= first_open).count();
        self.done.drain(..count).collect()
    }
}

impl Open {
    fn add(&mut self, e: &Expression) {
        self.probability.add(e.probability);
        self.agreement.add(e.agreement);
    }
}

/// When the clip behind a result begins, on the time line of `now`.
fn evidence(record: &Record, now: Ns) -> Ns {
    match (record.pts, record.expression.clip_start) {
        (Some(pts), Some(start)) if start <= pts => now.saturating_sub(pts - start),
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Selected;

    /// Pushes (second, status, label of face 1) a second apart and gives back (label, start, end).
    fn segments(states: &[(Status, Option<&str>)]) -> Vec<(String, Ns, Ns)> {
        let template: Record = serde_json::from_str(
            r#"{"schema":"dfer/1","stream":"f","seq":0,"frame":[1,1],"track-id":1,"status":"stable"}"#,
        )
        .unwrap();
        let mut segments = Segments::default();
        let mut all = Vec::new();
        for (i, (status, label)) in states.iter().enumerate() {
            let mut record = template.clone();
            record.expression.status = *status;
            record.expression.label = label.map(Into::into);
            let selected = Selected { all: vec![record], ..Selected::default() };
            let head = template.clone();
            let now = Some(i as Ns * SECOND);
            all.extend(segments.frame(&Frame {
                selected,
                head,
                now,
                duration: SECOND,
                unix: None,
            }));
        }
        all.extend(segments.finish());
        all.iter().map(|s| (s.label.to_string(), s.start / SECOND, s.end / SECOND)).collect()
    }

    const STABLE_SAD: (Status, Option<&str>) = (Status::Stable, Some("sad"));
    const CHANGING_SAD: (Status, Option<&str>) = (Status::Changing, Some("sad"));
    const STABLE_HAPPY: (Status, Option<&str>) = (Status::Stable, Some("happy"));
    const UNCERTAIN: (Status, Option<&str>) = (Status::Uncertain, None);

    #[test]
    fn a_doubt_that_passes_does_not_cut() {
        assert_eq!(segments(&[STABLE_SAD, CHANGING_SAD, STABLE_SAD]), [("sad".into(), 0, 3)]);
    }

    #[test]
    fn a_change_ends_where_the_doubt_began() {
        let got = segments(&[STABLE_SAD, CHANGING_SAD, CHANGING_SAD, STABLE_HAPPY]);
        assert_eq!(got, [("sad".into(), 0, 1), ("happy".into(), 3, 4)]);
    }

    #[test]
    fn without_a_label_there_is_no_segment() {
        assert_eq!(segments(&[UNCERTAIN, CHANGING_SAD]), []);
        assert_eq!(
            segments(&[STABLE_SAD, UNCERTAIN, STABLE_SAD]),
            [("sad".into(), 0, 1), ("sad".into(), 2, 3)]
        );
    }

    #[test]
    fn a_long_stretch_comes_in_pieces() {
        let got = segments(&[STABLE_SAD; 100]);
        assert_eq!(got, [("sad".into(), 0, 60), ("sad".into(), 60, 100)]);
    }
}
