// SPDX-License-Identifier: MPL-2.0

//! What the convolutions of our own share: the innermost product of matrices, for x86-64 processors
//! with AVX2 and FMA.

use std::arch::x86_64::{__m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps};
use std::ops::Range;

/// Values that one register holds.
pub const LANES: usize = 8;

/// Whether the processor has the instructions.
pub fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Parts output channels into groups of six and four that are made together. With two registers of
/// values, six channels give twelve sums: as many as the registers hold, and more than enough for none to
/// wait for the one before it. `None` unless the channels are even and four at least.
pub fn groups(channels: usize) -> Option<Vec<Range<usize>>> {
    let mut groups = Vec::new();
    let mut first = 0;
    while first < channels {
        let length = match channels - first {
            4 | 8 => 4,
            6.. => 6,
            _ => return None,
        };
        groups.push(first..first + length);
        first += length;
    }
    Some(groups)
}

/// Adds weights times values to the sums of M channels and N times eight places.
///
/// `weights` are inputs x M. The values of one input are `step` apart from those of the next.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub fn accumulate<const M: usize, const N: usize>(
    sums: &mut [[__m256; N]; M],
    weights: &[f32],
    values: &[f32],
    step: usize,
) {
    let inputs = weights.len() / M;
    assert!((inputs.max(1) - 1) * step + N * LANES <= values.len());
    for (input, weights) in weights.chunks_exact(M).enumerate() {
        // SAFETY: by the assertion there are N times eight values.
        let values = unsafe {
            let first = values.as_ptr().add(input * step);
            std::array::from_fn::<_, N, _>(|n| _mm256_loadu_ps(first.add(n * LANES)))
        };
        for (sums, weight) in sums.iter_mut().zip(weights) {
            let weight = _mm256_set1_ps(*weight);
            for (sum, values) in sums.iter_mut().zip(values) {
                *sum = _mm256_fmadd_ps(weight, values, *sum);
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Has `run` put noise through a convolution of 3x3 and compares every value with the definition.
    ///
    /// `run` is given kernels, bias, picture, room for the answer, and the least that a value may be; `None`
    /// says that the processor cannot.
    pub fn equals_definition(
        (inputs, outputs): (usize, usize),
        (height, width): (usize, usize),
        stride: usize,
        run: impl FnOnce(&[f32], &[f32], &[f32], &mut [f32], f32) -> Option<()>,
    ) {
        let picture = noise(inputs * height * width, 1);
        let (kernels, bias) = (noise(outputs * inputs * 9, 2), noise(outputs, 3));
        let floor = if inputs == 5 { -0.2 } else { f32::NEG_INFINITY };
        let (rows, columns) = (height / stride, width / stride);
        let mut found = vec![f32::NAN; outputs * rows * columns];
        if run(&kernels, &bias, &picture, &mut found, floor).is_none() {
            return assert!(!available());
        }
        for (i, found) in found.into_iter().enumerate() {
            let (o, y, x) = (i / (rows * columns), i / columns % rows, i % columns);
            let kernel = &kernels[o * inputs * 9..][..inputs * 9];
            let sum = direct(&picture, kernel, (height, width), (stride * y, stride * x));
            let want = floor.max(bias[o] + sum);
            assert!(
                (found - want).abs() < 1e-4,
                "{inputs} to {outputs}, {height}x{width}, value {i}: {found} is not {want}"
            );
        }
    }

    /// The convolution of 3x3 around a pixel by its definition, zeros outside the picture.
    fn direct(
        picture: &[f32],
        kernel: &[f32],
        (height, width): (usize, usize),
        (y, x): (usize, usize),
    ) -> f32 {
        let mut sum = 0.0;
        for (picture, kernel) in picture.chunks_exact(height * width).zip(kernel.chunks_exact(9)) {
            for (k, weight) in kernel.iter().enumerate() {
                let (sy, sx) = (y + k / 3, x + k % 3);
                if (1..=height).contains(&sy) && (1..=width).contains(&sx) {
                    sum += weight * picture[(sy - 1) * width + sx - 1];
                }
            }
        }
        sum
    }

    #[test]
    fn every_channel_is_in_one_group() {
        for channels in (4..200).step_by(2) {
            let groups = groups(channels).expect("an even number");
            assert!(groups.iter().all(|g| [4, 6].contains(&g.len())), "{channels}: {groups:?}");
            assert!(groups.into_iter().flatten().eq(0..channels), "{channels}");
        }
        for channels in [1, 2, 3, 5, 9, 17] {
            assert_eq!(groups(channels), None, "{channels}");
        }
    }
}
