// SPDX-License-Identifier: MPL-2.0

//! `GstAnalyticsRelationMeta` (GStreamer 1.24): the shape that stock analytics elements read.
//!
//! An object detection of type [`ROI_TYPE`] RELATE_TO a tracking and RELATE_TO classifications, in
//! this order: what is said of the face, as one class, where that is not the likeliest one (the
//! held label while `changing`; the status where there is no label); all classes, the likeliest
//! first; the agreement, as the class [`AGREEMENT`]. `objectdetectionoverlay` prints the first class
//! of the first classification.

use std::sync::atomic::{AtomicBool, Ordering};

use gst_analytics::prelude::*;
use gst_analytics::{AnalyticsODMtd, AnalyticsRelationMeta, AnalyticsTrackingMtd, RelTypes};

use super::custom::CAT;
use super::{Face, MarkedFace, ROI_TYPE, roi};
use crate::core::Rect;
use crate::core::result::Expression;

/// Class of the classification that holds the agreement as its level.
pub const AGREEMENT: &str = "dfer-agreement";

/// Types of objects that are faces, as detectors of GStreamer, DL Streamer and ONVIF call them.
const FACE_TYPES: [&str; 2] = [ROI_TYPE, "HumanFace"];

type Added<'a> = gst::MetaRefMut<'a, AnalyticsRelationMeta, gst::meta::Standalone>;
type Present<'a> = gst::MetaRef<'a, AnalyticsRelationMeta>;

/// The detections that are faces.
pub(super) fn faces(buffer: &gst::BufferRef) -> Vec<MarkedFace> {
    let Some(meta) = buffer.meta::<AnalyticsRelationMeta>() else { return Vec::new() };
    let detections: Vec<u32> = meta.iter::<AnalyticsODMtd>().map(|od| od.id()).collect();
    detections.into_iter().filter_map(|id| face(&meta, id).unwrap_or_else(refuse)).collect()
}

/// `Ok(None)` for objects that are no faces.
fn face<'a>(meta: &'a Present<'a>, id: u32) -> Result<Option<MarkedFace>, String> {
    let od = meta.mtd::<AnalyticsODMtd>(id).ok_or("a detection is missing")?;
    let object = od.obj_type().ok_or("a detection is of no type")?;
    if !FACE_TYPES.iter().any(|face| object.as_str().eq_ignore_ascii_case(face)) {
        return Err(format!("a detection is of type {:?}, not {ROI_TYPE:?}", object.as_str()));
    }
    let at = od.location().map_err(|err| err.to_string())?;
    let rect = Rect::new(at.x as f32, at.y as f32, at.w as f32, at.h as f32);
    if !rect.is_sane() {
        return Err(format!("a face of {}x{} pixels at {},{}", at.w, at.h, at.x, at.y));
    }
    Ok(Some(MarkedFace { region: None, detection: Some(id), id: track_id(meta, id), rect }))
}

/// Of the first track related to a detection; none where the tracker has lost it.
fn track_id<'a>(meta: &'a Present<'a>, detection: u32) -> Option<u64> {
    let mut tracks =
        meta.iter_direct_related::<AnalyticsTrackingMtd>(detection, RelTypes::RELATE_TO);
    let (id, _, _, lost) = tracks.next()?.info();
    (!lost).then_some(id)
}

/// One warning: a stream brings the same fault with every buffer.
fn refuse(err: String) -> Option<MarkedFace> {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if TOLD.swap(true, Ordering::Relaxed) {
        gst::debug!(CAT, "ignored in GstAnalyticsRelationMeta: {err}");
    } else {
        gst::warning!(
            CAT,
            "ignored in GstAnalyticsRelationMeta: {err} (said once; further ones are debug lines)"
        );
    }
    None
}

