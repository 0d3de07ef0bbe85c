// SPDX-License-Identifier: MPL-2.0

//! Every format against colours painted with the standards' formulas.

use super::super::format::Layout;
use super::*;

/// A frame in a format, with padding after each row.
struct Painted {
    format: PixelFormat,
    width: usize,
    height: usize,
    colorimetry: Colorimetry,
    /// Bytes and stride.
    planes: Vec<(Vec<u8>, usize)>,
}

impl Painted {
    fn view(&self) -> FrameView<'_> {
        let planes: Vec<Plane<'_>> =
            self.planes.iter().map(|(data, stride)| Plane { data, stride: *stride }).collect();
        FrameView::new(self.format, self.width, self.height, &planes, self.colorimetry).unwrap()
    }
}

/// R'G'B' (0 to 255) of a pixel to Y, Cb, Cr as stored, on a scale of 8 bits.
fn yuv([r, g, b]: [f64; 3], colorimetry: Colorimetry) -> [f64; 3] {
    let (kr, kb) = match colorimetry.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
    match colorimetry.full_range {
        true => [y, 128.0 + cb, 128.0 + cr],
        false => [16.0 + y * 219.0 / 255.0, 128.0 + cb * 224.0 / 255.0, 128.0 + cr * 224.0 / 255.0],
    }
}

fn paint(
    format: PixelFormat,
    (width, height): (usize, usize),
    colorimetry: Colorimetry,
    pad: usize,
    color: impl Fn(usize, usize) -> [f64; 3],
) -> Painted {
    let mut planes: Vec<(Vec<u8>, usize)> = (0..format.planes())
        .map(|i| {
            let (row, rows) = format.plane_size(i, width, height);
            (vec![0xA5; (row + pad) * (rows - 1) + row], row + pad)
        })
        .collect();
    // Ten bits: full range ends at 1023, its chroma is centred on 512.
    let ten = |v: f64| match colorimetry.full_range {
        true => (v * 1023.0 / 255.0).round() as u16,
        false => (v * 4.0).round() as u16,
    };
    let ten_chroma = |v: f64| match colorimetry.full_range {
        true => (((v - 128.0) * 1023.0 / 255.0).round() + 512.0) as u16,
        false => (v * 4.0).round() as u16,
    };
    let shift = if format == PixelFormat::P010Le { 6 } else { 0 };
    let mut put = |plane: usize, x: usize, y: usize, value: u16, bytes: usize| {
        let (data, stride) = &mut planes[plane];
        let at = y * *stride + x * bytes;
        match bytes {
            1 => data[at] = value.min(255) as u8,
            _ => data[at..at + 2].copy_from_slice(&(value.min(1023) << shift).to_le_bytes()),
        }
    };
    for y in 0..height {
        for x in 0..width {
            let c = color(x, y);
            let luma = yuv(c, colorimetry)[0];
            match format.layout() {
                Layout::Planar { bytes: 2, .. } | Layout::SemiPlanar { bytes: 2, .. } => {
                    put(0, x, y, ten(luma), 2)
                }
                Layout::Planar { .. } | Layout::SemiPlanar { .. } | Layout::Gray => {
                    put(0, x, y, luma.round() as u16, 1)
                }
                Layout::Packed { y: first } => put(0, 2 * x + first, y, luma.round() as u16, 1),
                Layout::Rgb { step, .. } => {
                    for (channel, letter) in ["R", "G", "B"].into_iter().enumerate() {
                        let place = format.as_str().to_uppercase().find(letter).unwrap();
                        put(0, x * step + place, y, c[channel].round() as u16, 1);
                    }
                }
            }
        }
    }
    let tall = if matches!(format.layout(), Layout::Packed { .. }) { 1 } else { 2 };
    for y in 0..height.div_ceil(tall) {
        for x in 0..width.div_ceil(2) {
            // Chroma is that of the mean of the pixels there are.
            let inside: Vec<[f64; 3]> = (0..2 * tall)
                .map(|i| (2 * x + i % 2, tall * y + i / 2))
                .filter(|(x, y)| *x < width && *y < height)
                .map(|(x, y)| yuv(color(x, y), colorimetry))
                .collect();
            let mean = |i: usize| inside.iter().map(|c| c[i]).sum::<f64>() / inside.len() as f64;
            let (u, v) = (mean(1), mean(2));
            let (u8s, v8s) = (u.round() as u16, v.round() as u16);
            match format {
                PixelFormat::I420 => (put(1, x, y, u8s, 1), put(2, x, y, v8s, 1)),
                PixelFormat::Yv12 => (put(2, x, y, u8s, 1), put(1, x, y, v8s, 1)),
                PixelFormat::Nv12 => (put(1, 2 * x, y, u8s, 1), put(1, 2 * x + 1, y, v8s, 1)),
                PixelFormat::Nv21 => (put(1, 2 * x + 1, y, u8s, 1), put(1, 2 * x, y, v8s, 1)),
                PixelFormat::Yuy2 => (put(0, 4 * x + 1, y, u8s, 1), put(0, 4 * x + 3, y, v8s, 1)),
                PixelFormat::Uyvy => (put(0, 4 * x, y, u8s, 1), put(0, 4 * x + 2, y, v8s, 1)),
                PixelFormat::I42010Le => {
                    (put(1, x, y, ten_chroma(u), 2), put(2, x, y, ten_chroma(v), 2))
                }
                PixelFormat::P010Le => {
                    (put(1, 2 * x, y, ten_chroma(u), 2), put(1, 2 * x + 1, y, ten_chroma(v), 2))
                }
                _ => ((), ()),
            };
        }
    }
    Painted { format, width, height, colorimetry, planes }
}

