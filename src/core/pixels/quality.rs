// SPDX-License-Identifier: MPL-2.0

use super::Picture;

/// What light and focus make of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Mean luma, 0 to 255.
    pub mean: f32,
    /// Standard deviation of luma, 0 to 127.5.
    pub contrast: f32,
    /// Variance of the Laplacian over the variance of luma, so that neither light nor contrast
    /// counts: about 0 for a blur or a flat picture, 20 for white noise.
    pub sharpness: f32,
}

/// Added to the variance of luma below the sharpness, so that the noise of a flat picture does not
/// pass for detail.
const FLAT: f32 = 16.0;

impl Picture {
    /// Zero everywhere for an empty picture; sharpness zero below 3 x 3 pixels.
    pub fn quality(&self) -> Quality {
        let gray = self.to_gray();
        let (w, h) = (gray.width, gray.height);
        if gray.data.is_empty() || gray.data.len() != w * h {
            return Quality { mean: 0.0, contrast: 0.0, sharpness: 0.0 };
        }
        let (mean, variance) = moments(gray.data.iter().map(|&v| i64::from(v)));
        let mut sharpness = 0.0;
        if w >= 3 && h >= 3 {
            let rows: Vec<&[u8]> = gray.data.chunks_exact(w).collect();
            let laplacian = rows.windows(3).flat_map(|r| {
                (1..w - 1).map(move |x| {
                    4 * i64::from(r[1][x])
                        - [r[0][x], r[2][x], r[1][x - 1], r[1][x + 1]]
                            .map(i64::from)
                            .iter()
                            .sum::<i64>()
                })
            });
            sharpness = moments(laplacian).1 / (variance + FLAT);
        }
        Quality { mean, contrast: variance.sqrt(), sharpness }
    }
}

/// Mean and variance.
fn moments(values: impl Iterator<Item = i64>) -> (f32, f32) {
    let (mut n, mut sum, mut squares) = (0i64, 0i64, 0i64);
    for v in values {
        n += 1;
        sum += v;
        squares += v * v;
    }
    let mean = sum as f64 / n as f64;
    (mean as f32, (squares as f64 / n as f64 - mean * mean).max(0.0) as f32)
}
