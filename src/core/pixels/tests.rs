// SPDX-License-Identifier: MPL-2.0

use super::*;
use crate::core::types::{Point, Rect};

mod formats;
mod sampling;

/// Numbers that are the same on every run: a linear congruence with Knuth's constants (MMIX).
pub(super) struct Lcg(pub u64);

impl Lcg {
    pub fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// 0 to 1.
    pub fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 31) as f32
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }
}

fn gray(width: usize, height: usize, data: &[u8]) -> Picture {
    Picture::new(Channels::Gray, width, height, data.to_vec()).unwrap()
}

fn close(a: Point, b: Point) {
    assert!((a.x - b.x).abs() < 1e-3 && (a.y - b.y).abs() < 1e-3, "{a:?} is not {b:?}");
}

#[test]
fn a_picture_needs_its_bytes() {
    let error = Picture::new(Channels::Rgb, 2, 2, vec![0; 11]).unwrap_err();
    assert!(error.to_string().contains("2x2 Rgb takes 12 bytes, not 11"), "{error}");
}

#[test]
fn similarity_is_recovered_from_its_points() {
    let turned = Affine { xx: 1.2, xy: -0.9, yx: 0.9, yy: 1.2, tx: -20.0, ty: 7.5 };
    let from: Vec<Point> =
        [(0., 0.), (10., 1.), (4., 9.), (-3., 5.)].map(|(x, y)| Point::new(x, y)).to_vec();
    let to: Vec<Point> = from.iter().map(|p| turned.apply(*p)).collect();
    let found = Affine::from_points(&from, &to).unwrap();
    for p in &from {
        close(found.apply(*p), turned.apply(*p));
        close(found.inverse().apply(found.apply(*p)), *p);
    }
    assert_eq!(found.scale(), (found.xx.hypot(found.yx), found.scale().0));
    assert!((found.scale().0 - 1.5).abs() < 1e-5);
}

#[test]
fn best_similarity_is_the_least_squares_one() {
    // A unit square onto one stretched to twice its width: scale 1.5, no rotation.
    let square = [(0., 0.), (1., 0.), (1., 1.), (0., 1.)].map(|(x, y)| Point::new(x, y));
    let wide = square.map(|p| Point::new(2.0 * p.x, p.y));
    let found = Affine::from_points(&square, &wide).unwrap();
    assert!((found.xx - 1.5).abs() < 1e-6 && found.xy.abs() < 1e-6, "{found:?}");
    close(found.apply(Point::new(0.5, 0.5)), Point::new(1.0, 0.5));
    // A mirrored square is not mirrored back: no similarity without reflection fits it at all.
    let mirrored = square.map(|p| Point::new(-p.x, p.y));
    assert_eq!(Affine::from_points(&square, &mirrored), None);
}

#[test]
fn degenerate_points_have_no_similarity() {
    let p = Point::new(100.0, 100.0);
    let q = Point::new(110.0, 100.0);
    assert_eq!(Affine::from_points(&[], &[]), None);
    assert_eq!(Affine::from_points(&[p], &[p]), None);
    assert_eq!(Affine::from_points(&[p, q], &[p]), None);
    assert_eq!(Affine::from_points(&[p, p, p], &[p, q, p]), None);
    assert_eq!(Affine::from_points(&[p, q], &[p, p]), None);
    assert_eq!(Affine::from_points(&[p, Point::new(f32::NAN, 0.0)], &[p, q]), None);
    assert_eq!(Affine::from_points(&[p, q], &[p, Point::new(0.0, f32::INFINITY)]), None);
}

#[test]
fn maps_chain_in_order() {
    let double = Affine::scale_translate(&Rect::new(5.0, 6.0, 20.0, 40.0), 10, 10);
    close(double.apply(Point::new(10.0, 10.0)), Point::new(25.0, 46.0));
    let shift = Affine::uniform(1.0, 100.0, 0.0);
    close(double.then(&shift).apply(Point::new(1.0, 1.0)), Point::new(107.0, 10.0));
    close(shift.then(&double).apply(Point::new(1.0, 1.0)), Point::new(207.0, 10.0));
    assert_eq!(
        double.apply_rect(&Rect::new(0.0, 0.0, 10.0, 10.0)),
        Rect::new(5.0, 6.0, 20.0, 40.0)
    );
    assert!(!Affine::uniform(0.0, 1.0, 1.0).inverse().is_finite());
}

#[test]
fn quality_of_a_checkerboard() {
    let board: Vec<u8> = (0..16).map(|i| if (i + i / 4) % 2 == 0 { 255 } else { 0 }).collect();
    let quality = gray(4, 4, &board).quality();
    assert_eq!((quality.mean, quality.contrast), (127.5, 127.5));
    // The Laplacian is ±4 · 255 at the four inner pixels.
    let want = 1020.0f32.powi(2) / (127.5f32.powi(2) + 16.0);
    assert!((quality.sharpness - want).abs() < 1e-3, "{quality:?}, not {want}");
}

#[test]
fn quality_knows_blur_from_detail_but_not_light() {
    let mut random = Lcg(5);
    let noise: Vec<u8> = (0..48 * 48).map(|_| random.below(256) as u8).collect();
    let sharp = gray(48, 48, &noise);
    let dim = gray(48, 48, &noise.iter().map(|v| v / 2).collect::<Vec<_>>());
    let blurred = sharp
        .sample(&Affine::uniform(4.0, 0.0, 0.0), 12, 12, Channels::Gray, Outside::Edge)
        .sample(&Affine::uniform(0.25, 0.0, 0.0), 48, 48, Channels::Gray, Outside::Edge);
    assert!((sharp.quality().sharpness - 20.0).abs() < 2.0, "{:?}", sharp.quality());
    assert!((dim.quality().sharpness / sharp.quality().sharpness - 1.0).abs() < 0.05);
    assert!(blurred.quality().sharpness < 2.0, "{:?}", blurred.quality());
    let flat = Picture::filled(Channels::Rgb, 8, 8, 40).quality();
    assert_eq!(flat, Quality { mean: 40.0, contrast: 0.0, sharpness: 0.0 });
    assert_eq!(Picture::filled(Channels::Gray, 0, 3, 0).quality().mean, 0.0);
}
