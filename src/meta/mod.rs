// SPDX-License-Identifier: MPL-2.0

//! Results on buffers: written by [`attach`], read by [`read`], and by nothing else.
//!
//! Every buffer that was analysed carries
//! 1. geometry: one `GstVideoRegionOfInterestMeta` of type `face` per face, its id = the track id.
//!    GStreamer's converters and scalers keep these and adapt the rectangle;
//! 2. truth: one `GstCustomMeta` named [`META_NAME`] without tags, so that every converter copies
//!    it; no coordinates in it, the two are joined by the track id;
//! 3. courtesy: the face's structure again as the parameter [`PARAM`] of its region of interest,
//!    for readers right after the writer (converters drop such parameters);
//! 4. for hiding: regions of interest of type [`UNREPORTED_TYPE`] where faces are that no result
//!    tells of;
//! 5. with the feature `v1_24`: a `GstAnalyticsRelationMeta`, for stock analytics elements.

mod custom;
#[cfg(feature = "v1_24")]
mod relation;
mod roi;
mod structure;

use crate::core::Rect;
use crate::core::aggregate::Counts;
use crate::core::result::Expression;
use crate::core::types::Ns;

pub use custom::META_NAME;
#[cfg(feature = "v1_24")]
pub use relation::AGREEMENT;
pub use roi::{ROI_TYPE, UNREPORTED_TYPE};
pub(crate) use structure::set_counts;
pub use structure::{Malformed, PARAM, from_structure, to_structure};

/// One face of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// In pixels of the frame as it is now; `None` where the region of interest went missing on
    /// the way (a cropper drops them). Read back, it is clipped to x, y >= 0 and in whole pixels.
    pub rect: Option<Rect>,
    pub origin: Origin,
    pub expression: Expression,
}

/// How a face came about: for [`attach`]; nothing of it is read back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Origin {
    /// The upstream region of interest it came from, as [`MarkedFace::region`]: it is given the
    /// track id, and no new one is added.
    pub region: Option<usize>,
    /// The upstream detection it came from, as [`MarkedFace::detection`]: results are related to
    /// it, and no new one is added.
    pub detection: Option<u32>,
    /// Confidence in the rectangle, 0 to 1.
    pub score: f32,
    /// Time on the stream's time line.
    pub first_seen: Option<Ns>,
}

impl Default for Origin {
    fn default() -> Self {
        Self { region: None, detection: None, score: 1.0, first_seen: None }
    }
}

/// A face that somebody marked on a buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarkedFace {
    /// Its region of interest of type [`ROI_TYPE`]: position among all regions of the buffer.
    pub region: Option<usize>,
    /// Its object detection in the `GstAnalyticsRelationMeta`; always `None` without the feature
    /// `v1_24`.
    pub detection: Option<u32>,
    /// As an upstream tracker set it; `None` where there is none (0 or less on a region).
    pub id: Option<u64>,
    /// In pixels of the frame; anything that four 32-bit numbers can say.
    pub rect: Rect,
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
    /// Where faces are or may be that `faces` does not tell of, in pixels of the frame: doubtful
    /// ones, those beyond `max-faces`, and all of them where there are but counts.
    pub unreported: Vec<Rect>,
    /// Counts in place of `faces`, which is empty then: nothing is told of a single face.
    pub counts: Option<Counts>,
}

impl Face {
    /// A face of our own detector.
    pub fn new(rect: Rect, expression: Expression) -> Self {
        Self { rect: Some(rect), origin: Origin::default(), expression }
    }
}

/// Makes the custom meta known to GStreamer. [`attach`] and [`read`] do so themselves.
pub fn register() {
    custom::register();
}

/// Writes the results of one frame, in place of earlier ones of the same stream.
///
/// Results of other streams stay. Faces without a track id or with a rectangle that
/// [`Rect::is_sane`] refuses get no region of interest. Regions of unreported faces stay where they
/// are for good, whoever wrote them.
pub fn attach(buffer: &mut gst::BufferRef, results: &FrameResults) {
    let earlier = custom::remove(buffer, &results.stream);
    let foreign = custom::foreign(buffer, &results.stream);
    let added = custom::Added {
        regions: roi::attach(buffer, &results.faces, &earlier.regions, &foreign),
        #[cfg(feature = "v1_24")]
        analytics: relation::attach(buffer, &results.faces, &earlier.analytics),
        #[cfg(not(feature = "v1_24"))]
        analytics: Vec::new(),
    };
    roi::mark_unreported(buffer, &results.unreported);
    custom::add(buffer, results, &added);
}

/// The faces on a buffer, whoever marked them: regions of interest of type [`ROI_TYPE`] and, with
/// the feature `v1_24`, object detections of that type. A face that is marked both ways comes once.
pub fn faces(buffer: &gst::BufferRef) -> Vec<MarkedFace> {
    #[allow(unused_mut)]
    let mut all = roi::faces(buffer);
    #[cfg(feature = "v1_24")]
    for detected in relation::faces(buffer) {
        let same = |f: &&mut MarkedFace| f.detection.is_none() && same_face(f, &detected);
        match all.iter_mut().find(same) {
            Some(face) => {
                face.detection = detected.detection;
                face.id = face.id.or(detected.id);
            }
            None => all.push(detected),
        }
    }
    all
}

/// Every place where a face is or may be, marked or told of by whomever: what has to be covered.
pub fn places(buffer: &gst::BufferRef) -> Vec<Rect> {
    let marked = faces(buffer).into_iter().map(|face| face.rect);
    marked.chain(roi::unreported(buffer)).collect()
}

#[cfg(feature = "v1_24")]
fn same_face(a: &MarkedFace, b: &MarkedFace) -> bool {
    (a.id.is_some() && a.id == b.id) || a.rect.iou(&b.rect) > 0.5
}

/// The newest results on a buffer; `None` where there are none that this version understands.
///
/// Metas that break the contract, or are of a newer schema, are passed over: the first of each
/// kind is reported as a warning in the log, further ones as debug lines.
pub fn read(buffer: &gst::BufferRef) -> Option<FrameResults> {
    let mut results = custom::read(buffer)?;
    roi::join(buffer, &mut results.faces);
    results.unreported = roi::unreported(buffer);
    Some(results)
}
