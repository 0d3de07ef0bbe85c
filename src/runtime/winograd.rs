// SPDX-License-Identifier: MPL-2.0

//! Convolutions of 3x3 with 2.25 times fewer multiplications: Winograd's minimal filtering
//! F(2x2, 3x3), as in Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015).
//!
//! The picture is cut into tiles of 4x4 that overlap by two, each gives 2x2 results. Tiles and
//! kernels are transformed into 16 values; there the convolution is a product of matrices per
//! value, and the inverse transform makes results of the products. The transforms of pictures
//! need additions only. Made for x86-64 processors with AVX2 and FMA.

use std::arch::x86_64::{
    __m128, _mm_add_ps, _mm_loadu_ps, _mm_max_ps, _mm_set1_ps, _mm_setzero_ps, _mm_shuffle_ps,
    _mm_storeu_ps, _mm_sub_ps, _mm_unpackhi_ps, _mm_unpacklo_ps, _mm256_setzero_ps,
    _mm256_storeu_ps,
};
use std::cell::RefCell;
use std::ops::Range;

use super::simd::{LANES as EIGHT, accumulate, available, groups};

/// Values of a transformed tile.
const POINTS: usize = 16;
/// Tiles that are worked on together: few enough to stay in the second-level cache.
const STEP: usize = 48;
/// Tiles that are transformed together.
const LANES: usize = 4;

thread_local! {
    /// Tiles and products of earlier convolutions on this thread. Clearing new memory for each would
    /// take longer than the additions; what is left in it meets only what is thrown away.
    static SCRATCH: RefCell<[Vec<f32>; 2]> = RefCell::default();
}

/// The first `length` values, of whatever content.
fn first(values: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if values.len() < length {
        values.resize(length, 0.0);
    }
    &mut values[..length]
}

/// A convolution of 3x3, stride 1, one pixel of zeros around, for pictures of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Winograd {
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    /// Output channels that are made together.
    groups: Vec<Range<usize>>,
    /// 16 x groups x input channels x channels of the group.
    weights: Vec<f32>,
    /// Per output channel.
    bias: Vec<f32>,
}

impl Winograd {
    /// `kernels` are outputs x inputs x 3 x 3. `None` unless the number of outputs is even and four at
    /// least, height and width are even, and the processor can do it.
    pub fn new(kernels: &[f32], bias: &[f32], (height, width): (usize, usize)) -> Option<Self> {
        let (groups, outputs) = (groups(bias.len())?, bias.len());
        let inputs = kernels.len().checked_div(9 * outputs)?;
        let even = height.is_multiple_of(2) && width.is_multiple_of(2) && height * width > 0;
        if !even || kernels.len() != outputs * inputs * 9 || !available() {
            return None;
        }
        let kernels: Vec<_> = kernels.chunks_exact(9).map(transformed).collect();
        let value = |output: usize, input: usize, point: usize| -> f32 {
            kernels[output * inputs + input][point]
        };
        let mut weights = Vec::with_capacity(POINTS * outputs * inputs);
        for point in 0..POINTS {
            for group in &groups {
                for input in 0..inputs {
                    weights.extend(group.clone().map(|output| value(output, input, point)));
                }
            }
        }
        Some(Self { inputs, outputs, height, width, groups, weights, bias: bias.to_vec() })
    }

    /// `input` is inputs x height x width, `output` outputs x height x width; what would be less than
    /// `floor` becomes `floor`.
    pub fn run(&self, input: &[f32], output: &mut [f32], floor: f32) {
        assert_eq!(input.len(), self.inputs * self.height * self.width);
        assert_eq!(output.len(), self.outputs * self.height * self.width);
        // SAFETY: there is no `Winograd` where the processor has not these instructions.
        unsafe { self.compute(input, output, floor) }
    }

    #[target_feature(enable = "avx2,fma")]
    fn compute(&self, input: &[f32], output: &mut [f32], floor: f32) {
        let (rows, columns) = (self.height / 2, (self.width / 2).next_multiple_of(LANES));
        let step = (STEP / columns).clamp(1, rows);
        let count = (step * columns).next_multiple_of(EIGHT);
        let mut scratch = SCRATCH.take();
        let [tiles, products] = &mut scratch;
        let tiles = first(tiles, POINTS * plane(self.inputs, count));
        let products = first(products, POINTS * plane(self.outputs, count));
        for first in (0..rows).step_by(step) {
            let some = first..(first + step).min(rows);
            self.cut(input, some.clone(), columns, count, tiles);
            self.multiply(tiles, count, products);
            self.join(products, some, columns, count, output, floor);
        }
        SCRATCH.set(scratch);
    }

