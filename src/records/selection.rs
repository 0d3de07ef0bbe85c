// SPDX-License-Identifier: MPL-2.0

//! Which of a frame's records are written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Detail;
use super::reporter::{Surroundings, no_face, records};
use crate::core::aggregate::Counts;
use crate::core::record::Record;
use crate::core::result::Status;
use crate::core::types::Ns;
use crate::meta::FrameResults;

/// Remembers what was last said of every face.
#[derive(Debug)]
pub(super) struct Selection {
    detail: Detail,
    /// By track id.
    faces: BTreeMap<Option<u64>, Said>,
}

#[derive(Debug, PartialEq)]
struct Said {
    status: Status,
    label: Option<Arc<str>>,
    /// Distinguishes decisions.
    clip_end: Option<Ns>,
}

/// The records of one frame.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// Every face's, whatever the detail.
    pub all: Vec<Record>,
    /// Those to be written.
    pub chosen: Vec<Record>,
    /// What upstream says in place of faces.
    pub counts: Option<Counts>,
}

impl Selection {
    pub fn new(detail: Detail) -> Self {
        Self { detail, faces: BTreeMap::new() }
    }

    /// Forgets all faces, as after a seek.
    pub fn reset(&mut self) {
        self.faces.clear();
    }

    pub fn select(&mut self, results: &FrameResults, around: &Surroundings) -> Selected {
        let all = records(results, around);
        let mut now = BTreeMap::new();
        let mut chosen = Vec::new();
        for record in &all {
            let e = &record.expression;
            let said = Said { status: e.status, label: e.label.clone(), clip_end: e.clip_end };
            let before = self.faces.get(&e.track_id);
            let write = match self.detail {
                Detail::Frames => true,
                Detail::Decisions => before != Some(&said),
                Detail::Changes => {
                    before.is_none_or(|b| b.status != said.status || b.label != said.label)
                }
            };
            if write {
                chosen.push(record.clone());
            }
            now.insert(e.track_id, said);
        }
        let gone =
            self.faces.iter().filter(|(id, b)| b.status != Status::NoFace && !now.contains_key(id));
        chosen.extend(gone.map(|(id, _)| no_face(results, around, *id)));
        if self.detail == Detail::Frames && chosen.is_empty() {
            chosen.push(no_face(results, around, None));
        }
        self.faces = now;
        Selected { all, chosen, counts: results.counts.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Rect;
    use crate::core::result::Expression;
    use crate::meta::Face;

    fn face(id: u64, status: Status, label: Option<&str>, clip_end: Ns) -> Face {
        let expression = Expression {
            label: label.map(Arc::from),
            clip_end: Some(clip_end),
            ..Expression::new(Some(id), status)
        };
        Face::new(Rect::new(1.4, 2.6, 3.0, 4.0), expression)
    }

    /// What is written for each of five frames, as `id status`.
    fn written(detail: Detail) -> Vec<Vec<String>> {
        let frames = [
            vec![],
            vec![face(1, Status::WarmingUp, None, 0)],
            vec![face(1, Status::Stable, Some("sad"), 1), face(2, Status::Stable, Some("fear"), 1)],
            vec![face(1, Status::Stable, Some("sad"), 2), face(2, Status::Stable, Some("fear"), 1)],
            vec![face(2, Status::Stable, Some("happy"), 3)],
        ];
        let mut selection = Selection::new(detail);
        let text = |r: &Record| {
            let id = r.expression.track_id.map_or("-".into(), |id| id.to_string());
            format!("{id} {}", r.expression.status)
        };
        let select = |faces| {
            let results = FrameResults { faces, ..FrameResults::default() };
            selection.select(&results, &Surroundings::default()).chosen.iter().map(text).collect()
        };
        frames.into_iter().map(select).collect()
    }

    #[test]
    fn changes() {
        let expected: [&[&str]; 5] =
            [&[], &["1 warming-up"], &["1 stable", "2 stable"], &[], &["2 stable", "1 no-face"]];
        assert_eq!(written(Detail::Changes), expected);
    }

    #[test]
    fn decisions() {
        let expected: [&[&str]; 5] = [
            &[],
            &["1 warming-up"],
            &["1 stable", "2 stable"],
            &["1 stable"],
            &["2 stable", "1 no-face"],
        ];
        assert_eq!(written(Detail::Decisions), expected);
    }

    #[test]
    fn frames() {
        let expected: [&[&str]; 5] = [
            &["- no-face"],
            &["1 warming-up"],
            &["1 stable", "2 stable"],
            &["1 stable", "2 stable"],
            &["2 stable", "1 no-face"],
        ];
        assert_eq!(written(Detail::Frames), expected);
    }

    #[test]
    fn boxes_are_whole_pixels() {
        let results = FrameResults {
            faces: vec![face(1, Status::Stable, None, 0)],
            ..FrameResults::default()
        };
        let all = records(&results, &Surroundings::default());
        assert_eq!(all[0].bounds, Some([1, 3, 3, 4]));
    }
}
