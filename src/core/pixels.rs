// SPDX-License-Identifier: MPL-2.0

//! Pixels: frames as they come, and the small pictures that networks are given.

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

/// A small picture of our own: rows without padding, channels interleaved, 0 to 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub channels: Channels,
    pub width: usize,
    pub height: usize,
    /// `width * height * channels.count()` bytes.
    pub data: Vec<u8>,
}

/// Maps pixel positions of an output picture to positions in its source:
/// x = a·u − b·v + tx, y = b·u + a·v + ty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    pub a: f32,
    pub b: f32,
    pub tx: f32,
    pub ty: f32,
}

impl Picture {
    /// Fails when `data` has not the size that the rest promises.
    pub fn new(channels: Channels, width: usize, height: usize, data: Vec<u8>) -> Result<Self, Error> {
        let want = width * height * channels.count();
        if data.len() != want {
            return Err(Error::Picture(format!(
                "{width}x{height} {channels:?} takes {want} bytes, not {}",
                data.len()
            )));
        }
        Ok(Self { channels, width, height, data })
    }
}
