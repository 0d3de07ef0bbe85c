// SPDX-License-Identifier: MPL-2.0

//! Resampling of components and the way from components to pixels.
//!
//! Upright maps (those without rotation) are separable: every output pixel averages exactly the
//! area it covers, but at least one source pixel's, which is the bilinear value. Rotated maps take
//! a grid of bilinear taps inside each output pixel, from a copy of the region shrunk beforehand
//! where a pixel covers much.

use super::component::Component;
use super::format::Colorimetry;
use super::{Affine, Channels, MID_GRAY, Outside, Picture};

mod upright;
mod warped;

/// What is asked of a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub map: Affine,
    pub width: usize,
    pub height: usize,
    pub channels: Channels,
    pub outside: Outside,
}

/// A map in the pixels of one component: x = xx·u + xy·v + tx, y = yx·u + yy·v + ty.
#[derive(Debug, Clone, Copy)]
struct Map {
    xx: f64,
    xy: f64,
    yx: f64,
    yy: f64,
    tx: f64,
    ty: f64,
}

/// From components to full-range pixels.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish {
    /// One component: times the first, plus the second.
    Level(f32, f32),
    /// Three components that are R', G' and B' already.
    Rgb,
    /// Y, Cb and Cr.
    Yuv {
        /// Gain and offset of luma.
        luma: (f32, f32),
        /// Gain of Cb and Cr, taken from 128 on.
        chroma: f32,
        /// Of R', G' and B' in luma.
        weights: [f32; 3],
    },
}

impl Finish {
    /// Full-range luma of eight bits.
    pub const LEVEL: Self = Self::Level(1.0, 0.0);

    /// Luma of that range; `full_gain` applies to full range only.
    pub fn level(full_gain: f32, full_range: bool) -> Self {
        let (gain, offset) = luma_range(full_gain, full_range);
        Self::Level(gain, offset)
    }

    pub fn yuv(colorimetry: Colorimetry, full_gain: f32) -> Self {
        let chroma = if colorimetry.full_range { full_gain } else { 255.0 / 224.0 };
        let luma = luma_range(full_gain, colorimetry.full_range);
        Self::Yuv { luma, chroma, weights: colorimetry.matrix.weights() }
    }

    /// Full-range luma of one sample of the first component.
    pub fn level_of(&self, value: f32) -> f32 {
        match *self {
            Self::Level(gain, offset) | Self::Yuv { luma: (gain, offset), .. } => {
                (value * gain + offset).clamp(0.0, 255.0)
            }
            Self::Rgb => value,
        }
    }

    /// What mid grey is in component `index`.
    fn mid_gray(&self, index: usize) -> f32 {
        match *self {
            Self::Level(gain, offset) => (f32::from(MID_GRAY) - offset) / gain,
            Self::Yuv { luma: (gain, offset), .. } if index == 0 => {
                (f32::from(MID_GRAY) - offset) / gain
            }
            Self::Yuv { .. } => 128.0,
            Self::Rgb => f32::from(MID_GRAY),
        }
    }
}

/// Gain and offset that make luma full range.
fn luma_range(full_gain: f32, full_range: bool) -> (f32, f32) {
    match full_range {
        true => (full_gain, 0.0),
        false => (255.0 / 219.0, -16.0 * 255.0 / 219.0),
    }
}

/// Samples one component (grey, or grey as RGB) or three.
pub(super) fn run(components: &[Component<'_>], request: &Request, finish: &Finish) -> Picture {
    let Request { width, height, channels, .. } = *request;
    if !request.map.is_finite() || width == 0 || height == 0 {
        return Picture::filled(channels, width, height, MID_GRAY);
    }
    let planes: Vec<Vec<f32>> = components
        .iter()
        .enumerate()
        .map(|(index, component)| {
            let map = Map::new(&request.map, component.pitch);
            let outside = match request.outside {
                Outside::Edge => None,
                Outside::Gray => Some(finish.mid_gray(index)),
            };
            match map.is_upright() {
                true => upright::resample(component, &map, width, height, outside),
                false => warped::resample(component, &map, width, height, outside),
            }
        })
        .collect();
    Picture { channels, width, height, data: pixels(&planes, channels, finish) }
}

fn byte(value: f32) -> u8 {
    // The cast rounds towards zero and stops at 0 and 255.
    (value + 0.5) as u8
}

fn pixels(planes: &[Vec<f32>], channels: Channels, finish: &Finish) -> Vec<u8> {
    match (planes, *finish, channels) {
        ([only], _, Channels::Gray) => only.iter().map(|&v| byte(finish.level_of(v))).collect(),
        ([only], _, Channels::Rgb) => {
            only.iter().flat_map(|&v| [byte(finish.level_of(v)); 3]).collect()
        }
        ([y, u, v], Finish::Yuv { luma, chroma, weights: [kr, kg, kb] }, _) => {
            // ITU-R BT.601 and its successors: Cr = (R' - Y') / (2 (1 - Kr)), Cb likewise with B'.
            let (red, blue) = (2.0 * (1.0 - kr) * chroma, 2.0 * (1.0 - kb) * chroma);
            let (green_u, green_v) = (blue * kb / kg, red * kr / kg);
            let mut data = vec![0; y.len() * 3];
            let samples = y.iter().zip(u).zip(v);
            for (px, ((&y, &u), &v)) in data.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
                let (y, u, v) = (y * luma.0 + luma.1, u - 128.0, v - 128.0);
                *px = [byte(y + red * v), byte(y - green_u * u - green_v * v), byte(y + blue * u)];
            }
            data
        }
        ([r, g, b], ..) => {
            let mut data = vec![0; r.len() * 3];
            for (px, ((&r, &g), &b)) in
                data.as_chunks_mut::<3>().0.iter_mut().zip(r.iter().zip(g).zip(b))
            {
                *px = [byte(r), byte(g), byte(b)];
            }
            data
        }
        _ => Vec::new(),
    }
}

impl Map {
    fn new(map: &Affine, pitch: (f64, f64)) -> Self {
        let [xx, xy, yx, yy, tx, ty] =
            [map.xx, map.xy, map.yx, map.yy, map.tx, map.ty].map(f64::from);
        let (px, py) = pitch;
        Self { xx: xx / px, xy: xy / px, tx: tx / px, yx: yx / py, yy: yy / py, ty: ty / py }
    }

    fn is_upright(&self) -> bool {
        self.xy == 0.0 && self.yx == 0.0 && self.xx > 0.0 && self.yy > 0.0
    }

    fn apply(&self, u: f64, v: f64) -> (f64, f64) {
        (self.xx * u + self.xy * v + self.tx, self.yx * u + self.yy * v + self.ty)
    }
}
