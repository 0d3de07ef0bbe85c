// SPDX-License-Identifier: MPL-2.0

//! Convolutions of 3x3 that halve the picture, straight from its lines: nothing is laid out anew
//! for a product of matrices (im2col), which costs a third of such a convolution's time.
//!
//! Each line of the picture is parted into its even and its odd pixels. Neighbouring results then
//! take neighbouring values, and eight of them are made at once. Made for x86-64 processors with
//! AVX2 and FMA.

use std::arch::x86_64::{
    __m256, _mm256_add_ps, _mm256_max_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};
use std::cell::RefCell;
use std::ops::Range;

use super::simd::{LANES, accumulate, available, groups};

/// Values before the pixels of a line; the last is the zero to the left of the picture.
const MARGIN: usize = LANES;
/// Lines of the picture that a line of results takes.
const LINES: usize = 3;
const TAPS: usize = LINES * 3;

thread_local! {
    /// Lines of earlier convolutions on this thread. What is left in it meets only what is thrown away.
    static SCRATCH: RefCell<Vec<f32>> = RefCell::default();
}

/// A convolution of 3x3, stride 2, one pixel of zeros around, for pictures of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Strided {
    inputs: usize,
    /// Of the results.
    height: usize,
    width: usize,
    /// Output channels that are made together.
    groups: Vec<Range<usize>>,
    /// Groups x 9 x input channels x channels of the group.
    weights: Vec<f32>,
    /// Per output channel.
    bias: Vec<f32>,
}

impl Strided {
    /// `kernels` are outputs x inputs x 3 x 3. `None` unless the number of outputs is even and four at
    /// least, height and width of the picture are even, and the processor can do it.
    pub fn new(kernels: &[f32], bias: &[f32], (height, width): (usize, usize)) -> Option<Self> {
        let groups = groups(bias.len())?;
        let inputs = kernels.len().checked_div(TAPS * bias.len())?;
        let even = height.is_multiple_of(2) && width.is_multiple_of(2) && height * width > 0;
        if !even || kernels.len() != bias.len() * inputs * TAPS || !available() {
            return None;
        }
        let mut weights = Vec::with_capacity(kernels.len());
        for group in &groups {
            for tap in 0..TAPS {
                for input in 0..inputs {
                    let of = |output: usize| kernels[(output * inputs + input) * TAPS + tap];
                    weights.extend(group.clone().map(of));
                }
            }
        }
        let (height, width) = (height / 2, width / 2);
        Some(Self { inputs, height, width, groups, weights, bias: bias.to_vec() })
    }

    /// `input` is inputs x height x width, `output` outputs x height / 2 x width / 2; what would be
    /// less than `floor` becomes `floor`.
    pub fn run(&self, input: &[f32], output: &mut [f32], floor: f32) {
        assert_eq!(input.len(), self.inputs * 4 * self.height * self.width);
        assert_eq!(output.len(), self.bias.len() * self.height * self.width);
        // SAFETY: there is no `Strided` where the processor has not these instructions.
        unsafe { self.compute(input, output, floor) }
    }

    /// Length of the even or odd pixels of a line.
    fn half(&self) -> usize {
        MARGIN + self.width.next_multiple_of(LANES)
    }

    #[target_feature(enable = "avx2,fma")]
    fn compute(&self, input: &[f32], output: &mut [f32], floor: f32) {
        // Line n of the picture lies in slot (n + 1) % 3, so that two of three are replaced each time.
        let slot = self.inputs * 2 * self.half();
        let mut scratch = SCRATCH.take();
        if scratch.len() < LINES * slot {
            scratch.resize(LINES * slot, 0.0);
        }
        scratch[..slot].fill(0.0);
        for y in 0..self.height {
            for line in 2 * y..2 * y + 2 {
                self.part(input, line, &mut scratch[(line + 1) % LINES * slot..][..slot]);
            }
            let lines = [0, 1, 2].map(|k| &scratch[(2 * y + k) % LINES * slot..][..slot]);
            let mut weights = &self.weights[..];
            for group in &self.groups {
                let (some, rest) = weights.split_at(TAPS * self.inputs * group.len());
                weights = rest;
                let (pixels, bias) = (self.height * self.width, &self.bias[group.clone()]);
                let output = &mut output[group.start * pixels + y * self.width..];
                match group.len() {
                    6 => self.line::<6>(some, bias, lines, output, floor),
                    _ => self.line::<4>(some, bias, lines, output, floor),
                }
            }
        }
        SCRATCH.set(scratch);
    }

