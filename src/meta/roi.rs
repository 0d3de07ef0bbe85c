// SPDX-License-Identifier: MPL-2.0

//! Regions of interest: where the faces are.

use gst_video::VideoRegionOfInterestMeta as Roi;

use super::structure::{PARAM, to_structure};
use super::{Face, MarkedFace};
use crate::core::Rect;

/// Type of the regions of interest that are faces, ours and those of upstream detectors.
pub const ROI_TYPE: &str = "face";

/// Type of the regions of interest where faces are or may be that no result tells of. They have no
/// id and are no faces to other elements; there for whoever hides faces.
pub const UNREPORTED_TYPE: &str = "face-unreported";

/// The regions of interest that are faces, whoever marked them.
pub(super) fn faces(buffer: &gst::BufferRef) -> Vec<MarkedFace> {
    let all = buffer.iter_meta::<Roi>().enumerate();
    all.filter(|(_, roi)| roi.roi_type() == ROI_TYPE)
        .map(|(index, roi)| MarkedFace {
            region: Some(index),
            detection: None,
            id: u64::try_from(roi.id()).ok().filter(|id| *id > 0),
            rect: rect(roi.rect()),
        })
        .collect()
}

/// Gives every face its region of interest; ids of the regions added. `earlier`: ids of regions
/// that a former writing of the same stream had added and that go now. `foreign`: track ids of
/// other streams, whose regions keep their id; a face that came from one gets a second region.
pub(super) fn attach(
    buffer: &mut gst::BufferRef,
    faces: &[Face],
    earlier: &[i32],
    foreign: &[u64],
) -> Vec<i32> {
    let known: Vec<Snapshot> = buffer.iter_meta::<Roi>().map(|roi| Snapshot::of(&roi)).collect();
    let region = |face: &Face| {
        let (index, id) = (face.origin.region?, roi_id(face.expression.track_id?));
        let taken =
            known.get(index)?.id != id && foreign.iter().any(|f| roi_id(*f) == known[index].id);
        (!taken).then_some(index)
    };
    let owner = |index: usize| faces.iter().find(|face| region(face) == Some(index));
    // A parameter cannot be exchanged, so a region that already has ours is written anew.
    let fate = |index: usize| match (owner(index), &known[index]) {
        (Some(_), roi) if roi.has_ours => Fate::Renew,
        (Some(face), _) => Fate::Mark(face),
        (None, roi) if roi.is_face && earlier.contains(&roi.id) => Fate::Drop,
        (None, _) => Fate::Keep,
    };
    if (0..known.len()).any(|i| matches!(fate(i), Fate::Renew | Fate::Drop)) {
        let mut index = 0;
        buffer.foreach_meta_mut(|mut meta| {
            use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
            let mut action = Keep;
            if meta.downcast_ref::<Roi>().is_some() {
                if matches!(fate(index), Fate::Renew | Fate::Drop) {
                    action = Remove;
                }
                index += 1;
            }
            std::ops::ControlFlow::Continue(action)
        });
    }
    let left = (0..known.len()).map(fate).filter(|f| !matches!(f, Fate::Renew | Fate::Drop));
    for (mut roi, fate) in buffer.iter_meta_mut::<Roi>().zip(left.collect::<Vec<_>>()) {
        if let Fate::Mark(face) = fate {
            mark(&mut roi, face);
        }
    }
    let mut added = Vec::new();
    for face in faces {
        let Some(id) = face.expression.track_id.map(roi_id) else { continue };
        match region(face).map(|index| &known[index]) {
            Some(roi) if roi.has_ours => roi.add_again(buffer, face),
            Some(_) => (),
            None => {
                let Some(rect) = face.rect.and_then(pixels) else { continue };
                mark(&mut Roi::add(buffer, ROI_TYPE, rect), face);
                added.push(id);
            }
        }
    }
    added
}

pub(super) fn mark_unreported(buffer: &mut gst::BufferRef, places: &[Rect]) {
    for place in places.iter().filter_map(|rect| pixels(*rect)) {
        Roi::add(buffer, UNREPORTED_TYPE, place);
    }
}

pub(super) fn unreported(buffer: &gst::BufferRef) -> Vec<Rect> {
    let all = buffer.iter_meta::<Roi>().filter(|roi| roi.roi_type() == UNREPORTED_TYPE);
    all.map(|roi| rect(roi.rect())).collect()
}

/// Fills in the rectangles by id. Where several regions share an id, the one added last counts.
pub(super) fn join(buffer: &gst::BufferRef, faces: &mut [Face]) {
    for roi in buffer.iter_meta::<Roi>().filter(|roi| roi.roi_type() == ROI_TYPE) {
        for face in faces.iter_mut() {
            if face.expression.track_id.map(roi_id) == Some(roi.id()) {
                face.rect = Some(rect(roi.rect()));
            }
        }
    }
}

/// What becomes of a region of interest that is on the buffer already.
enum Fate<'a> {
    Keep,
    /// Becomes this face's.
    Mark(&'a Face),
    /// Is this face's and replaced.
    Renew,
    Drop,
}

/// A region of interest, for writing it anew.
struct Snapshot {
    roi_type: &'static str,
    rect: (u32, u32, u32, u32),
    id: i32,
    parent: i32,
    is_face: bool,
    /// Whether it has a parameter [`PARAM`].
    has_ours: bool,
    params: Vec<gst::Structure>,
}

impl Snapshot {
    fn of(roi: &Roi) -> Self {
        let has_ours = roi.param(PARAM).is_some();
        Self {
            roi_type: roi.roi_type(),
            rect: roi.rect(),
            id: roi.id(),
            parent: roi.parent_id(),
            is_face: roi.roi_type() == ROI_TYPE,
            has_ours,
            // Only needed for writing it anew.
            params: if has_ours {
                roi.params().filter(|p| p.name() != PARAM).map(|p| p.to_owned()).collect()
            } else {
                Vec::new()
            },
        }
    }

    fn add_again(&self, buffer: &mut gst::BufferRef, face: &Face) {
        let mut roi = Roi::add(buffer, self.roi_type, self.rect);
        roi.set_parent_id(self.parent);
        for param in &self.params {
            roi.add_param(param.clone());
        }
        mark(&mut roi, face);
    }
}

fn mark(roi: &mut Roi, face: &Face) {
    roi.set_id(face.expression.track_id.map_or(0, roi_id));
    roi.add_param(to_structure(&face.expression));
}

/// Track ids have 64 bits, the ids of regions 31; they are told apart by the lower ones.
fn roi_id(track_id: u64) -> i32 {
    (track_id & 0x7fff_ffff) as i32
}

fn rect((x, y, w, h): (u32, u32, u32, u32)) -> Rect {
    Rect::new(x as f32, y as f32, w as f32, h as f32)
}

/// Whole pixels; what lies left of or above the picture is cut off, regions being unsigned.
pub(super) fn pixels(rect: Rect) -> Option<(u32, u32, u32, u32)> {
    let seen = rect.is_sane().then_some(rect)?.clipped(f32::MAX, f32::MAX)?;
    let (x, y) = (seen.x.round() as u32, seen.y.round() as u32);
    let (right, bottom) = ((seen.x + seen.w).round() as u32, (seen.y + seen.h).round() as u32);
    Some((x, y, (right - x).max(1), (bottom - y).max(1)))
}
