// SPDX-License-Identifier: MPL-2.0

use super::*;
use crate::core::pixels::{Colorimetry, Matrix, PixelFormat, Plane};

/// Small, so that painting is cheap; the scenes are described on 320 x 180.
const WIDTH: usize = 128;
const HEIGHT: usize = 72;
const SCALE: f32 = 2.5;

/// A picture of soft blobs; luma 0 to 1 at any place, the same for the same seed.
fn scene(seed: u32) -> impl Fn(f32, f32) -> f32 {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut unit = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let blobs: Vec<[f32; 4]> = (0..30)
        .map(|_| [unit() * 320.0, unit() * 180.0, 12.0 + 33.0 * unit(), unit() - 0.5])
        .collect();
    move |x, y| {
        let sum: f32 = blobs
            .iter()
            .map(|[bx, by, size, level]| {
                level * (-((x - bx).powi(2) + (y - by).powi(2)) / (size * size)).exp()
            })
            .sum();
        (0.5 + 0.9 * sum).clamp(0.05, 0.95)
    }
}

fn check(cut: &mut SceneCut, luma: impl Fn(f32, f32) -> f32) -> bool {
    let data: Vec<u8> = (0..WIDTH * HEIGHT)
        .map(|i| {
            (255.0 * luma((i % WIDTH) as f32 * SCALE, (i / WIDTH) as f32 * SCALE)).round() as u8
        })
        .collect();
    let plane = [Plane { data: &data, stride: WIDTH }];
    let colorimetry = Colorimetry { matrix: Matrix::Bt601, full_range: true };
    cut.is_cut(&FrameView::new(PixelFormat::Gray8, WIDTH, HEIGHT, &plane, colorimetry).unwrap())
}

#[test]
fn changes_of_scene_are_cuts() {
    let mut cut = SceneCut::new();
    assert!(!check(&mut cut, scene(0)), "the first frame begins no shot");
    let mut found = 0;
    for seed in 1..=40 {
        found += usize::from(check(&mut cut, scene(seed)));
        assert!(!check(&mut cut, scene(seed)), "scene {seed} goes on");
    }
    // Blobs at random may lie alike by chance.
    assert!(found >= 38, "{found} of 40");
}

#[test]
fn a_moving_camera_is_no_cut() {
    for seed in 0..20 {
        let (mut cut, s) = (SceneCut::new(), scene(seed));
        for i in 0..12 {
            // Eight pixels of 320 a frame, and a zoom.
            let (shift, zoom) = (8.0 * i as f32, 1.0 + 0.02 * i as f32);
            assert!(
                !check(&mut cut, |x, y| s(x * zoom - shift, y * zoom)),
                "scene {seed} frame {i}"
            );
        }
    }
}

#[test]
fn light_is_no_cut() {
    for seed in 0..20 {
        let (mut cut, s) = (SceneCut::new(), scene(seed));
        for (gain, offset) in [(1.0, 0.0), (0.4, 0.0), (1.0, 0.3), (0.2, 0.7), (1.3, 0.0)] {
            assert!(
                !check(&mut cut, |x, y| (s(x, y) * gain + offset).min(1.0)),
                "scene {seed}: {gain} {offset}"
            );
        }
    }
}

#[test]
fn fades_and_flashes_are_no_cut_but_what_follows_may_be() {
    let (a, b) = (scene(1), scene(2));
    let mut cut = SceneCut::new();
    for i in 0..=20 {
        let light = (i as f32 - 10.0).abs() / 10.0;
        assert!(!check(&mut cut, |x, y| a(x, y) * light), "frame {i} of a fade out and in");
    }
    assert!(!check(&mut cut, |_, _| 1.0), "flash");
    assert!(!check(&mut cut, &a), "after the flash");
    assert!(!check(&mut cut, |_, _| 0.0), "black");
    assert!(check(&mut cut, &b), "another scene after black");
}

#[test]
fn a_dissolve_is_no_hard_cut() {
    let (a, b) = (scene(5), scene(6));
    let mut cut = SceneCut::new();
    for i in 0..=15 {
        let part = i as f32 / 15.0;
        assert!(!check(&mut cut, |x, y| a(x, y) * (1.0 - part) + b(x, y) * part), "frame {i}");
    }
}

#[test]
fn after_a_reset_nothing_is_compared() {
    let mut cut = SceneCut::new();
    check(&mut cut, scene(1));
    cut.reset();
    assert!(!check(&mut cut, scene(2)));
    assert!(check(&mut cut, scene(3)));
}
