// SPDX-License-Identifier: MPL-2.0

//! Pixels: frames as they come, and the small pictures that networks are given.
//!
//! A frame is never converted as a whole: [`FrameView::sample`] reads the part an [`Affine`] asks
//! for, component by component, and converts the few pixels that come out of it.

mod affine;
mod component;
mod format;
mod frame;
mod quality;
mod resample;

pub use affine::Affine;
pub use format::{Colorimetry, Matrix, PixelFormat};
pub use frame::{FrameView, Plane};
pub use quality::Quality;

use self::component::Component;
use self::resample::{Finish, Request};
use super::error::Error;

/// Colour planes of a [`Picture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channels {
    /// Luma, full range.
    Gray,
    /// R'G'B', full range, interleaved.
    Rgb,
}

impl Channels {
    pub const fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

/// What lies outside a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outside {
    /// The nearest pixel of the picture's edge.
    Edge,
    /// Mid grey, 127 in every channel.
    Gray,
}

/// The value of [`Outside::Gray`].
pub const MID_GRAY: u8 = 127;

/// A small picture of our own: rows without padding, channels interleaved, 0 to 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub channels: Channels,
    pub width: usize,
    pub height: usize,
    /// `width * height * channels.count()` bytes.
    pub data: Vec<u8>,
}

impl Picture {
    /// Fails when `data` has not the size that the rest promises.
    pub fn new(
        channels: Channels,
        width: usize,
        height: usize,
        data: Vec<u8>,
    ) -> Result<Self, Error> {
        let want = width * height * channels.count();
        if data.len() != want {
            return Err(Error::Picture(format!(
                "{width}x{height} {channels:?} takes {want} bytes, not {}",
                data.len()
            )));
        }
        Ok(Self { channels, width, height, data })
    }

    /// One value everywhere.
    pub fn filled(channels: Channels, width: usize, height: usize, value: u8) -> Self {
        Self { channels, width, height, data: vec![value; width * height * channels.count()] }
    }

    /// See [`FrameView::sample`]. Luma of an RGB picture is that of BT.601, as in JPEG files.
    pub fn sample(
        &self,
        map: &Affine,
        width: usize,
        height: usize,
        channels: Channels,
        outside: Outside,
    ) -> Self {
        let request = Request { map: *map, width, height, channels, outside };
        if self.width == 0
            || self.height == 0
            || self.data.len() != self.width * self.height * self.channels.count()
        {
            return Self::filled(channels, width, height, MID_GRAY);
        }
        let part = |offset| Component {
            offset,
            step: self.channels.count(),
            ..Component::bytes(
                &self.data,
                self.width * self.channels.count(),
                self.width,
                self.height,
            )
        };
        match (self.channels, channels) {
            (Channels::Gray, _) => resample::run(&[part(0)], &request, &Finish::LEVEL),
            (Channels::Rgb, Channels::Gray) => {
                let luma = part(0).luma_of([0, 1, 2], Matrix::Bt601);
                resample::run(&[luma], &request, &Finish::LEVEL)
            }
            (Channels::Rgb, Channels::Rgb) => {
                resample::run(&[part(0), part(1), part(2)], &request, &Finish::Rgb)
            }
        }
    }

    /// Left and right changed places.
    pub fn mirrored(&self) -> Self {
        let mut data = Vec::with_capacity(self.data.len());
        let channels = self.channels.count();
        for row in self.data.chunks_exact((self.width * channels).max(1)) {
            data.extend(row.chunks_exact(channels).rev().flatten());
        }
        Self { data, ..*self }
    }

    /// The same picture as luma.
    pub fn to_gray(&self) -> Self {
        match self.channels {
            Channels::Gray => self.clone(),
            Channels::Rgb => self.sample(
                &Affine::identity(),
                self.width,
                self.height,
                Channels::Gray,
                Outside::Edge,
            ),
        }
    }
}

#[cfg(test)]
mod tests;