fn all_colorimetries() -> impl Iterator<Item = Colorimetry> {
    [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020]
        .into_iter()
        .flat_map(|matrix| [true, false].map(|full_range| Colorimetry { matrix, full_range }))
}

fn is_rgb(format: PixelFormat) -> bool {
    matches!(format.layout(), Layout::Rgb { .. })
}

#[test]
fn known_colours_come_out_of_every_format() {
    let colours = [
        [255., 255., 255.],
        [0., 0., 0.],
        [255., 0., 0.],
        [0., 255., 0.],
        [0., 0., 255.],
        [30., 144., 200.],
    ];
    for format in PixelFormat::ALL {
        for (colorimetry, pad) in all_colorimetries().zip([0, 3, 16, 1, 0, 5]) {
            for (size, colour) in
                [(7, 5), (8, 4), (1, 1), (2, 3), (1, 6), (5, 1)].into_iter().zip(colours)
            {
                let frame = paint(format, size, colorimetry, pad, |_, _| colour);
                let (map, (w, h)) = (Affine::identity(), size);
                let rgb = frame.view().sample(&map, w, h, Channels::Rgb, Outside::Edge);
                let luma = frame.view().sample(&map, w, h, Channels::Gray, Outside::Edge);
                let full = Colorimetry { full_range: true, ..colorimetry };
                let y = yuv(colour, full)[0];
                let want = if format == PixelFormat::Gray8 { [y; 3] } else { colour };
                // Rounding of Y, Cb and Cr, seen through the matrix.
                let slack = if is_rgb(format) { 0.0 } else { 2.5 };
                for px in rgb.data.chunks(3) {
                    for (got, want) in px.iter().zip(want) {
                        assert!(
                            (f64::from(*got) - want).abs() <= slack,
                            "{format:?} {size:?} {colorimetry:?}: {px:?} for {want:?} of {colour:?}"
                        );
                    }
                }
                for got in &luma.data {
                    assert!(
                        (f64::from(*got) - y).abs() <= 1.1,
                        "{format:?} {colorimetry:?}: luma {got} for {y}"
                    );
                }
            }
        }
    }
}

