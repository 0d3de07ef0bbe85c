// SPDX-License-Identifier: MPL-2.0

//! From the results on a buffer to records.

use crate::core::record::{Record, SCHEMA};
use crate::core::result::{Expression, Status};
use crate::core::types::Ns;
use crate::meta::FrameResults;

/// What surrounds the results of one buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// Width and height, in pixels.
    pub frame: [u32; 2],
    pub pts: Option<Ns>,
    pub running_time: Option<Ns>,
    /// RFC 3339.
    pub utc: Option<String>,
}

/// One record for every face.
pub(super) fn records(results: &FrameResults, around: &Surroundings) -> Vec<Record> {
    let of_face = |face: &crate::meta::Face| Record {
        bounds: face.rect.map(|r| [r.x, r.y, r.w, r.h].map(|v| v.round() as i32)),
        ..record(results, around, face.expression.clone())
    };
    results.faces.iter().map(of_face).collect()
}

/// A record without a place: that a face has left (`track_id`), or that there is none at all.
pub(super) fn no_face(
    results: &FrameResults,
    around: &Surroundings,
    track_id: Option<u64>,
) -> Record {
    record(results, around, Expression::new(track_id, Status::NoFace))
}

fn record(results: &FrameResults, around: &Surroundings, expression: Expression) -> Record {
    Record {
        schema: SCHEMA.to_owned(),
        stream: results.stream.clone(),
        seq: results.seq,
        pts: around.pts,
        running_time: around.running_time,
        utc: around.utc.clone(),
        frame: around.frame,
        bounds: None,
        expression,
    }
}
