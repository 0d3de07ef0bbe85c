// SPDX-License-Identifier: MPL-2.0

//! The element messages: `dfer-expression`, one face's stable label changed, and `dfer-aggregate`,
//! with `aggregate-only`, the counts changed.

use crate::core::Rect;
use crate::core::aggregate::Counts;
use crate::core::result::Expression;
use crate::meta;

/// Name of the message's structure.
pub const MESSAGE: &str = "dfer-expression";

/// Name of the structure of the message with counts.
pub const AGGREGATE_MESSAGE: &str = "dfer-aggregate";

/// Where and when the result holds.
pub struct Moment {
    pub seq: u64,
    pub pts: Option<gst::ClockTime>,
    pub running_time: Option<gst::ClockTime>,
    pub stream_time: Option<gst::ClockTime>,
    /// Width and height of the frame, in pixels.
    pub frame: [u32; 2],
}

/// The fields of the record `dfer/1`, and `stream-time`. A face that is gone has no place.
pub fn structure(stream: &str, at: &Moment, rect: Option<&Rect>, e: &Expression) -> gst::Structure {
    let mut s = meta::to_structure(e);
    s.set_name(MESSAGE);
    s.set("schema", crate::core::record::SCHEMA);
    set_moment(&mut s, stream, at);
    s.set("frame", gst::Array::new(at.frame.map(|v| v as i32)));
    if let Some(Rect { x, y, w, h }) = rect {
        s.set("box", gst::Array::new([x, y, w, h].map(|v| v.round() as i32)));
    }
    s
}

/// The fields of the record `dfer-aggregate/1`, and `stream-time`.
pub fn of_counts(stream: &str, at: &Moment, counts: &Counts) -> gst::Structure {
    let mut s = gst::Structure::new_empty(AGGREGATE_MESSAGE);
    meta::set_counts(&mut s, counts);
    set_moment(&mut s, stream, at);
    s
}

fn set_moment(s: &mut gst::StructureRef, stream: &str, at: &Moment) {
    s.set("stream", stream);
    s.set("seq", at.seq);
    s.set_if_some("pts", at.pts.map(gst::ClockTime::nseconds));
    s.set_if_some("running-time", at.running_time.map(gst::ClockTime::nseconds));
    s.set_if_some("stream-time", at.stream_time.map(gst::ClockTime::nseconds));
}
