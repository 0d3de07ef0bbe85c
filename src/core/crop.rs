// SPDX-License-Identifier: MPL-2.0

//! Which part of a frame each network is shown. Every map takes pixels of the network's picture to
//! pixels of the frame; its [`Affine::inverse`] or [`Affine::apply_rect`] brings results back.

use super::pixels::Affine;
use super::types::{Landmarks, Point, Rect};

/// Side of the window around a tracked face, in heights of the face.
pub const TRACK_WINDOW: f32 = 2.4;

/// The whole frame inside `out_w` x `out_h`, its aspect kept, in the middle (the free margin left
/// and above is a whole number of pixels, so that whole factors stay exact).
pub fn letterbox(frame_w: usize, frame_h: usize, out_w: usize, out_h: usize) -> Affine {
    let (fw, fh, ow, oh) = (frame_w as f32, frame_h as f32, out_w as f32, out_h as f32);
    let scale = (fw / ow).max(fh / oh);
    let margin = |out: f32, frame: f32| ((out - frame / scale) / 2.0).max(0.0).floor();
    Affine::uniform(scale, -margin(ow, fw) * scale, -margin(oh, fh) * scale)
}

/// A square window with the face in its middle, [`TRACK_WINDOW`] faces high, as `side` pixels.
pub fn track_window(face: &Rect, side: usize) -> Affine {
    let window = TRACK_WINDOW * face.h;
    Affine::scale_translate(&Rect::centered(face.center(), window, window), side, side)
}

/// The landmarks come to lie as close as possible to `template` (unit coordinates of the crop).
/// `None` when the landmarks are degenerate or not finite.
pub fn aligned(template: &Landmarks, landmarks: &Landmarks, size: usize) -> Option<Affine> {
    let target = template.map(|p| Point::new(p.x * size as f32, p.y * size as f32));
    let back = Affine::from_points(landmarks, &target)?.inverse();
    back.is_finite().then_some(back)
}

/// Without landmarks: centre and height of `face` come to lie on those of `face_box` (unit
/// coordinates of the crop); the scale is the same on both axes.
pub fn boxed(face_box: &Rect, face: &Rect, size: usize) -> Affine {
    let scale = face.h / (face_box.h * size as f32);
    let (from, to) = (face_box.center(), face.center());
    Affine::uniform(scale, to.x - from.x * size as f32 * scale, to.y - from.y * size as f32 * scale)
}

/// The same crop of side `size` with everything in it `scale` times as large about its middle.
pub fn enlarged(crop: &Affine, size: usize, scale: f32) -> Affine {
    let middle = size as f32 / 2.0 * (1.0 - 1.0 / scale);
    Affine::uniform(1.0 / scale, middle, middle).then(crop)
}

/// The whole frame squeezed into a square.
pub fn whole(frame_w: usize, frame_h: usize, size: usize) -> Affine {
    Affine::scale_translate(&Rect::new(0.0, 0.0, frame_w as f32, frame_h as f32), size, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::networks::CropSpec;

    fn close(a: Point, x: f32, y: f32) {
        assert!((a.x - x).abs() < 1e-3 && (a.y - y).abs() < 1e-3, "{a:?} is not ({x}, {y})");
    }

    #[test]
    fn letterbox_keeps_the_aspect_and_centres() {
        let wide = letterbox(1920, 1080, 320, 192);
        close(wide.apply(Point::new(0.0, 6.0)), 0.0, 0.0);
        close(wide.apply(Point::new(320.0, 186.0)), 1920.0, 1080.0);
        let tall = letterbox(480, 960, 320, 192);
        close(tall.apply(Point::new(112.0, 0.0)), 0.0, 0.0);
        close(tall.apply(Point::new(208.0, 192.0)), 480.0, 960.0);
        let back = wide.apply_rect(&Rect::new(10.0, 16.0, 20.0, 24.0));
        assert_eq!(back, Rect::new(60.0, 60.0, 120.0, 144.0));
    }

    #[test]
    fn the_window_shows_a_face_of_forty_pixels() {
        let face = Rect::new(100.0, 50.0, 80.0, 100.0);
        let map = track_window(&face, 96);
        close(map.apply(Point::new(48.0, 48.0)), 140.0, 100.0);
        let seen = map.inverse().apply_rect(&face);
        assert!((seen.h - 40.0).abs() < 1e-3, "{seen:?}");
    }

    #[test]
    fn landmarks_land_on_the_template() {
        let spec = CropSpec::upright();
        // Turned by 90 degrees, 200 pixels a side, moved to (700, 300).
        let landmarks = spec.template.map(|p| Point::new(700.0 - 200.0 * p.y, 300.0 + 200.0 * p.x));
        let map = aligned(&spec.template, &landmarks, 64).unwrap();
        for (unit, landmark) in spec.template.iter().zip(landmarks) {
            close(map.apply(Point::new(unit.x * 64.0, unit.y * 64.0)), landmark.x, landmark.y);
        }
        assert_eq!(aligned(&spec.template, &[Point::new(3.0, 3.0); 5], 64), None);
        let mut lost = landmarks;
        lost[2].y = f32::NAN;
        assert_eq!(aligned(&spec.template, &lost, 64), None);
    }

    #[test]
    fn a_box_fills_its_place_in_height() {
        let map = boxed(&Rect::new(0.1, 0.0, 0.8, 1.0), &Rect::new(40.0, 30.0, 100.0, 128.0), 64);
        close(map.apply(Point::new(32.0, 0.0)), 90.0, 30.0);
        close(map.apply(Point::new(32.0, 64.0)), 90.0, 158.0);
        close(map.apply(Point::new(0.0, 32.0)), 26.0, 94.0);
    }

    #[test]
    fn the_middle_stays_where_it_is() {
        let map = enlarged(&whole(640, 320, 64), 64, 1.25);
        close(map.apply(Point::new(32.0, 32.0)), 320.0, 160.0);
        close(map.apply(Point::new(64.0, 0.0)), 576.0, 32.0);
    }

    #[test]
    fn the_whole_frame_is_squeezed() {
        close(whole(640, 360, 64).apply(Point::new(64.0, 64.0)), 640.0, 360.0);
    }
}
