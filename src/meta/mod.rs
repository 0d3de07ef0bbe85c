// SPDX-License-Identifier: MPL-2.0

//! Results on buffers: written by [`attach`], read by [`read`], and by nothing else.
//!
//! Every buffer that was analysed carries
//! 1. geometry: one `GstVideoRegionOfInterestMeta` of type `face` per face, its id = the track id.
//!    GStreamer's converters and scalers keep these and adapt the rectangle;
//! 2. truth: one `GstCustomMeta` named [`META_NAME`] without tags, so that every converter copies
//!    it; no coordinates in it, the two are joined by the track id;
//! 3. courtesy: the face's structure again as the parameter [`PARAM`] of its region of interest,
//!    for readers right after the writer (converters drop such parameters).

mod custom;
mod roi;
mod structure;

use crate::core::Rect;
use crate::core::result::Expression;

pub use custom::META_NAME;
pub use roi::{ROI_TYPE, RoiFace, faces};
pub use structure::{Malformed, PARAM, from_structure, to_structure};

/// One face of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// In pixels of the frame as it is now; `None` where the region of interest went missing on
    /// the way (a cropper drops them). Read back, it is clipped to x, y >= 0 and in whole pixels.
    pub rect: Option<Rect>,
    /// For [`attach`]: the upstream region of interest this face came from, as [`RoiFace::index`];
    /// it is given the track id instead of a new one being added. Always `None` when read.
    pub roi: Option<usize>,
    pub expression: Expression,
}

/// What one analysing element says of one frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameResults {
    /// Name of the element that analysed.
    pub stream: String,
    /// Number of the buffer since that element started, from 0.
    pub seq: u64,
    /// Empty when there is no face in the frame.
    pub faces: Vec<Face>,
    /// Faces seen but not analysed, because there were more than `max-faces`.
    pub ignored: u32,
}

impl Face {
    /// A face of our own detector.
    pub fn new(rect: Rect, expression: Expression) -> Self {
        Self { rect: Some(rect), roi: None, expression }
    }
}

/// Makes the custom meta known to GStreamer. [`attach`] and [`read`] do so themselves.
pub fn register() {
    custom::register();
}

/// Writes the results of one frame, in place of earlier ones of the same stream.
///
/// Results of other streams stay. Faces without a track id or with a rectangle that
/// [`Rect::is_sane`] refuses get no region of interest.
pub fn attach(buffer: &mut gst::BufferRef, results: &FrameResults) {
    let earlier = custom::remove(buffer, &results.stream);
    let foreign = custom::foreign(buffer, &results.stream);
    let added = roi::attach(buffer, &results.faces, &earlier, &foreign);
    custom::add(buffer, results, &added);
}

/// The newest results on a buffer; `None` where there are none that this version understands.
///
/// Metas that break the contract, or are of a newer schema, are passed over: the first of each
/// kind is reported as a warning in the log, further ones as debug lines.
pub fn read(buffer: &gst::BufferRef) -> Option<FrameResults> {
    let mut results = custom::read(buffer)?;
    roi::join(buffer, &mut results.faces);
    Some(results)
}
