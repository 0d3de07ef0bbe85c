// SPDX-License-Identifier: MPL-2.0

//! Makes faces unrecognisable in the picture itself, whatever its format: the lines of a face are
//! unpacked to four components a pixel, changed, and packed again, which leaves all other pixels
//! of these lines as they were.

use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFormatInfo, VideoFrameRef, VideoPackFlags};

use super::Anonymize;
use crate::core::Rect;

/// Boxes are widened by this share of their size on each side: a face moves while a box lags.
const MARGIN: f32 = 0.15;

/// Blocks across the larger side of a face.
const BLOCKS: usize = 8;

/// Whether pictures of that format can be changed (and drawn on): raw, neither tiled nor with a
/// palette, in memory that lines can be taken from.
pub(super) fn is_supported(format: VideoFormat) -> bool {
    let info = VideoFormatInfo::from_format(format);
    let raw = !matches!(format, VideoFormat::Unknown | VideoFormat::Encoded);
    raw && !info.is_tiled() && !info.has_palette() && info.unpack_format() != VideoFormat::Unknown
}

/// A part of the picture, in whole pixels, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub x: usize,
    pub y: usize,
    pub w: usize,
    pub h: usize,
}

/// The areas that hide these faces in a picture of `width` x `height`. They end on multiples of
/// `step` so that no chroma sample is shared with what stays. So many or so large faces that
/// hiding each would mean more work than hiding the picture hide the picture.
pub(super) fn areas(faces: &[Rect], width: usize, height: usize, step: usize) -> Vec<Area> {
    let whole = Area { x: 0, y: 0, w: width, h: height };
    let mut areas: Vec<Area> = Vec::new();
    let mut pixels = 0;
    for face in faces {
        let Some(area) = area(face, width, height, step) else { continue };
        if areas.iter().any(|a| contains(a, &area)) {
            continue;
        }
        pixels += area.w * area.h;
        if pixels > 2 * width * height {
            return vec![whole];
        }
        areas.push(area);
    }
    areas
}

fn area(face: &Rect, width: usize, height: usize, step: usize) -> Option<Area> {
    let (dx, dy) = (face.w * MARGIN, face.h * MARGIN);
    let wide = Rect::new(face.x - dx, face.y - dy, face.w + 2.0 * dx, face.h + 2.0 * dy);
    let seen = wide.clipped(width as f32, height as f32)?;
    let (x, y) = (seen.x as usize / step * step, seen.y as usize / step * step);
    let end = |v: f32, limit: usize| (v.ceil() as usize).next_multiple_of(step).min(limit);
    let (right, bottom) = (end(seen.x + seen.w, width), end(seen.y + seen.h, height));
    (right > x && bottom > y).then(|| Area { x, y, w: right - x, h: bottom - y })
}

fn contains(a: &Area, b: &Area) -> bool {
    a.x <= b.x && a.y <= b.y && a.x + a.w >= b.x + b.w && a.y + a.h >= b.y + b.h
}

/// Multiple of pixels that every chroma sample of the format covers, in both directions; twice
/// the subsampling, because interlaced lines pair up over four.
pub(super) fn step(info: &VideoFormatInfo) -> usize {
    let subsampling = info.w_sub().iter().chain(info.h_sub()).copied().max().unwrap_or(0);
    2 << subsampling
}

/// Hides the areas.
pub(super) fn apply(
    frame: &mut VideoFrameRef<&mut gst::BufferRef>,
    areas: &[Area],
    how: Anonymize,
) {
    let info = frame.info().clone();
    let lines = Lines::new(&info, frame.plane_stride());
    let black = black(&info);
    for area in areas {
        let mut block =
            Block { w: area.w, h: area.h, samples: Vec::with_capacity(area.w * area.h * 4) };
        let mut line = lines.empty();
        for y in area.y..area.y + area.h {
            lines.read(&frame.planes_data(), y, &mut line);
            lines.samples(&line, area.x, area.w, &mut block.samples);
        }
        let size = area.w.max(area.h).div_ceil(BLOCKS).max(4);
        match how {
            Anonymize::None => return,
            Anonymize::Pixelate => block.pixelate(size),
            Anonymize::Blur => {
                block.pixelate(size);
                block.blur(size);
            }
            Anonymize::Box => block.fill(black),
        }
        for (row, y) in (area.y..area.y + area.h).enumerate() {
            lines.read(&frame.planes_data(), y, &mut line);
            lines.put(&mut line, area.x, &block.samples[row * area.w * 4..][..area.w * 4]);
            lines.write(&mut frame.planes_data_mut(), y, &line);
        }
    }
}

