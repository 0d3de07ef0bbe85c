// SPDX-License-Identifier: MPL-2.0

use super::component::{Component, Store};
use super::format::{Colorimetry, Layout, PixelFormat};
use super::resample::{self, Finish, Request};
use super::{Affine, Channels, Outside, Picture};
use crate::core::error::Error;
use crate::core::types::Rect;

/// Memory of one plane of a frame, from its first pixel on.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    pub data: &'a [u8],
    /// Bytes from row to row, padding included.
    pub stride: usize,
}

/// A frame in somebody else's memory. Places in it and its size count square pixels: they are the
/// pixels in memory unless [`Self::with_pixel_aspect`] says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    format: PixelFormat,
    width: usize,
    height: usize,
    /// Width of a pixel in memory, in square pixels.
    stretch: f32,
    planes: [Plane<'a>; 3],
    colorimetry: Colorimetry,
}

/// Sides beyond this are refused; GStreamer itself ends at 32767.
const MAX_SIDE: usize = 32_768;

impl<'a> FrameView<'a> {
    /// `planes` in GStreamer's order (for YV12: Y, V, U). Chroma of odd sizes is rounded up. Fails
    /// when a plane is missing or too short for its rows; padding after the last row is not needed.
    pub fn new(
        format: PixelFormat,
        width: usize,
        height: usize,
        planes: &[Plane<'a>],
        colorimetry: Colorimetry,
    ) -> Result<Self, Error> {
        let name = format.as_str();
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(Error::Picture(format!(
                "{width}x{height} is no size for a {name} frame: 1 to {MAX_SIDE} pixels a side"
            )));
        }
        if planes.len() != format.planes() {
            return Err(Error::Picture(format!(
                "a {name} frame has {} planes, not {}",
                format.planes(),
                planes.len()
            )));
        }
        for (i, plane) in planes.iter().enumerate() {
            let (row, rows) = format.plane_size(i, width, height);
            if plane.stride < row {
                return Err(Error::Picture(format!(
                    "plane {i} of a {width}x{height} {name} frame has rows of {row} bytes, but a stride of {}",
                    plane.stride
                )));
            }
            let want = plane.stride.checked_mul(rows - 1).and_then(|n| n.checked_add(row));
            if want.is_none_or(|n| plane.data.len() < n) {
                return Err(Error::Picture(format!(
                    "plane {i} of a {width}x{height} {name} frame with a stride of {} has only {} bytes",
                    plane.stride,
                    plane.data.len()
                )));
            }
        }
        let mut all = [Plane { data: &[], stride: 0 }; 3];
        all[..planes.len()].copy_from_slice(planes);
        Ok(Self { format, width, height, stretch: 1.0, planes: all, colorimetry })
    }

    /// Pixels in memory are `aspect` times as wide as high (anamorphic video: 64/45 in wide PAL).
    /// Beyond 1:8 and 8:1 it is no aspect that any camera has, and they count as square.
    #[must_use]
    pub fn with_pixel_aspect(mut self, aspect: f32) -> Self {
        if (0.125..=8.0).contains(&aspect) {
            let width = (self.width as f32 * aspect).round().max(1.0);
            self.stretch = width / self.width as f32;
        }
        self
    }

    /// A place in square pixels, in those of the memory.
    pub fn to_memory(&self, rect: &Rect) -> Rect {
        Rect::new(rect.x / self.stretch, rect.y, rect.w / self.stretch, rect.h)
    }

    /// A place in pixels of the memory, in square ones.
    pub fn from_memory(&self, rect: &Rect) -> Rect {
        Rect::new(rect.x * self.stretch, rect.y, rect.w * self.stretch, rect.h)
    }

    pub fn width(&self) -> usize {
        (self.width as f32 * self.stretch).round() as usize
    }

