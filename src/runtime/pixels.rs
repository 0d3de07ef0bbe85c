// SPDX-License-Identifier: MPL-2.0

//! From bytes to network input.

use crate::core::pixels::{Channels, Picture};

/// (v / 255 - mean) / std per channel, kept as one multiplication and one addition.
#[derive(Debug, Clone, PartialEq)]
pub struct Normal(Vec<(f32, f32)>);

impl Normal {
    pub fn new(mean: &[f32], std: &[f32]) -> Self {
        let line = |(mean, std): (&f32, &f32)| (1.0 / (255.0 * std), -mean / std);
        Self(mean.iter().zip(std).map(line).collect())
    }

    /// Writes the picture into `planes`: one plane of `width * height` per channel, the start of
    /// each plane `step` values after that of the one before.
    pub fn write(&self, picture: &Picture, planes: &mut [f32], step: usize) {
        let size = picture.width * picture.height;
        match picture.channels {
            Channels::Gray => {
                let (scale, offset) = self.0[0];
                for (out, v) in planes[..size].iter_mut().zip(&picture.data) {
                    *out = f32::from(*v) * scale + offset;
                }
            }
            Channels::Rgb => {
                let [(r, r0), (g, g0), (b, b0)] = [0, 1, 2].map(|c| self.0[c]);
                let (red, rest) = planes.split_at_mut(step);
                let (green, blue) = rest.split_at_mut(step);
                let outs = red[..size].iter_mut().zip(&mut green[..size]).zip(&mut blue[..size]);
                for (((red, green), blue), pixel) in outs.zip(picture.data.as_chunks::<3>().0) {
                    *red = f32::from(pixel[0]) * r + r0;
                    *green = f32::from(pixel[1]) * g + g0;
                    *blue = f32::from(pixel[2]) * b + b0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_planes() {
        let normal = Normal::new(&[0.5, 0.0, 1.0], &[0.5, 1.0, 0.25]);
        let picture = Picture::new(Channels::Rgb, 2, 1, vec![0, 51, 255, 255, 102, 0]).unwrap();
        let mut planes = [0.0; 8];
        normal.write(&picture, &mut planes, 3);
        let want = [-1.0, 1.0, 0.0, 0.2, 0.4, 0.0, 0.0, -4.0];
        for (out, want) in planes.iter().zip(want) {
            assert!((out - want).abs() < 1e-6, "{planes:?}");
        }
    }
}