/// Components (alpha, then colour) of black, for samples of 16 bits.
fn black(info: &gst_video::VideoInfo) -> [u16; 4] {
    let format = info.format_info();
    if format.is_rgb() {
        return [0; 4];
    }
    let full = info.colorimetry().range() == gst_video::VideoColorRange::Range0_255;
    [0, if full { 0 } else { 16 << 8 }, 128 << 8, 128 << 8]
}

/// Takes lines out of a picture and puts them back, as A-Y-U-V or A-R-G-B.
struct Lines<'a> {
    info: &'a gst_video::VideoInfo,
    strides: Vec<i32>,
    /// Vertical subsampling of each plane, as a shift.
    shifts: Vec<u32>,
    /// Bytes of a sample of an unpacked line, 1 or 2.
    bytes: usize,
}

impl<'a> Lines<'a> {
    fn new(info: &'a gst_video::VideoInfo, strides: &[i32]) -> Self {
        let format = info.format_info();
        let shift = |plane: u32| {
            let component = format.plane().iter().position(|p| *p == plane);
            component.and_then(|c| format.h_sub().get(c).copied()).unwrap_or(0)
        };
        let unpacked = VideoFormatInfo::from_format(format.unpack_format());
        Self {
            info,
            strides: strides.to_vec(),
            shifts: (0..format.n_planes()).map(shift).collect(),
            bytes: unpacked.pixel_stride()[0] as usize / 4,
        }
    }

    fn empty(&self) -> Vec<u8> {
        // Formats that pack several pixels into one word write whole words.
        vec![0; (self.info.width() as usize + 16) * 4 * self.bytes]
    }

    /// Where line `y` begins in a plane. Lines are handed to GStreamer as the first of a picture:
    /// every line then comes with the chroma that belongs to it.
    fn start(&self, plane: usize, y: usize) -> usize {
        (y >> self.shifts[plane]) * self.strides[plane] as usize
    }

    fn read(&self, planes: &[&[u8]; 4], y: usize, line: &mut [u8]) {
        let used = &planes[..self.strides.len()];
        let source: Vec<_> = used.iter().enumerate().map(|(i, p)| &p[self.start(i, y)..]).collect();
        let width = self.info.width() as i32;
        self.info.format_info().unpack(
            VideoPackFlags::empty(),
            line,
            &source,
            &self.strides,
            0,
            0,
            width,
        );
    }

    fn write(&self, planes: &mut [&mut [u8]; 4], y: usize, line: &[u8]) {
        let used = planes.iter_mut().take(self.strides.len());
        let mut target: Vec<_> =
            used.enumerate().map(|(i, p)| &mut p[self.start(i, y)..]).collect();
        let (width, site) = (self.info.width() as i32, self.info.chroma_site());
        self.info.format_info().pack(
            VideoPackFlags::empty(),
            line,
            line.len() as i32,
            &mut target,
            &self.strides,
            site,
            0,
            width,
        );
    }

    /// Appends `w` pixels of a line as samples of 16 bits.
    fn samples(&self, line: &[u8], x: usize, w: usize, out: &mut Vec<u16>) {
        let part = &line[x * 4 * self.bytes..][..w * 4 * self.bytes];
        if self.bytes == 1 {
            out.extend(part.iter().map(|v| u16::from(*v) << 8));
        } else {
            out.extend(part.chunks_exact(2).map(|v| u16::from_ne_bytes([v[0], v[1]])));
        }
    }

    /// Puts samples back, all but alpha.
    fn put(&self, line: &mut [u8], x: usize, samples: &[u16]) {
        let part = &mut line[x * 4 * self.bytes..][..samples.len() * self.bytes];
        for (i, (to, sample)) in part.chunks_exact_mut(self.bytes).zip(samples).enumerate() {
            match to {
                _ if i % 4 == 0 => (),
                [byte] => *byte = (sample >> 8) as u8,
                word => word.copy_from_slice(&sample.to_ne_bytes()),
            }
        }
    }
}

/// Pixels of four samples each.
struct Block {
    w: usize,
    h: usize,
    samples: Vec<u16>,
}