    pub fn height(&self) -> usize {
        self.height
    }

    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// A picture of `width` x `height` pixels: the pixel (u, v), whose centre is
    /// (u + 0.5, v + 0.5), shows the frame at the place `map` takes that centre to. Bilinear where
    /// the frame is enlarged, the average over the pixel's footprint where it is shrunk. All mid
    /// grey when `map` is not finite.
    pub fn sample(
        &self,
        map: &Affine,
        width: usize,
        height: usize,
        channels: Channels,
        outside: Outside,
    ) -> Picture {
        let (xx, xy, tx) = (map.xx / self.stretch, map.xy / self.stretch, map.tx / self.stretch);
        let request =
            Request { map: Affine { xx, xy, tx, ..*map }, width, height, channels, outside };
        let luma = Finish::level(self.full_range_gain(), self.colorimetry.full_range);
        match (self.format.layout(), channels) {
            (Layout::Gray, _) => resample::run(&[self.luma()], &request, &luma),
            (Layout::Rgb { .. }, Channels::Gray) => {
                resample::run(&[self.luma()], &request, &Finish::LEVEL)
            }
            (_, Channels::Gray) => resample::run(&[self.luma()], &request, &luma),
            (Layout::Rgb { at, step }, Channels::Rgb) => {
                let parts = at.map(|offset| Component { offset, step, ..self.full(0) });
                resample::run(&parts, &request, &Finish::Rgb)
            }
            (_, Channels::Rgb) => {
                let [u, v] = self.chroma();
                let yuv = Finish::yuv(self.colorimetry, self.full_range_gain());
                resample::run(&[self.luma(), u, v], &request, &yuv)
            }
        }
    }

    /// Luma (0 to 255, full range) at `columns` x `rows` single pixels spread evenly.
    pub fn luma_grid(&self, columns: usize, rows: usize) -> Vec<f32> {
        let luma = self.luma();
        let finish = match self.format.layout() {
            Layout::Rgb { .. } => Finish::LEVEL,
            _ => Finish::level(self.full_range_gain(), self.colorimetry.full_range),
        };
        let mut grid = Vec::with_capacity(columns * rows);
        for row in 0..rows {
            let y = (2 * row + 1) * self.height / (2 * rows);
            for column in 0..columns {
                let x = (2 * column + 1) * self.width / (2 * columns);
                let mut value = [0.0];
                luma.load(y, x, &mut value);
                grid.push(finish.level_of(value[0]));
            }
        }
        grid
    }

    /// Full-range samples of ten bits end at 1023, which is 255.75 on our scale of 8 bits.
    fn full_range_gain(&self) -> f32 {
        match self.format.layout() {
            Layout::Planar { bytes: 2, .. } | Layout::SemiPlanar { bytes: 2, .. } => 255.0 / 255.75,
            _ => 1.0,
        }
    }

    /// Bytes of a plane at full resolution.
    fn full(&self, plane: usize) -> Component<'a> {
        Component::bytes(
            self.planes[plane].data,
            self.planes[plane].stride,
            self.width,
            self.height,
        )
    }

    /// Luma; full range for RGB formats, as stored for the others.
    fn luma(&self) -> Component<'a> {
        let full = self.full(0);
        match self.format.layout() {
            Layout::Planar { bytes: 2, .. } => Component { step: 2, store: Store::Low10, ..full },
            Layout::SemiPlanar { bytes: 2, .. } => {
                Component { step: 2, store: Store::High10, ..full }
            }
            Layout::Planar { .. } | Layout::SemiPlanar { .. } | Layout::Gray => full,
            Layout::Packed { y } => Component { step: 2, offset: y, ..full },
            Layout::Rgb { at, step } => {
                Component { step, ..full }.luma_of(at, self.colorimetry.matrix)
            }
        }
    }

    /// U and V; of formats that have none, luma twice.
    fn chroma(&self) -> [Component<'a>; 2] {
        let half = |plane: usize, step: usize, offset: usize, store: Store| Component {
            step,
            offset,
            store,
            width: self.width.div_ceil(2),
            height: self.height.div_ceil(2),
            pitch: (2.0, 2.0),
            ..self.full(plane)
        };
        match self.format.layout() {
            Layout::Planar { u, v, bytes: 1 } => [u, v].map(|plane| half(plane, 1, 0, Store::Byte)),
            Layout::Planar { u, v, .. } => [u, v].map(|plane| half(plane, 2, 0, Store::Low10)),
            Layout::SemiPlanar { u, bytes: 1 } => [u, 1 - u].map(|at| half(1, 2, at, Store::Byte)),
            Layout::SemiPlanar { u, .. } => [u, 1 - u].map(|at| half(1, 4, 2 * at, Store::High10)),
            Layout::Packed { y } => [1 - y, 3 - y].map(|at| Component {
                height: self.height,
                pitch: (2.0, 1.0),
                ..half(0, 4, at, Store::Byte)
            }),
            Layout::Rgb { .. } | Layout::Gray => [self.luma(); 2],
        }
    }
}
