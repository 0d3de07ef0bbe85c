// SPDX-License-Identifier: MPL-2.0

use super::format::Matrix;

/// How the number of one sample is stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Store {
    Byte,
    /// Ten bits in the low bits of two little-endian bytes.
    Low10,
    /// Ten bits in the high bits of two little-endian bytes.
    High10,
    /// Luma made of the bytes at three places of the pixel.
    Luma {
        at: [usize; 3],
        weights: [f32; 3],
    },
}

/// One colour component of a picture, at its own resolution. Values are on a scale of 8 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component<'a> {
    pub data: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
    /// Bytes from sample to sample, 1 to 4.
    pub step: usize,
    /// Byte of the sample within a step.
    pub offset: usize,
    pub store: Store,
    pub width: usize,
    pub height: usize,
    /// Pixels of the frame per sample, across and down.
    pub pitch: (f64, f64),
}

impl<'a> Component<'a> {
    /// Bytes side by side at full resolution.
    pub fn bytes(data: &'a [u8], stride: usize, width: usize, height: usize) -> Self {
        Self {
            data,
            stride,
            step: 1,
            offset: 0,
            store: Store::Byte,
            width,
            height,
            pitch: (1.0, 1.0),
        }
    }

    /// Luma of interleaved R'G'B' whose bytes are `at` these places of a pixel.
    pub fn luma_of(self, at: [usize; 3], matrix: Matrix) -> Self {
        Self { store: Store::Luma { at, weights: matrix.weights() }, ..self }
    }

    /// Writes the samples of row `y` from column `x0` on.
    pub fn load(&self, y: usize, x0: usize, out: &mut [f32]) {
        self.each(y, x0, out, |o, v| *o = v);
    }

    /// Adds the samples of row `y` from column `x0` on, times `weight`.
    pub fn add(&self, y: usize, x0: usize, weight: f32, out: &mut [f32]) {
        self.each(y, x0, out, |o, v| *o += weight * v);
    }

    /// One pass over a row; everything that depends on the format is decided before the loop.
    #[inline(always)]
    fn each(&self, y: usize, x0: usize, out: &mut [f32], f: impl Fn(&mut f32, f32)) {
        debug_assert!(x0 + out.len() <= self.width && y < self.height);
        let row = &self.data[y * self.stride + x0 * self.step..];
        match (self.store, self.step) {
            (Store::Byte, 1) => bytes::<1>(row, self.offset, out, f),
            (Store::Byte, 2) => bytes::<2>(row, self.offset, out, f),
            (Store::Byte, 3) => bytes::<3>(row, self.offset, out, f),
            (Store::Byte, _) => bytes::<4>(row, self.offset, out, f),
            (Store::Low10, 2) => words::<2>(row, self.offset, 0.25, out, f),
            (Store::Low10, _) => words::<4>(row, self.offset, 0.25, out, f),
            (Store::High10, 2) => words::<2>(row, self.offset, 1.0 / 256.0, out, f),
            (Store::High10, _) => words::<4>(row, self.offset, 1.0 / 256.0, out, f),
            (Store::Luma { at, weights }, 3) => luma::<3>(row, at, weights, out, f),
            (Store::Luma { at, weights }, _) => luma::<4>(row, at, weights, out, f),
        }
    }
}

#[inline(always)]
fn bytes<const STEP: usize>(row: &[u8], offset: usize, out: &mut [f32], f: impl Fn(&mut f32, f32)) {
    // A known place in a known step is what makes the loop a vector loop.
    match offset {
        0 => byte_at::<STEP, 0>(row, out, f),
        1 => byte_at::<STEP, 1>(row, out, f),
        2 => byte_at::<STEP, 2>(row, out, f),
        _ => byte_at::<STEP, 3>(row, out, f),
    }
}

#[inline(always)]
fn byte_at<const STEP: usize, const AT: usize>(
    row: &[u8],
    out: &mut [f32],
    f: impl Fn(&mut f32, f32),
) {
    for (o, px) in out.iter_mut().zip(row.as_chunks::<STEP>().0) {
        f(o, f32::from(px[AT.min(STEP - 1)]));
    }
}

#[inline(always)]
fn words<const STEP: usize>(
    row: &[u8],
    offset: usize,
    scale: f32,
    out: &mut [f32],
    f: impl Fn(&mut f32, f32),
) {
    let offset = offset.min(STEP - 2);
    for (o, px) in out.iter_mut().zip(row.as_chunks::<STEP>().0) {
        f(o, f32::from(u16::from_le_bytes([px[offset], px[offset + 1]])) * scale);
    }
}

#[inline(always)]
fn luma<const STEP: usize>(
    row: &[u8],
    at: [usize; 3],
    weights: [f32; 3],
    out: &mut [f32],
    f: impl Fn(&mut f32, f32),
) {
    let at = at.map(|i| i.min(STEP - 1));
    for (o, px) in out.iter_mut().zip(row.as_chunks::<STEP>().0) {
        let [r, g, b] = at.map(|i| f32::from(px[i]));
        f(o, weights[0] * r + weights[1] * g + weights[2] * b);
    }
}
