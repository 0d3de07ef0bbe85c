// SPDX-License-Identifier: MPL-2.0

use super::{Component, Map};

/// How one axis of the output is made of one axis of the source. Every output place takes `taps`
/// neighbours from `starts` on, unused ones with weight zero.
pub(super) struct Axis {
    taps: usize,
    starts: Vec<usize>,
    weights: Vec<f32>,
    /// Part of each output place that lies inside the source, 0 to 1.
    inside: Vec<f32>,
}

impl Axis {
    /// Output place i covers the source around scale·(i + 0.5) + shift, max(scale, 1) wide. With
    /// `edge`, what lies outside counts as the outermost sample. Starts and taps stay in `source`.
    pub fn new(outputs: usize, scale: f64, shift: f64, source: usize, edge: bool) -> Self {
        let extent = scale.max(1.0);
        let end = source as f64;
        let span = |i: usize| {
            let middle = scale * (i as f64 + 0.5) + shift;
            (middle - extent / 2.0, middle + extent / 2.0)
        };
        let bounds = |low: f64, high: f64| {
            let first = (low.floor().max(0.0) as usize).min(source - 1);
            let last = (high.ceil().max(1.0) as usize).clamp(first + 1, source);
            (first, last)
        };
        let taps = (0..outputs)
            .map(|i| {
                let (low, high) = span(i);
                let (first, last) = bounds(low, high);
                last - first
            })
            .max()
            .unwrap_or(1);
        let mut axis = Self {
            taps,
            starts: Vec::with_capacity(outputs),
            weights: vec![0.0; outputs * taps],
            inside: Vec::with_capacity(outputs),
        };
        for (i, weights) in axis.weights.chunks_exact_mut(taps).enumerate() {
            let (low, high) = span(i);
            let (first, last) = bounds(low, high);
            let start = first.min(source - taps);
            let covered =
                |a: f64, b: f64| ((high.min(b) - low.max(a)) / extent).clamp(0.0, 1.0) as f32;
            for x in first..last {
                weights[x - start] = covered(x as f64, x as f64 + 1.0);
            }
            if edge {
                weights[first - start] += covered(f64::NEG_INFINITY, 0.0);
                weights[last - 1 - start] += covered(end, f64::INFINITY);
            }
            axis.inside.push(weights.iter().sum::<f32>().min(1.0));
            axis.starts.push(start);
        }
        axis
    }

    /// First source place used and the number from there to the last.
    fn reach(&self) -> (usize, usize) {
        let first = self.starts.iter().copied().min().unwrap_or(0);
        let last = self.starts.iter().copied().max().unwrap_or(0) + self.taps;
        (first, last - first)
    }
}

/// `width` x `height` values. `outside` is the value there; `None` repeats the edge.
pub(super) fn resample(
    source: &Component<'_>,
    map: &Map,
    width: usize,
    height: usize,
    outside: Option<f32>,
) -> Vec<f32> {
    let xs = Axis::new(width, map.xx, map.tx, source.width, outside.is_none());
    let ys = Axis::new(height, map.yy, map.ty, source.height, outside.is_none());
    separable(source, &xs, &ys, outside)
}

/// The product of two axes.
pub(super) fn separable(
    source: &Component<'_>,
    xs: &Axis,
    ys: &Axis,
    outside: Option<f32>,
) -> Vec<f32> {
    let (width, height) = (xs.starts.len(), ys.starts.len());
    let (left, columns) = xs.reach();
    let mut out = vec![0.0f32; width * height];
    let mut sums = vec![0.0f32; columns];
    for (y, row) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let weights = ys.weights[y * ys.taps..][..ys.taps].iter().enumerate();
        let mut empty = true;
        for (tap, &weight) in weights.filter(|(_, w)| **w != 0.0) {
            match (empty, weight) {
                (true, 1.0) => source.load(ys.starts[y] + tap, left, &mut sums),
                (true, _) => {
                    sums.fill(0.0);
                    source.add(ys.starts[y] + tap, left, weight, &mut sums);
                }
                (false, _) => source.add(ys.starts[y] + tap, left, weight, &mut sums),
            }
            empty = false;
        }
        if !empty {
            across(xs, &sums, left, row);
        }
        if let Some(value) = outside {
            for (o, inside) in row.iter_mut().zip(&xs.inside) {
                *o += (1.0 - inside * ys.inside[y]) * value;
            }
        }
    }
    out
}

/// Weighs the columns of one row; unrolled for the few taps that are usual.
fn across(xs: &Axis, sums: &[f32], left: usize, row: &mut [f32]) {
    match xs.taps {
        1 => fixed::<1>(xs, sums, left, row),
        2 => fixed::<2>(xs, sums, left, row),
        3 => fixed::<3>(xs, sums, left, row),
        4 => fixed::<4>(xs, sums, left, row),
        5 => fixed::<5>(xs, sums, left, row),
        6 => fixed::<6>(xs, sums, left, row),
        7 => fixed::<7>(xs, sums, left, row),
        8 => fixed::<8>(xs, sums, left, row),
        taps => {
            let places = xs.starts.iter().zip(xs.weights.chunks_exact(taps));
            for (o, (start, weights)) in row.iter_mut().zip(places) {
                let from = &sums[start - left..][..taps];
                *o = from.iter().zip(weights).map(|(s, w)| s * w).sum();
            }
        }
    }
}

fn fixed<const TAPS: usize>(xs: &Axis, sums: &[f32], left: usize, row: &mut [f32]) {
    let places = xs.starts.iter().zip(xs.weights.as_chunks::<TAPS>().0);
    for (o, (start, weights)) in row.iter_mut().zip(places) {
        let from = &sums[start - left..][..TAPS];
        let mut sum = 0.0;
        for tap in 0..TAPS {
            sum += from[tap] * weights[tap];
        }
        *o = sum;
    }
}