    /// Transforms the tiles of some rows into 16 x inputs x `count`.
    #[target_feature(enable = "avx2,fma")]
    fn cut(
        &self,
        input: &[f32],
        some: Range<usize>,
        columns: usize,
        count: usize,
        tiles: &mut [f32],
    ) {
        let plane = plane(self.inputs, count);
        // The lines of the tiles with what is outside the picture, which stays zero.
        let stride = 2 * columns + LANES;
        let mut lines = vec![0.0f32; (2 * some.len() + 2) * stride];
        let inside = (2 * some.start).max(1) - 1..(2 * some.end + 1).min(self.height);
        let margin = inside.start + 1 - 2 * some.start;
        for (channel, picture) in input.chunks_exact(self.height * self.width).enumerate() {
            let picture = &picture[inside.start * self.width..inside.end * self.width];
            let rows = lines.chunks_exact_mut(stride).skip(margin);
            for (line, row) in rows.zip(picture.chunks_exact(self.width)) {
                line[1..=self.width].copy_from_slice(row);
            }
            for row in 0..some.len() {
                let at = channel * count + row * columns;
                for t in (0..columns).step_by(LANES) {
                    let mut four = [[_mm_setzero_ps(); 4]; 4];
                    for (k, values) in four.iter_mut().enumerate() {
                        *values = four_tiles(&lines[(2 * row + k) * stride + 2 * t..]);
                    }
                    // Down the columns, then along the lines.
                    let mut sums = [[_mm_setzero_ps(); 4]; 4];
                    for x in 0..4 {
                        let [a, b, c, d] = [four[0][x], four[1][x], four[2][x], four[3][x]];
                        sums[0][x] = _mm_sub_ps(a, c);
                        sums[1][x] = _mm_add_ps(b, c);
                        sums[2][x] = _mm_sub_ps(c, b);
                        sums[3][x] = _mm_sub_ps(b, d);
                    }
                    for (y, [a, b, c, d]) in sums.into_iter().enumerate() {
                        let out = &mut tiles[4 * y * plane + at + t..];
                        store(out, _mm_sub_ps(a, c));
                        store(&mut out[plane..], _mm_add_ps(b, c));
                        store(&mut out[2 * plane..], _mm_sub_ps(c, b));
                        store(&mut out[3 * plane..], _mm_sub_ps(b, d));
                    }
                }
            }
        }
    }

    /// The product of matrices for each of the 16 values.
    #[target_feature(enable = "avx2,fma")]
    fn multiply(&self, tiles: &[f32], count: usize, products: &mut [f32]) {
        let weights = self.weights.chunks_exact(self.outputs * self.inputs);
        let tiles = tiles.chunks_exact(plane(self.inputs, count));
        let products = products.chunks_exact_mut(plane(self.outputs, count));
        for ((mut weights, tiles), products) in weights.zip(tiles).zip(products) {
            for group in &self.groups {
                let (some, rest) = weights.split_at(self.inputs * group.len());
                weights = rest;
                let products = &mut products[group.start * count..];
                match group.len() {
                    6 => row::<6>(some, tiles, count, products),
                    _ => row::<4>(some, tiles, count, products),
                }
            }
        }
    }

    /// Transforms the products of some rows of tiles back to pictures.
    #[target_feature(enable = "avx2,fma")]
    fn join(
        &self,
        products: &[f32],
        some: Range<usize>,
        columns: usize,
        count: usize,
        output: &mut [f32],
        floor: f32,
    ) {
        // In this order of operands what is not a number stays so.
        let floor = _mm_set1_ps(floor);
        let plane = plane(self.outputs, count);
        let pictures = output.chunks_exact_mut(self.height * self.width);
        for ((channel, picture), bias) in pictures.enumerate().zip(&self.bias) {
            let bias = _mm_set1_ps(*bias);
            let rows = picture[2 * some.start * self.width..].chunks_exact_mut(2 * self.width);
            for (row, lines) in rows.take(some.len()).enumerate() {
                let (upper, lower) = lines.split_at_mut(self.width);
                for t in (0..columns).step_by(LANES) {
                    let values = &products[channel * count + row * columns + t..];
                    let (mut top, mut bottom) = ([_mm_setzero_ps(); 4], [_mm_setzero_ps(); 4]);
                    for x in 0..4 {
                        let a = load(&values[x * plane..]);
                        let b = load(&values[(4 + x) * plane..]);
                        let c = load(&values[(8 + x) * plane..]);
                        let d = load(&values[(12 + x) * plane..]);
                        top[x] = _mm_add_ps(a, _mm_add_ps(b, c));
                        bottom[x] = _mm_sub_ps(b, _mm_add_ps(c, d));
                    }
                    for (line, [a, b, c, d]) in [(&mut *upper, top), (&mut *lower, bottom)] {
                        let b_bias = _mm_add_ps(b, bias);
                        let left = _mm_max_ps(floor, _mm_add_ps(_mm_add_ps(a, c), b_bias));
                        let right = _mm_max_ps(floor, _mm_sub_ps(b_bias, _mm_add_ps(c, d)));
                        let (first, second) =
                            (_mm_unpacklo_ps(left, right), _mm_unpackhi_ps(left, right));
                        if let Some(eight) = line.get_mut(2 * t..2 * t + 2 * LANES) {
                            store(eight, first);
                            store(&mut eight[LANES..], second);
                        } else if let Some(rest) = line.get_mut(2 * t..) {
                            // The lanes reach beyond the picture.
                            let mut eight = [0.0; 2 * LANES];
                            store(&mut eight, first);
                            store(&mut eight[LANES..], second);
                            rest.copy_from_slice(&eight[..rest.len()]);
                        }
                    }
                }
            }
        }
    }
}

