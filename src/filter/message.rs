// SPDX-License-Identifier: MPL-2.0

//! The element message `dfer-expression`: one face's stable label changed.

use crate::core::Rect;
use crate::core::result::Expression;
use crate::meta;

/// Name of the message's structure.
pub const MESSAGE: &str = "dfer-expression";

/// Where and when the result holds.
pub struct Moment {
    pub seq: u64,
    pub pts: Option<gst::ClockTime>,
    pub running_time: Option<gst::ClockTime>,
    pub stream_time: Option<gst::ClockTime>,
    /// Width and height of the frame, in pixels.
    pub frame: [u32; 2],
}

/// The fields of the record `dfer/1`, and `stream-time`.
pub fn structure(stream: &str, at: &Moment, rect: &Rect, e: &Expression) -> gst::Structure {
    let mut s = meta::to_structure(e);
    s.set_name(MESSAGE);
    s.set("schema", crate::core::record::SCHEMA);
    s.set("stream", stream);
    s.set("seq", at.seq);
    s.set_if_some("pts", at.pts.map(gst::ClockTime::nseconds));
    s.set_if_some("running-time", at.running_time.map(gst::ClockTime::nseconds));
    s.set_if_some("stream-time", at.stream_time.map(gst::ClockTime::nseconds));
    s.set("frame", gst::Array::new(at.frame.map(|v| v as i32)));
    s.set("box", gst::Array::new([rect.x, rect.y, rect.w, rect.h].map(|v| v.round() as i32)));
    s
}
