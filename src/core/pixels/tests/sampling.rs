// SPDX-License-Identifier: MPL-2.0

//! Resampling against values computed by hand, and against anything a caller may ask.

use super::*;

fn sample(
    picture: &Picture,
    map: Affine,
    width: usize,
    height: usize,
    outside: Outside,
) -> Vec<u8> {
    picture.sample(&map, width, height, Channels::Gray, outside).data
}

#[test]
fn enlarging_is_bilinear_between_centres() {
    let two = gray(2, 1, &[0, 100]);
    let map = Affine { xx: 0.5, ..Affine::identity() };
    assert_eq!(sample(&two, map, 4, 1, Outside::Edge), [0, 25, 75, 100]);
    // A quarter of the outer pixels is outside: 127 / 4 and (3 · 100 + 127) / 4.
    assert_eq!(sample(&two, map, 4, 1, Outside::Gray), [32, 25, 75, 107]);
}

#[test]
fn shrinking_averages_what_a_pixel_covers() {
    let four = gray(4, 1, &[0, 40, 80, 120]);
    let by = |scale: f32| Affine { xx: scale, ..Affine::identity() };
    assert_eq!(sample(&four, by(2.0), 2, 1, Outside::Edge), [20, 100]);
    // Pixels of 4/3: 3/4 · 0 + 1/4 · 40, half and half, 1/4 · 80 + 3/4 · 120.
    assert_eq!(sample(&four, by(4.0 / 3.0), 3, 1, Outside::Edge), [10, 60, 110]);
    assert_eq!(sample(&four, by(4.0), 1, 1, Outside::Edge), [60]);
    // Of eight pixels half are outside.
    assert_eq!(sample(&four, by(8.0), 1, 1, Outside::Gray), [94]);
}

#[test]
fn a_quarter_turn_moves_every_pixel() {
    let six = gray(3, 2, &[1, 2, 3, 4, 5, 6]);
    let map = Affine { xx: 0.0, xy: 1.0, yx: -1.0, yy: 0.0, tx: 0.0, ty: 2.0 };
    assert_eq!(sample(&six, map, 2, 3, Outside::Gray), [4, 1, 5, 2, 6, 3]);
    let upside_down =
        Affine { xx: -1.0, yy: -1.0, tx: 3.0, ty: 2.0, ..Affine::uniform(0.0, 0.0, 0.0) };
    assert_eq!(sample(&six, upside_down, 3, 2, Outside::Gray), [6, 5, 4, 3, 2, 1]);
}

#[test]
fn a_plane_stays_a_plane_under_any_similarity() {
    // 0.4 x + 0.3 y at the pixels' centres, so that every average is known.
    let (w, h) = (300usize, 300usize);
    let level = |x: f32, y: f32| 0.4 * x + 0.3 * y;
    let data: Vec<u8> = (0..w * h)
        .map(|i| level((i % w) as f32 + 0.5, (i / w) as f32 + 0.5).round() as u8)
        .collect();
    let ramp = gray(w, h, &data);
    for scale in [0.3f32, 0.9, 1.0, 1.4, 2.7, 5.0, 9.5] {
        for degrees in [0.0f32, 7.0, 90.0, -35.0, 180.0] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let (a, b) = (scale * cos, scale * sin);
            // The middle of 12 x 12 pixels on (150, 150).
            let (tx, ty) = (150.0 - 6.0 * (a - b), 150.0 - 6.0 * (a + b));
            let map = Affine { xx: a, xy: -b, yx: b, yy: a, tx, ty };
            for (i, got) in sample(&ramp, map, 12, 12, Outside::Gray).into_iter().enumerate() {
                let at = map.apply(Point::new((i % 12) as f32 + 0.5, (i / 12) as f32 + 0.5));
                let want = level(at.x, at.y);
                assert!(
                    (f32::from(got) - want).abs() < 1.1,
                    "{scale} {degrees}: {got}, not {want}"
                );
            }
        }
    }
}

#[test]
fn a_hair_of_rotation_changes_little() {
    let mut random = Lcg(3);
    let noise: Vec<u8> = (0..160 * 160).map(|_| random.below(256) as u8).collect();
    let picture = gray(160, 160, &noise).sample(
        &Affine::uniform(0.2, 40.0, 40.0),
        160,
        160,
        Channels::Gray,
        Outside::Edge,
    );
    for scale in [0.7, 1.0, 1.9, 3.1] {
        let upright = Affine::uniform(scale, 3.3, 4.7);
        let turned = Affine { xy: 1e-6, ..upright };
        let (a, b) = (
            sample(&picture, upright, 40, 40, Outside::Gray),
            sample(&picture, turned, 40, 40, Outside::Gray),
        );
        let worst = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(6), "{scale}: {worst:?}");
    }
}

#[test]
fn colour_and_luma_of_a_picture() {
    let data = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30];
    let rgb = Picture::new(Channels::Rgb, 2, 2, data.clone()).unwrap();
    let all = rgb.sample(&Affine::identity(), 2, 2, Channels::Rgb, Outside::Edge);
    assert_eq!(all.data, data);
    // 0.299 R + 0.587 G + 0.114 B.
    assert_eq!(rgb.to_gray().data, [76, 150, 29, 18]);
    let again = rgb.to_gray().sample(&Affine::identity(), 1, 1, Channels::Rgb, Outside::Edge);
    assert_eq!(again.data, [76, 76, 76]);
}