/// Distance of the 16 values of a tile. Not the bare size: powers of two would put all sixteen
/// into the same few lines of the cache.
fn plane(channels: usize, count: usize) -> usize {
    channels * count + 2 * EIGHT
}

/// The products of M channels with `count` tiles.
#[target_feature(enable = "avx2,fma")]
fn row<const M: usize>(weights: &[f32], tiles: &[f32], count: usize, products: &mut [f32]) {
    let mut first = 0;
    while first < count {
        let products = &mut products[first..];
        if first + EIGHT < count {
            block::<M, 2>(weights, &tiles[first..], count, products);
            first += 2 * EIGHT;
        } else {
            block::<M, 1>(weights, &tiles[first..], count, products);
            first += EIGHT;
        }
    }
}

/// The products of M channels with N times eight tiles. Those of one channel are `count` apart from those
/// of the next.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn block<const M: usize, const N: usize>(
    weights: &[f32],
    tiles: &[f32],
    count: usize,
    products: &mut [f32],
) {
    let mut sums = [[_mm256_setzero_ps(); N]; M];
    accumulate(&mut sums, weights, tiles, count);
    for (k, sums) in sums.iter().enumerate() {
        let row = &mut products[k * count..][..N * EIGHT];
        for (eight, sum) in row.chunks_exact_mut(EIGHT).zip(sums) {
            // SAFETY: there is room for eight values.
            unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), *sum) }
        }
    }
}

/// A kernel of 3x3 in the domain of the products.
fn transformed(g: &[f32]) -> [f32; POINTS] {
    let line = |a: f32, b: f32, c: f32| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c];
    let columns = [0, 1, 2].map(|x| line(g[x], g[3 + x], g[6 + x]));
    let rows = [0, 1, 2, 3].map(|y| line(columns[0][y], columns[1][y], columns[2][y]));
    std::array::from_fn(|point| rows[point / 4][point % 4])
}

/// One line of four tiles that follow each other: their first values, their second, and so on.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn four_tiles(line: &[f32]) -> [__m128; 4] {
    let (a, b, c, d) = (load(line), load(&line[4..]), load(&line[2..]), load(&line[6..]));
    [
        _mm_shuffle_ps::<0b10_00_10_00>(a, b),
        _mm_shuffle_ps::<0b11_01_11_01>(a, b),
        _mm_shuffle_ps::<0b10_00_10_00>(c, d),
        _mm_shuffle_ps::<0b11_01_11_01>(c, d),
    ]
}

#[inline(always)]
fn load(values: &[f32]) -> __m128 {
    let values: &[f32; LANES] = values[..LANES].try_into().expect("the lanes");
    // SAFETY: there are four values.
    unsafe { _mm_loadu_ps(values.as_ptr()) }
}

#[inline(always)]
fn store(values: &mut [f32], lanes: __m128) {
    let values: &mut [f32; LANES] = (&mut values[..LANES]).try_into().expect("the lanes");
    // SAFETY: there is room for four values.
    unsafe { _mm_storeu_ps(values.as_mut_ptr(), lanes) }
}

#[cfg(test)]
mod tests {
    use super::super::simd::tests::{equals_definition, noise};
    use super::*;

    /// Sizes with and without whole blocks and lanes.
    #[test]
    fn equals_the_definition() {
        for (inputs, outputs, height, width) in [
            (3, 8, 6, 8),
            (16, 16, 32, 32),
            (5, 12, 4, 4),
            (7, 4, 12, 20),
            (2, 8, 2, 2),
            (4, 8, 2, 90),
        ] {
            let (channels, size) = ((inputs, outputs), (height, width));
            equals_definition(channels, size, 1, |kernels, bias, picture, found, floor| {
                Winograd::new(kernels, bias, size).map(|it| it.run(picture, found, floor))
            });
        }
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let kernels = noise(8 * 4 * 9, 1);
        assert!(Winograd::new(&kernels, &[0.0; 8], (5, 4)).is_none());
        assert!(Winograd::new(&kernels, &[0.0; 8], (4, 0)).is_none());
        assert!(Winograd::new(&kernels, &[0.0; 9], (4, 4)).is_none());
        assert!(Winograd::new(&kernels[1..], &[0.0; 8], (4, 4)).is_none());
        assert!(Winograd::new(&[], &[], (4, 4)).is_none());
    }
}