    /// Parts a line of every channel: channels x (odd pixels, even pixels).
    #[target_feature(enable = "avx2,fma")]
    fn part(&self, input: &[f32], line: usize, slot: &mut [f32]) {
        let width = 2 * self.width;
        let pictures = input.chunks_exact(2 * self.height * width);
        for (picture, halves) in pictures.zip(slot.chunks_exact_mut(2 * self.half())) {
            let (odd, even) = halves.split_at_mut(self.half());
            odd[MARGIN - 1] = 0.0;
            let pixels = picture[line * width..][..width].chunks_exact(2);
            for ((odd, even), pair) in odd[MARGIN..].iter_mut().zip(&mut even[MARGIN..]).zip(pixels)
            {
                (*even, *odd) = (pair[0], pair[1]);
            }
        }
    }

    /// A line of M channels; `output` begins with that of the first.
    #[target_feature(enable = "avx2,fma")]
    fn line<const M: usize>(
        &self,
        weights: &[f32],
        bias: &[f32],
        lines: [&[f32]; LINES],
        output: &mut [f32],
        floor: f32,
    ) {
        let whole = self.width.next_multiple_of(LANES);
        let mut x = 0;
        while x < whole {
            if x + LANES < whole {
                self.put(self.sums::<M, 2>(weights, lines, x), bias, x, output, floor);
                x += 2 * LANES;
            } else {
                self.put(self.sums::<M, 1>(weights, lines, x), bias, x, output, floor);
                x += LANES;
            }
        }
    }

    /// Sums over inputs and taps for N times eight neighbouring results of M channels, from `x` on.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn sums<const M: usize, const N: usize>(
        &self,
        weights: &[f32],
        lines: [&[f32]; LINES],
        x: usize,
    ) -> [[__m256; N]; M] {
        let half = self.half();
        // Left of the pixel, the pixel itself, right of it.
        let places = [MARGIN - 1 + x, half + MARGIN + x, MARGIN + x];
        let mut sums = [[_mm256_setzero_ps(); N]; M];
        for (tap, weights) in weights.chunks_exact(self.inputs * M).enumerate() {
            accumulate(&mut sums, weights, &lines[tap / 3][places[tap % 3]..], 2 * half);
        }
        sums
    }

    /// Writes the sums of M channels to their lines, from `x` on.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn put<const M: usize, const N: usize>(
        &self,
        sums: [[__m256; N]; M],
        bias: &[f32],
        x: usize,
        output: &mut [f32],
        floor: f32,
    ) {
        let floor = _mm256_set1_ps(floor);
        for (k, (sums, bias)) in sums.into_iter().zip(bias).enumerate() {
            let bias = _mm256_set1_ps(*bias);
            let line = &mut output[k * self.height * self.width..][..self.width];
            for (eight, sum) in line[x..].chunks_mut(LANES).zip(sums) {
                // In this order what is not a number stays so.
                let sum = _mm256_max_ps(floor, _mm256_add_ps(sum, bias));
                let mut values = [0.0; LANES];
                // SAFETY: both have room for eight values.
                unsafe {
                    if eight.len() == LANES {
                        _mm256_storeu_ps(eight.as_mut_ptr(), sum);
                    } else {
                        _mm256_storeu_ps(values.as_mut_ptr(), sum);
                        eight.copy_from_slice(&values[..eight.len()]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::tests::{equals_definition, noise};
    use super::*;

    /// Widths with and without whole registers; groups of six, of four, and of both. The second of each two
    /// meets what the first left behind.
    #[test]
    fn equals_the_definition() {
        for (inputs, outputs, height, width) in [
            (3, 16, 8, 40),
            (3, 4, 2, 2),
            (5, 8, 6, 10),
            (16, 12, 4, 32),
            (2, 32, 12, 20),
            (1, 4, 2, 66),
        ] {
            let (channels, size) = ((inputs, outputs), (height, width));
            equals_definition(channels, size, 2, |kernels, bias, picture, found, floor| {
                Strided::new(kernels, bias, size).map(|it| it.run(picture, found, floor))
            });
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        let Some(convolution) = Strided::new(&noise(36, 1), &[0.0; 4], (2, 2)) else { return };
        let mut found = [0.0; 4];
        convolution.run(&[f32::NAN, 0.0, 0.0, 0.0], &mut found, 0.0);
        assert!(found.iter().all(|value| value.is_nan()), "{found:?}");
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let kernels = noise(8 * 4 * 9, 1);
        assert!(Strided::new(&kernels, &[0.0; 8], (5, 4)).is_none());
        assert!(Strided::new(&kernels, &[0.0; 8], (4, 0)).is_none());
        assert!(Strided::new(&kernels, &[0.0; 9], (4, 4)).is_none());
        assert!(Strided::new(&kernels[1..], &[0.0; 8], (4, 4)).is_none());
        assert!(Strided::new(&[], &[], (4, 4)).is_none());
    }
}
