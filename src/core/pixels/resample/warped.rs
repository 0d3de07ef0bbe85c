// SPDX-License-Identifier: MPL-2.0

use super::upright::{Axis, separable};
use super::{Component, Map};

/// Bilinear taps along each side of an output pixel, at most.
const MAX_TAPS: usize = 8;

/// Positions are counted in 1/65536 pixel, so that stepping along a row is one addition.
const ONE: f64 = 65_536.0;

/// Positions beyond this many pixels are all equally far outside.
const FAR: f64 = 1e7;

/// The part of a component that is looked at, shrunk by a whole factor, as plain numbers.
struct Region {
    width: usize,
    height: usize,
    data: Vec<f32>,
    /// `None` repeats the edge.
    outside: Option<f32>,
}

/// `width` x `height` values. `outside` is the value there; `None` repeats the edge.
pub(super) fn resample(
    source: &Component<'_>,
    map: &Map,
    width: usize,
    height: usize,
    outside: Option<f32>,
) -> Vec<f32> {
    let across = map.xx.hypot(map.yx);
    let down = map.xy.hypot(map.yy);
    let shrink = (across.min(down) / 2.0).floor().clamp(1.0, 1e6);
    let (x0, columns) = bounds(map, width, height, shrink, source.width, |p| p.0);
    let (y0, rows) = bounds(map, width, height, shrink, source.height, |p| p.1);
    let axis = |start: usize, n: usize, source: usize| {
        Axis::new((n as f64 / shrink).ceil() as usize, shrink, start as f64, source, true)
    };
    let (xs, ys) = (axis(x0, columns, source.width), axis(y0, rows, source.height));
    let region = Region {
        width: (columns as f64 / shrink).ceil() as usize,
        height: (rows as f64 / shrink).ceil() as usize,
        data: separable(source, &xs, &ys, None),
        outside,
    };
    let map = Map {
        xx: map.xx / shrink,
        xy: map.xy / shrink,
        yx: map.yx / shrink,
        yy: map.yy / shrink,
        tx: (map.tx - x0 as f64) / shrink,
        ty: (map.ty - y0 as f64) / shrink,
    };
    let taps = |s: f64| ((s / shrink).ceil() as usize).clamp(1, MAX_TAPS);
    region.taps(&map, width, height, taps(across), taps(down))
}

/// First place and number of places of the source that the corners of the output span, with room
/// for the neighbours; never empty.
fn bounds(
    map: &Map,
    width: usize,
    height: usize,
    shrink: f64,
    source: usize,
    axis: fn((f64, f64)) -> f64,
) -> (usize, usize) {
    let (w, h) = (width as f64, height as f64);
    let corners = [(0.0, 0.0), (w, 0.0), (0.0, h), (w, h)].map(|(u, v)| axis(map.apply(u, v)));
    let low = corners.into_iter().fold(f64::INFINITY, f64::min) - shrink;
    let high = corners.into_iter().fold(f64::NEG_INFINITY, f64::max) + shrink;
    let first = (low.floor().max(0.0) as usize).min(source - 1);
    let last = (high.ceil().max(0.0) as usize).clamp(first + 1, source);
    (first, last - first)
}

impl Region {
    /// The mean of `nu` x `nv` bilinear taps spread evenly in each output pixel.
    fn taps(&self, map: &Map, width: usize, height: usize, nu: usize, nv: usize) -> Vec<f32> {
        let fixed = |v: f64| (v.clamp(-FAR, FAR) * ONE) as i64;
        let (step_x, step_y) = (fixed(map.xx), fixed(map.yx));
        let place = |i: usize, n: usize| (i as f64 + 0.5) / n as f64 - 0.5;
        let offsets: Vec<(i64, i64)> = (0..nv)
            .flat_map(|j| (0..nu).map(move |i| (place(i, nu), place(j, nv))))
            .map(|(du, dv)| (fixed(map.xx * du + map.xy * dv), fixed(map.yx * du + map.yy * dv)))
            .collect();
        let mean = 1.0 / offsets.len() as f32;
        let mut out = vec![0.0f32; width * height];
        for (v, row) in out.chunks_exact_mut(width).enumerate() {
            let start = map.apply(0.5, v as f64 + 0.5);
            let (x, y) = (fixed(start.0 - 0.5), fixed(start.1 - 0.5));
            let last = (width - 1) as i64;
            let ends = [
                (x, y),
                (
                    x.wrapping_add(step_x.wrapping_mul(last)),
                    y.wrapping_add(step_y.wrapping_mul(last)),
                ),
            ];
            let inside = ends.iter().all(|&(x, y)| {
                offsets.iter().all(|&(dx, dy)| self.holds(x.wrapping_add(dx), y.wrapping_add(dy)))
            });
            let (mut x, mut y) = (x, y);
            for o in row {
                let sum: f32 = match inside {
                    true => offsets.iter().map(|&(dx, dy)| self.inner(x + dx, y + dy)).sum(),
                    false => offsets
                        .iter()
                        .map(|&(dx, dy)| self.any(x.wrapping_add(dx), y.wrapping_add(dy)))
                        .sum(),
                };
                *o = sum * mean;
                (x, y) = (x.wrapping_add(step_x), y.wrapping_add(step_y));
            }
        }
        out
    }

    /// Whether all four neighbours of a position are in the region.
    fn holds(&self, x: i64, y: i64) -> bool {
        x >= 0
            && y >= 0
            && ((x >> 16) as usize) + 1 < self.width
            && ((y >> 16) as usize) + 1 < self.height
    }

    #[inline(always)]
    fn inner(&self, x: i64, y: i64) -> f32 {
        let at = (y >> 16) as usize * self.width + (x >> 16) as usize;
        let (top, bottom) =
            (&self.data[at..at + 2], &self.data[at + self.width..at + self.width + 2]);
        blend(x, y, top[0], top[1], bottom[0], bottom[1])
    }

    fn any(&self, x: i64, y: i64) -> f32 {
        let (column, row) = (x >> 16, y >> 16);
        let at = |x: i64, y: i64| {
            let (cx, cy) = (x.clamp(0, self.width as i64 - 1), y.clamp(0, self.height as i64 - 1));
            match self.outside {
                Some(value) if (cx, cy) != (x, y) => value,
                _ => self.data[cy as usize * self.width + cx as usize],
            }
        };
        let (right, below) = (column + 1, row + 1);
        blend(x, y, at(column, row), at(right, row), at(column, below), at(right, below))
    }
}

#[inline(always)]
fn blend(x: i64, y: i64, a: f32, b: f32, c: f32, d: f32) -> f32 {
    let part = |v: i64| (v & 0xffff) as f32 * (1.0 / ONE as f32);
    let (fx, fy) = (part(x), part(y));
    let (top, bottom) = (a + fx * (b - a), c + fx * (d - c));
    top + fy * (bottom - top)
}
