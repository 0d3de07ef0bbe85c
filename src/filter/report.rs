// SPDX-License-Identifier: MPL-2.0

//! What an analysis becomes: results on the buffer, and messages.

use super::message::{self, Moment};
use super::session::Analysis;
use crate::core::aggregate::Counts;
use crate::core::engine::Changes;
use crate::core::result::{Expression, Status};
use crate::meta::{Face, FrameResults, MarkedFace, Origin};

/// Everything that is known of every face. `marked`: the faces that upstream had marked.
pub fn faces(stream: &str, seq: u64, analysis: Analysis, marked: &[MarkedFace]) -> FrameResults {
    let face = |face: crate::core::engine::FaceResult| {
        let upstream = face.upstream.and_then(|i| marked.get(i));
        Face {
            rect: Some(face.rect),
            origin: Origin {
                region: upstream.and_then(|face| face.region),
                detection: upstream.and_then(|face| face.detection),
                score: face.score,
                first_seen: face.first_seen,
            },
            expression: face.expression,
        }
    };
    FrameResults {
        stream: stream.to_owned(),
        seq,
        ignored: u32::try_from(analysis.ignored).unwrap_or(u32::MAX),
        faces: analysis.faces.into_iter().map(face).collect(),
        unreported: analysis.unreported,
        counts: None,
    }
}

/// How many there are, and where something is to be covered; nothing of a single face.
pub fn counts(stream: &str, seq: u64, analysis: Analysis, min_group: u32) -> FrameResults {
    let counts = Counts::new(analysis.faces.iter().map(|face| &face.expression), min_group);
    let places = analysis.faces.iter().map(|face| face.rect);
    FrameResults {
        stream: stream.to_owned(),
        seq,
        ignored: u32::try_from(analysis.ignored).unwrap_or(u32::MAX),
        faces: Vec::new(),
        unreported: places.chain(analysis.unreported).collect(),
        counts: Some(counts),
    }
}

/// A message for every face whose stable label changed, or that is gone with it.
pub fn changes(
    stream: &str,
    at: impl FnOnce() -> Moment,
    analysis: &Analysis,
) -> Vec<gst::Structure> {
    let Changes { changed, lost } = &analysis.changes;
    if changed.is_empty() && lost.is_empty() {
        return Vec::new();
    }
    let at = at();
    let changed = changed.iter().filter_map(|i| analysis.faces.get(*i));
    let changed =
        changed.map(|face| message::structure(stream, &at, Some(&face.rect), &face.expression));
    let lost = lost.iter().map(|id| Expression::new(Some(*id), Status::NoFace));
    let lost = lost.map(|gone| message::structure(stream, &at, None, &gone));
    lost.chain(changed).collect()
}