#[test]
fn gradients_keep_their_place_in_every_format() {
    let colorimetry = Colorimetry { matrix: Matrix::Bt709, full_range: false };
    let colour =
        |x: usize, y: usize| [20.0 + 6.0 * x as f64, 40.0 + 5.0 * y as f64, 200.0 - 4.0 * x as f64];
    for format in PixelFormat::ALL {
        let frame = paint(format, (33, 27), colorimetry, 7, colour);
        // From pixel (5, 3) on, then the same turned by 90 degrees, then shrunk to half.
        let upright = Affine::uniform(1.0, 5.0, 3.0);
        let turned = Affine { xx: 0.0, xy: 1.0, yx: -1.0, yy: 0.0, tx: 5.0, ty: 20.0 };
        let halved = Affine::uniform(2.0, 4.0, 2.0);
        for map in [upright, turned, halved] {
            let got = frame.view().sample(&map, 10, 10, Channels::Rgb, Outside::Edge);
            for (i, px) in got.data.chunks(3).enumerate() {
                let at = map.apply(Point::new((i % 10) as f32 + 0.5, (i / 10) as f32 + 0.5));
                let (x, y) = (f64::from(at.x) - 0.5, f64::from(at.y) - 0.5);
                let mut want = [20.0 + 6.0 * x, 40.0 + 5.0 * y, 200.0 - 4.0 * x];
                if format == PixelFormat::Gray8 {
                    want = [yuv(want, Colorimetry { full_range: true, ..colorimetry })[0]; 3];
                }
                for (got, want) in px.iter().zip(want) {
                    assert!(
                        (f64::from(*got) - want).abs() <= 3.0,
                        "{format:?} at {at:?}: {px:?}, not {want:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn outside_is_mid_grey_or_the_edge() {
    let red = |_: usize, _: usize| [255.0, 0.0, 0.0];
    for format in PixelFormat::ALL.into_iter().filter(|f| *f != PixelFormat::Gray8) {
        for colorimetry in all_colorimetries() {
            let frame = paint(format, (6, 6), colorimetry, 0, red);
            for turn in [0.0, 1e-3] {
                let far = Affine { xy: turn, ..Affine::uniform(1.0, -50.0, -50.0) };
                let grey = frame.view().sample(&far, 4, 4, Channels::Rgb, Outside::Gray);
                assert!(grey.data.iter().all(|v| *v == MID_GRAY), "{format:?}: {:?}", grey.data);
                let edge = frame.view().sample(&far, 4, 4, Channels::Rgb, Outside::Edge);
                assert!(
                    edge.data.chunks(3).all(|p| p[0] >= 252 && p[1] <= 3 && p[2] <= 3),
                    "{format:?}"
                );
            }
        }
    }
}

#[test]
fn planes_have_the_sizes_of_the_formats() {
    assert_eq!(PixelFormat::I420.plane_size(1, 5, 3), (3, 2));
    assert_eq!(PixelFormat::Nv12.plane_size(1, 5, 3), (6, 2));
    assert_eq!(PixelFormat::P010Le.plane_size(1, 5, 3), (12, 2));
    assert_eq!(PixelFormat::Yuy2.plane_size(0, 5, 3), (12, 3));
    assert_eq!(PixelFormat::Bgr.plane_size(0, 5, 3), (15, 3));
    for format in PixelFormat::ALL {
        assert_eq!(PixelFormat::from_name(format.as_str()), Some(format));
    }
    assert_eq!(PixelFormat::from_name("Y444"), None);
}

#[test]
fn planes_that_do_not_fit_are_named() {
    let colorimetry = Colorimetry { matrix: Matrix::Bt601, full_range: false };
    let data = [0u8; 64];
    let luma = Plane { data: &data[..40], stride: 8 };
    let chroma = |bytes: usize, stride: usize| Plane { data: &data[..bytes], stride };
    // The message, empty where there is none.
    let new = |w: usize, h: usize, planes: &[Plane<'_>]| {
        let error = FrameView::new(PixelFormat::I420, w, h, planes, colorimetry).err();
        error.map(|e| e.to_string()).unwrap_or_default()
    };

    assert!(new(8, 5, &[luma, chroma(12, 4), chroma(12, 4)]).is_empty());
    // The last row needs no padding.
    assert!(
        new(7, 5, &[Plane { data: &data[..39], stride: 8 }, chroma(20, 8), chroma(20, 8)])
            .is_empty()
    );
    assert!(new(8, 6, &[luma, chroma(12, 4), chroma(12, 4)]).contains("plane 0"));
    assert!(new(8, 5, &[luma, chroma(12, 4), chroma(11, 4)]).contains("plane 2"));
    assert!(new(8, 5, &[luma, chroma(12, 3), chroma(12, 4)]).contains("stride of 3"));
    assert!(new(8, 5, &[luma, chroma(12, 4)]).contains("3 planes, not 2"));
    assert!(new(0, 5, &[luma, luma, luma]).contains("0x5"));
    assert!(new(40_000, 5, &[luma, luma, luma]).contains("40000x5"));
    assert!(new(8, 5, &[luma, chroma(12, 4), chroma(12, usize::MAX)]).contains("plane 2"));
}