#[test]
fn letterbox_margins_are_grey_and_the_rest_exact() {
    let data: Vec<u8> =
        (0..16 * 8).map(|i| if (i / 2 + i / 32) % 2 == 0 { 200 } else { 50 }).collect();
    let frame = gray(16, 8, &data);
    let map = crate::core::crop::letterbox(16, 8, 8, 8);
    let got = sample(&frame, map, 8, 8, Outside::Gray);
    assert!(got[..16].iter().chain(&got[48..]).all(|v| *v == MID_GRAY), "{got:?}");
    assert!(
        got[16..48]
            .iter()
            .enumerate()
            .all(|(i, v)| *v == if (i + i / 8) % 2 == 0 { 200 } else { 50 })
    );
}

#[test]
fn nothing_a_caller_asks_makes_it_panic() {
    let mut random = Lcg(11);
    let colorimetry = Colorimetry { matrix: Matrix::Bt601, full_range: false };
    let wild = [
        0.0,
        -0.0,
        1e-30,
        1e30,
        -1e30,
        f32::NAN,
        f32::INFINITY,
        f32::MAX,
        f32::MIN_POSITIVE,
        0.5,
        -3.0,
        1e6,
    ];
    for round in 0..3000 {
        let format = PixelFormat::ALL[random.below(PixelFormat::ALL.len())];
        let (w, h) = (1 + random.below(20), 1 + random.below(20));
        let planes: Vec<(Vec<u8>, usize)> = (0..format.planes())
            .map(|i| {
                let (row, rows) = format.plane_size(i, w, h);
                ((0..row * rows).map(|_| random.below(256) as u8).collect(), row)
            })
            .collect();
        let planes: Vec<Plane<'_>> =
            planes.iter().map(|(data, stride)| Plane { data, stride: *stride }).collect();
        let frame = FrameView::new(format, w, h, &planes, colorimetry).unwrap();
        let mut value = |usual: f32| match random.below(4) {
            0 => wild[random.below(wild.len())],
            _ => (random.unit() - 0.5) * usual,
        };
        let mut map = Affine {
            xx: value(8.0),
            xy: value(8.0),
            yx: value(8.0),
            yy: value(8.0),
            tx: value(60.0),
            ty: value(60.0),
        };
        if round % 3 == 0 {
            (map.xy, map.yx) = (0.0, 0.0);
        }
        let (ow, oh) = (random.below(12), random.below(12));
        let channels = if random.below(2) == 0 { Channels::Gray } else { Channels::Rgb };
        let outside = if random.below(2) == 0 { Outside::Gray } else { Outside::Edge };
        let got = frame.sample(&map, ow, oh, channels, outside);
        assert_eq!(got.data.len(), ow * oh * channels.count());
        let again = got.sample(&map, oh, ow, channels, outside);
        assert_eq!(again.data.len(), ow * oh * channels.count());
        if !map.is_finite() {
            assert!(got.data.iter().all(|v| *v == MID_GRAY));
        }
    }
}

#[test]
fn the_luma_grid_takes_pixels_spread_evenly() {
    let data: Vec<u8> = (0..32).map(|i| i * 3).collect();
    let plane = [Plane { data: &data, stride: 8 }];
    let colorimetry = Colorimetry { matrix: Matrix::Bt601, full_range: true };
    let frame = FrameView::new(PixelFormat::Gray8, 8, 4, &plane, colorimetry).unwrap();
    assert_eq!(frame.luma_grid(2, 1), [2.0 * 3.0 + 48.0, 6.0 * 3.0 + 48.0]);
}

#[test]
fn places_count_square_pixels() {
    let plane = [Plane { data: &[10, 90], stride: 2 }];
    let colorimetry = Colorimetry { matrix: Matrix::Bt601, full_range: true };
    let frame = FrameView::new(PixelFormat::Gray8, 2, 1, &plane, colorimetry).unwrap();
    let wide = frame.with_pixel_aspect(2.0);
    assert_eq!((frame.width(), wide.width(), wide.height()), (2, 4, 1));
    let all = wide.sample(&Affine::identity(), 4, 1, Channels::Gray, Outside::Edge);
    assert_eq!(all.data, [10, 30, 70, 90]);
    let rect = Rect::new(1.0, 0.0, 2.0, 1.0);
    assert_eq!(wide.to_memory(&rect), Rect::new(0.5, 0.0, 1.0, 1.0));
    assert_eq!(wide.from_memory(&wide.to_memory(&rect)), rect);
    let narrow = frame.with_pixel_aspect(0.5);
    let one = narrow.sample(&Affine::identity(), 1, 1, Channels::Gray, Outside::Edge);
    assert_eq!((narrow.width(), one.data), (1, vec![50]));
    for nonsense in [0.0, -1.0, 1e9, f32::NAN, f32::INFINITY] {
        assert_eq!(frame.with_pixel_aspect(nonsense).width(), 2);
    }
}