impl Block {
    fn fill(&mut self, colour: [u16; 4]) {
        for pixel in self.samples.chunks_exact_mut(4) {
            pixel.copy_from_slice(&colour);
        }
    }

    /// Replaces squares of `size` pixels by their mean.
    fn pixelate(&mut self, size: usize) {
        for y in (0..self.h).step_by(size) {
            let bottom = (y + size).min(self.h);
            for x in (0..self.w).step_by(size) {
                let right = (x + size).min(self.w);
                let mut sums = [0u64; 4];
                for row in y..bottom {
                    for pixel in self.samples[(row * self.w + x) * 4..(row * self.w + right) * 4]
                        .chunks_exact(4)
                    {
                        for (sum, v) in sums.iter_mut().zip(pixel) {
                            *sum += u64::from(*v);
                        }
                    }
                }
                let count = ((bottom - y) * (right - x)) as u64;
                let mean = sums.map(|sum| (sum / count) as u16);
                for row in y..bottom {
                    for pixel in self.samples[(row * self.w + x) * 4..(row * self.w + right) * 4]
                        .chunks_exact_mut(4)
                    {
                        pixel.copy_from_slice(&mean);
                    }
                }
            }
        }
    }

    /// Three running means of `size` pixels in each direction: close to a Gaussian.
    fn blur(&mut self, size: usize) {
        let radius = size / 2;
        let mut line = Vec::new();
        for _ in 0..3 {
            for y in 0..self.h {
                for c in 0..4 {
                    mean(&mut self.samples, y * self.w * 4 + c, 4, self.w, radius, &mut line);
                }
            }
            for x in 0..self.w {
                for c in 0..4 {
                    mean(&mut self.samples, x * 4 + c, self.w * 4, self.h, radius, &mut line);
                }
            }
        }
    }
}

/// Running mean over `2 * radius + 1` of `count` samples that lie `stride` apart; what would be
/// outside repeats the outermost sample.
fn mean(
    samples: &mut [u16],
    start: usize,
    stride: usize,
    count: usize,
    radius: usize,
    line: &mut Vec<u16>,
) {
    line.clear();
    line.extend((0..count).map(|i| samples[start + i * stride]));
    let at = |i: isize| u32::from(line[i.clamp(0, count as isize - 1) as usize]);
    let r = radius as isize;
    let mut sum: u32 = (-r..=r).map(at).sum();
    let width = 2 * radius as u32 + 1;
    for i in 0..count {
        samples[start + i * stride] = (sum / width) as u16;
        let i = i as isize;
        sum = sum + at(i + r + 1) - at(i - r);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_have_a_margin_and_end_on_whole_chroma_samples() {
        let found = areas(&[Rect::new(41.0, 41.0, 20.0, 20.0)], 101, 75, 4);
        assert_eq!(found, [Area { x: 36, y: 36, w: 28, h: 28 }]);
        let found = areas(&[Rect::new(90.0, 70.0, 50.0, 50.0)], 101, 75, 4);
        assert_eq!(found, [Area { x: 80, y: 60, w: 21, h: 15 }], "up to an odd edge");
    }

    #[test]
    fn odd_boxes_are_nothing_or_bounded() {
        assert_eq!(areas(&[Rect::new(200.0, 0.0, 10.0, 10.0)], 100, 100, 2), []);
        let huge = Rect::new(0.0, 0.0, u32::MAX as f32, u32::MAX as f32);
        assert_eq!(areas(&[huge], 100, 100, 2), [Area { x: 0, y: 0, w: 100, h: 100 }]);
        let crowd: Vec<_> = (0..500).map(|i| Rect::new(i as f32 / 20.0, 0.0, 60.0, 60.0)).collect();
        assert_eq!(areas(&crowd, 100, 100, 2), [Area { x: 0, y: 0, w: 100, h: 100 }]);
        let same = [Rect::new(10.0, 10.0, 20.0, 20.0); 500];
        assert_eq!(areas(&same, 100, 100, 2).len(), 1);
    }

    #[test]
    fn a_running_mean_by_hand() {
        let mut samples = [0, 0, 9, 0, 3];
        mean(&mut samples, 0, 1, 5, 1, &mut Vec::new());
        assert_eq!(samples, [0, 3, 3, 4, 2]);
    }
}
