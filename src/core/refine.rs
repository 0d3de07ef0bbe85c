// SPDX-License-Identifier: MPL-2.0

//! Where exactly a face is that is being followed, and where its landmarks are.

use super::crop;
use super::error::Error;
use super::networks::{Detection, FaceDetector};
use super::pixels::{Affine, Outside, Picture};
use super::types::Rect;

/// A face that is followed is believed at this part of the score that a new one needs.
const FOLLOW: f32 = 0.6;
/// Overlap with where the face is expected, intersection over union, at least.
const NEAR: f32 = 0.15;
/// The two views speak of one face when their boxes overlap by more.
const SAME: f32 = 0.5;

/// A face to be looked for again.
pub struct Followed<'a> {
    /// The face's surroundings.
    pub patch: &'a Picture,
    /// Leads from the pixels of `patch` to those of the frame.
    pub map: &'a Affine,
    /// Where it is expected in the frame.
    pub face: &'a Rect,
}

/// The faces again, each in a window around where it is expected; in their order, and in the
/// coordinates of the frame.
///
/// The detector sees the window and its mirror image, and the two answers are averaged: what it
/// gets wrong about one side of a face it gets wrong the other way round in the mirror. The crops
/// that the encoder learnt from were aligned the same way.
pub fn refine(
    detector: &dyn FaceDetector,
    faces: &[Followed<'_>],
) -> Result<Vec<Option<Detection>>, Error> {
    let spec = detector.spec();
    let side = spec.track_size;
    let mut windows = Vec::with_capacity(2 * faces.len());
    for Followed { patch, map, face } in faces {
        let window = crop::track_window(face, side).then(&map.inverse());
        let window = patch.sample(&window, side, side, spec.channels, Outside::Edge);
        let mirrored = window.mirrored();
        windows.extend([window, mirrored]);
    }
    let found = detector.detect_all(&windows, spec.score_threshold * FOLLOW)?;
    Ok(faces.iter().zip(found.chunks(2)).map(|(f, views)| choose(views, f.face, side)).collect())
}

/// The face that is expected at `face`, from what was found in its window and in the mirror image.
fn choose(views: &[Vec<Detection>], face: &Rect, side: usize) -> Option<Detection> {
    let to_frame = crop::track_window(face, side);
    let nearness = |d: &Detection| d.score * d.rect.iou(face);
    let nearest = |found: &[Detection], mirrored: bool| {
        let as_seen = |d: &Detection| if mirrored { d.mirrored(side as f32) } else { *d };
        found
            .iter()
            .map(|d| as_seen(d).mapped(&to_frame))
            .filter(|d| d.rect.iou(face) > NEAR)
            .max_by(|a, b| nearness(a).total_cmp(&nearness(b)))
    };
    let [plain, mirrored] = views else { return None };
    match (nearest(plain, false), nearest(mirrored, true)) {
        (Some(a), Some(b)) if a.rect.iou(&b.rect) > SAME => Some(a.mean(&b)),
        (Some(a), Some(b)) if nearness(&b) > nearness(&a) => Some(b),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::core::networks::DetectorSpec;
    use crate::core::pixels::Channels;
    use crate::core::types::Point;

    /// Answers the window and its mirror image with these boxes of the window's face.
    struct Twice {
        spec: DetectorSpec,
        answers: [Vec<Detection>; 2],
        looks: AtomicUsize,
    }

    impl FaceDetector for Twice {
        fn spec(&self) -> &DetectorSpec {
            &self.spec
        }

        fn detect(&self, picture: &Picture, min_score: f32) -> Result<Vec<Detection>, Error> {
            // The left edge of the patch is white, the right one black.
            let look = self.looks.fetch_add(1, Ordering::Relaxed);
            assert_eq!(picture.data[0], if look == 0 { 255 } else { 0 });
            let mut found = self.answers[look].clone();
            found.retain(|d| d.score >= min_score);
            Ok(found)
        }
    }

    const FACE: Rect = Rect::new(40.0, 40.0, 40.0, 40.0);

    /// A face in the window of 96 pixels that is as large as the patch.
    fn face(x: f32, score: f32) -> Detection {
        let landmarks = [10.0, 30.0, 20.0, 12.0, 28.0].map(|dx| Point::new(x + dx, 50.0));
        Detection { rect: Rect::new(x, 28.0, 40.0, 40.0), landmarks, score }
    }

    fn refined(plain: Vec<Detection>, mirrored: Vec<Detection>) -> Option<Detection> {
        let spec = DetectorSpec {
            model: "twice".into(),
            frame_size: (320, 192),
            multiple: 32,
            track_size: 96,
            channels: Channels::Gray,
            score_threshold: 0.5,
        };
        let detector = Twice { spec, answers: [plain, mirrored], looks: AtomicUsize::new(0) };
        let data = (0..96 * 96).map(|i| if i % 96 < 48 { 255 } else { 0 }).collect();
        let patch = Picture::new(Channels::Gray, 96, 96, data).unwrap();
        let map = crop::track_window(&FACE, 96);
        let face = Followed { patch: &patch, map: &map, face: &FACE };
        refine(&detector, &[face]).unwrap().remove(0)
    }

    #[test]
    fn what_is_wrong_on_one_side_is_made_up_for_in_the_mirror() {
        // Two pixels too far to the right, whichever way the face looks.
        let found = refined(vec![face(30.0, 0.9)], vec![face(30.0, 0.7)]).unwrap();
        assert!((found.rect.center().x - FACE.center().x).abs() < 1e-4, "{found:?}");
        let eyes = found.landmarks[0].x + found.landmarks[1].x;
        assert!((eyes / 2.0 - FACE.center().x).abs() < 1e-4, "{found:?}");
        assert!(found.landmarks[0].x < found.landmarks[1].x);
        assert!((found.score - 0.8).abs() < 1e-6);
    }

    #[test]
    fn one_view_is_enough_and_none_is_a_miss() {
        let found = refined(vec![], vec![face(26.0, 0.4)]).unwrap();
        // Two pixels left in the mirror are two to the right.
        assert!((found.rect.x - FACE.x - 2.0).abs() < 1e-4, "{found:?}");
        assert_eq!(refined(vec![face(28.0, 0.9)], vec![]).unwrap().score, 0.9);
        // Too weak, and too far away.
        assert_eq!(refined(vec![face(28.0, 0.2)], vec![face(64.0, 0.9)]), None);
    }

    #[test]
    fn views_of_two_faces_are_not_mixed() {
        let found = refined(vec![face(44.0, 0.9)], vec![face(28.0, 0.9)]).unwrap();
        assert!((found.rect.x - FACE.x).abs() < 1e-4, "{found:?}");
    }
}
