// SPDX-License-Identifier: MPL-2.0

//! Where the faces of a whole frame are, in two looks.
//!
//! The first look, at the frame shrunk to the detector's size, suggests; whatever it is not sure of
//! is looked at a second time, enlarged, in a window of its own, as a followed face is, and both
//! looks together decide. Small faces, close-ups that fill the frame and patterns all score in
//! between at first; the second look tells them apart better than any threshold of the first.

use super::error::Error;
use super::networks::{Detection, FaceDetector};
use super::pixels::{Affine, Outside, Picture};
use super::refine::{Followed, refine};

/// The picture to be searched is this many times as wide and as high as what the detector sees first.
pub const DETAIL: usize = 2;
/// Times the score of a face: from here on the first look is enough.
const SURE: f32 = 1.5;
/// Times the score of a face: from here on a second look is worth its time.
const SUGGEST: f32 = 0.3;
/// Second looks at one frame at most, the likeliest first. A photograph seldom has more than ten; with eight of them the
/// back rows of groups were left out.
const MOST: usize = 16;

/// Faces in `picture`, which shows the frame at [`DETAIL`] times its size for the detector, in its pixels.
/// Those that the first look is sure of come first. A face may be there twice where two suggestions led to it.
///
/// # Errors
///
/// What the detector's network says.
pub fn find(detector: &dyn FaceDetector, picture: &Picture) -> Result<Vec<Detection>, Error> {
    let spec = detector.spec();
    let (width, height) = (picture.width / DETAIL, picture.height / DETAIL);
    let detail = Affine::uniform(DETAIL as f32, 0.0, 0.0);
    let frame = picture.sample(&detail, width, height, spec.channels, Outside::Gray);
    let suggested = detector.detect(&frame, spec.score_threshold * SUGGEST)?;
    let (mut faces, mut doubtful): (Vec<_>, Vec<_>) = suggested
        .into_iter()
        .map(|face| face.mapped(&detail))
        .partition(|face| face.score >= spec.score_threshold * SURE);
    doubtful.truncate(MOST);
    let here = Affine::uniform(1.0, 0.0, 0.0);
    let windows: Vec<Followed<'_>> = doubtful
        .iter()
        .map(|face| Followed { patch: picture, map: &here, face: &face.rect })
        .collect();
    for (first, again) in doubtful.iter().zip(refine(detector, &windows)?) {
        let both = again.map(|face| Detection { score: (first.score + face.score) / 2.0, ..face });
        faces.extend(both.filter(|face| face.score >= spec.score_threshold));
    }
    Ok(faces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::pixels::Channels;
    use crate::core::types::{Point, Rect};
    use crate::runtime::fake::ScriptedDetector;

    fn face(x: f32, y: f32, side: f32, score: f32) -> Detection {
        let rect = Rect::new(x, y, side, side);
        Detection { rect, landmarks: [rect.center(); 5], score }
    }

    /// A grey picture with a bright square from (400, 200) to (440, 240), searched by a detector
    /// that suggests (0.3) the square and a spot of nothing, and knows the square in a window.
    fn found(in_window: f32) -> Vec<Detection> {
        let mut picture = Picture::filled(Channels::Rgb, 640, 384, 60);
        for y in 200..240 {
            picture.data[(y * 640 + 400) * 3..(y * 640 + 440) * 3].fill(250);
        }
        let detector = ScriptedDetector::new(move |picture: &Picture| {
            let bright = |x: usize, y: usize| picture.data[(y * picture.width + x) * 3] > 200;
            match (picture.width, picture.height) {
                (320, 192) => {
                    assert!(bright(210, 110) && !bright(190, 110));
                    vec![
                        face(20.0, 20.0, 30.0, 0.9),
                        face(200.0, 100.0, 20.0, 0.3),
                        face(50.0, 150.0, 20.0, 0.3),
                    ]
                }
                (96, 96) if bright(48, 48) => vec![face(28.0, 28.0, 40.0, in_window)],
                (96, 96) => vec![face(28.0, 28.0, 40.0, 0.35)],
                size => panic!("a picture of {size:?}"),
            }
        });
        find(&detector, &picture).unwrap()
    }

    #[test]
    fn both_looks_decide_on_what_the_first_suggests() {
        let faces = found(0.8);
        assert_eq!(faces.len(), 2, "{faces:?}");
        assert_eq!(faces[0], face(40.0, 40.0, 60.0, 0.9));
        let Detection { rect, score, .. } = faces[1];
        assert!((score - 0.55).abs() < 1e-6);
        assert!((rect.x - 400.0).abs() < 1e-3 && (rect.h - 40.0).abs() < 1e-3, "{rect:?}");
        assert_eq!(found(0.45).len(), 1);
    }

    #[test]
    fn second_looks_are_bounded() {
        let looks = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = looks.clone();
        let detector = ScriptedDetector::new(move |picture: &Picture| {
            if picture.width == 320 {
                return (0..100).map(|k| face(3.0 * k as f32, 10.0, 12.0, 0.3)).collect();
            }
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            vec![Detection {
                landmarks: [Point::new(48.0, 48.0); 5],
                ..face(28.0, 28.0, 40.0, 0.3)
            }]
        });
        let picture = Picture::filled(Channels::Rgb, 640, 384, 0);
        assert!(find(&detector, &picture).unwrap().is_empty());
        // Each as it is and mirrored.
        assert_eq!(looks.load(std::sync::atomic::Ordering::Relaxed), 2 * MOST);
    }
}
