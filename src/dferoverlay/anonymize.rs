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
    let unpacked = VideoFormatInfo::from_format(info.format_info().unpack_format());
    for area in areas {
        if unpacked.pixel_stride()[0] == 4 {
            hide::<1>(frame, &lines, area, how);
        } else {
            hide::<2>(frame, &lines, area, how);
        }
    }
}

/// Hides one area; `B` is the number of bytes of an unpacked sample.
fn hide<const B: usize>(
    frame: &mut VideoFrameRef<&mut gst::BufferRef>,
    lines: &Lines<'_>,
    area: &Area,
    how: Anonymize,
) {
    // Formats that pack several pixels into one word write whole words.
    let length = (lines.info.width() as usize + 16) * 4 * B;
    let mut rows = vec![0; length * area.h];
    for (row, y) in rows.chunks_exact_mut(length).zip(area.y..) {
        lines.read(&frame.planes_data(), y, row);
    }
    let part = area.x * 4 * B..(area.x + area.w) * 4 * B;
    let grid = match how {
        Anonymize::None => return,
        Anonymize::Box => Grid::of_one(black(lines.info)),
        Anonymize::Blur | Anonymize::Pixelate => {
            let size = area.w.max(area.h).div_ceil(BLOCKS).max(4);
            Grid::means::<B>(rows.chunks_exact(length).map(|row| &row[part.clone()]), area, size)
        }
    };
    for (i, row) in rows.chunks_exact_mut(length).enumerate() {
        grid.paint::<B>(&mut row[part.clone()], i, how == Anonymize::Blur);
    }
    for (row, y) in rows.chunks_exact(length).zip(area.y..) {
        lines.write(&mut frame.planes_data_mut(), y, row);
    }
}

/// Components (alpha, then colour) of black, for samples of 16 bits.
fn black(info: &gst_video::VideoInfo) -> [u32; 4] {
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
}

impl<'a> Lines<'a> {
    fn new(info: &'a gst_video::VideoInfo, strides: &[i32]) -> Self {
        let format = info.format_info();
        let shift = |plane: u32| {
            let component = format.plane().iter().position(|p| *p == plane);
            component.and_then(|c| format.h_sub().get(c).copied()).unwrap_or(0)
        };
        Self {
            info,
            strides: strides.to_vec(),
            shifts: (0..format.n_planes()).map(shift).collect(),
        }
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
}

/// The means of squares of pixels: all that is kept of a face.
struct Grid {
    /// Side of the squares, in pixels.
    size: usize,
    columns: usize,
    /// Four components of 16 bits each, row by row.
    cells: Vec<[u32; 4]>,
}

impl Grid {
    fn of_one(colour: [u32; 4]) -> Self {
        Self { size: usize::MAX, columns: 1, cells: vec![colour] }
    }

    fn means<'a, const B: usize>(
        rows: impl Iterator<Item = &'a [u8]>,
        area: &Area,
        size: usize,
    ) -> Self {
        let columns = area.w.div_ceil(size);
        let mut cells = vec![[0; 4]; columns * area.h.div_ceil(size)];
        let mut sums = vec![[0u64; 4]; columns];
        for (y, row) in rows.enumerate() {
            for (pixels, sum) in row.chunks(size * 4 * B).zip(&mut sums) {
                for pixel in pixels.chunks_exact(4 * B) {
                    for (c, s) in sum.iter_mut().enumerate() {
                        *s += u64::from(sample::<B>(&pixel[c * B..]));
                    }
                }
            }
            if (y + 1) % size == 0 || y + 1 == area.h {
                let height = y % size + 1;
                for (column, sum) in sums.iter_mut().enumerate() {
                    let count = (height * size.min(area.w - column * size)) as u64;
                    cells[y / size * columns + column] = sum.map(|s| (s / count) as u32);
                    *sum = [0; 4];
                }
            }
        }
        Self { size, columns, cells }
    }

    /// Replaces the colour, but not alpha, of the pixels of row `y`: by the mean of their square,
    /// or with soft passages between the centres of the squares.
    fn paint<const B: usize>(&self, row: &mut [u8], y: usize, soft: bool) {
        let rows = self.cells.len() / self.columns;
        let line = |row: usize| &self.cells[row * self.columns..][..self.columns];
        let (above, below, weight) =
            if soft { self.between(y, rows) } else { (y / self.size, y / self.size, 0) };
        let colours: Vec<[u32; 4]> =
            line(above).iter().zip(line(below)).map(|(a, b)| mixed(a, b, weight)).collect();
        for (x, pixel) in row.chunks_exact_mut(4 * B).enumerate() {
            let colour = if soft {
                let (left, right, weight) = self.between(x, self.columns);
                mixed(&colours[left], &colours[right], weight)
            } else {
                colours[x / self.size]
            };
            for c in 1..4 {
                put::<B>(&mut pixel[c * B..], colour[c]);
            }
        }
    }

    /// The squares around a position and the weight, of 256, of the second.
    fn between(&self, position: usize, count: usize) -> (usize, usize, u32) {
        let shifted = (2 * position + 1).saturating_sub(self.size);
        let (first, rest) = (shifted / (2 * self.size), shifted % (2 * self.size));
        let last = count - 1;
        (first.min(last), (first + 1).min(last), (rest * 256 / (2 * self.size)) as u32)
    }
}

fn mixed(a: &[u32; 4], b: &[u32; 4], weight: u32) -> [u32; 4] {
    std::array::from_fn(|c| (a[c] * (256 - weight) + b[c] * weight) / 256)
}

/// A sample in the machine's byte order, as 16 bits.
fn sample<const B: usize>(bytes: &[u8]) -> u32 {
    match B {
        1 => u32::from(bytes[0]) << 8,
        _ => u32::from(u16::from_ne_bytes([bytes[0], bytes[1]])),
    }
}

fn put<const B: usize>(bytes: &mut [u8], value: u32) {
    match B {
        1 => bytes[0] = (value >> 8) as u8,
        _ => bytes[..2].copy_from_slice(&(value as u16).to_ne_bytes()),
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
    fn means_and_passages_by_hand() {
        // Two rows of five grey pixels in squares of two: the last square is one pixel wide.
        let rows: [Vec<u8>; 2] = [[0, 2, 8, 8, 9], [4, 2, 0, 0, 7]]
            .map(|row| row.iter().flat_map(|v| [255, *v, *v, *v]).collect());
        let area = Area { x: 0, y: 0, w: 5, h: 2 };
        let grid = Grid::means::<1>(rows.iter().map(|r| &r[..]), &area, 2);
        assert_eq!(grid.cells.iter().map(|c| c[1] >> 8).collect::<Vec<_>>(), [2, 4, 8]);
        let painted = |soft| {
            let mut row = rows[0].clone();
            row.chunks_exact_mut(4).for_each(|p| p[0] = 7);
            grid.paint::<1>(&mut row, 0, soft);
            assert!(row.chunks_exact(4).all(|p| p[0] == 7), "alpha stays");
            row.chunks_exact(4).map(|p| p[1]).collect::<Vec<_>>()
        };
        assert_eq!(painted(false), [2, 2, 4, 4, 8]);
        // Centres at 1, 3 and 5, pixels at 0.5, 1.5, ...
        assert_eq!(painted(true), [2, 2, 3, 5, 7]);
    }
}