/// Writes the faces; ids of what was added. `earlier`: ids that a former writing of the same stream
/// had added. They go with the whole meta; where others have written into it too, which nothing
/// can be taken out of, they only lose their relations.
pub(super) fn attach(buffer: &mut gst::BufferRef, faces: &[Face], earlier: &[u32]) -> Vec<u32> {
    forget(buffer, earlier);
    let placed = faces.iter().filter(|face| face.expression.track_id.is_some());
    let placed: Vec<_> = placed.map(|face| (face, known_detection(buffer, face))).collect();
    let mut added = Vec::new();
    for (face, known) in placed {
        // Fails only where there is no memory left for it, or too much on the buffer.
        if let Err(err) = write(buffer, face, known, &mut added) {
            gst::warning!(CAT, "cannot add to GstAnalyticsRelationMeta: {err}");
        }
    }
    added
}

fn forget(buffer: &mut gst::BufferRef, earlier: &[u32]) {
    if earlier.is_empty() {
        return;
    }
    let Some(mut meta) = buffer.meta_mut::<AnalyticsRelationMeta>() else { return };
    if meta.len() == earlier.len() {
        // Upstream's metas are never locked; where this one is, it stays.
        let _ = meta.remove();
        return;
    }
    for from in earlier {
        for to in earlier {
            let _ = meta.set_relation(RelTypes::empty(), *from, *to);
        }
    }
}

/// The detection that the face came from, unless another stream has tracked it under another id.
fn known_detection(buffer: &gst::BufferRef, face: &Face) -> Option<u32> {
    let id = face.origin.detection?;
    let meta = buffer.meta::<AnalyticsRelationMeta>()?;
    meta.mtd::<AnalyticsODMtd>(id)?;
    let tracked = track_id(&meta, id);
    (tracked.is_none() || tracked == face.expression.track_id).then_some(id)
}

fn write(
    buffer: &mut gst::BufferRef,
    face: &Face,
    known: Option<u32>,
    added: &mut Vec<u32>,
) -> Result<(), glib::BoolError> {
    let Some(id) = face.expression.track_id else { return Ok(()) };
    let tracked =
        known.is_some_and(|k| buffer.meta().is_some_and(|meta| track_id(&meta, k).is_some()));
    let rect = face.rect.and_then(roi::pixels);
    let mut meta: Added<'_> = AnalyticsRelationMeta::add(buffer);
    let detection = match (known, rect) {
        (Some(known), _) => known,
        (None, Some((x, y, w, h))) => {
            let [x, y, w, h] = [x, y, w, h].map(|v| i32::try_from(v).unwrap_or(i32::MAX));
            let face_type = glib::Quark::from_str(ROI_TYPE);
            let od = meta.add_od_mtd(face_type, x, y, w, h, face.origin.score)?.id();
            added.push(od);
            od
        }
        (None, None) => return Ok(()),
    };
    let first = added.len();
    if !tracked {
        // The last value of all stands for no time in GStreamer.
        let seen = face.origin.first_seen.unwrap_or(0).min(gst::ClockTime::MAX.nseconds());
        let seen = gst::ClockTime::from_nseconds(seen);
        added.push(meta.add_tracking_mtd(id, seen)?.id());
    }
    for classes in classifications(&face.expression) {
        let (levels, quarks): (Vec<_>, Vec<_>) = classes.into_iter().unzip();
        added.push(meta.add_cls_mtd(&levels, &quarks)?.id());
    }
    for related in &added[first..] {
        meta.set_relation(RelTypes::RELATE_TO, detection, *related)?;
    }
    Ok(())
}

/// Levels and classes of each classification of a face.
fn classifications(e: &Expression) -> Vec<Vec<(f32, glib::Quark)>> {
    let quark = |text: &str| glib::Quark::from_str(text);
    let mut classes = e.probabilities.as_ref().map(|p| p.0.clone()).unwrap_or_default();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    let said = match (&e.label, e.probability) {
        (Some(label), p) => (p.unwrap_or(1.0), &**label),
        (None, _) => (1.0, e.status.as_str()),
    };
    let mut all = Vec::new();
    if classes.first().is_none_or(|(likeliest, _)| **likeliest != *said.1) {
        all.push(vec![(said.0, quark(said.1))]);
    }
    if !classes.is_empty() {
        all.push(classes.iter().map(|(label, p)| (*p, quark(label))).collect());
    }
    all.extend(e.agreement.map(|agreement| vec![(agreement, quark(AGREEMENT))]));
    all
}
