// SPDX-License-Identifier: MPL-2.0

/// Raw picture formats, as GStreamer names and lays them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    I420,
    /// I420 with the plane of V before that of U.
    Yv12,
    Nv12,
    Nv21,
    Yuy2,
    Uyvy,
    Rgb,
    Bgr,
    Rgba,
    Bgra,
    Rgbx,
    Bgrx,
    Xrgb,
    Argb,
    Xbgr,
    Abgr,
    Gray8,
    /// Ten bits in the low bits of 16, little-endian.
    I42010Le,
    /// Ten bits in the high bits of 16, little-endian.
    P010Le,
}

/// Luma coefficients of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matrix {
    Bt601,
    Bt709,
    /// With constant coefficients ("non-constant luminance").
    Bt2020,
}

/// How a stream's numbers stand for colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colorimetry {
    pub matrix: Matrix,
    /// 0 to 255 instead of 16 to 235. RGB formats are always taken as full range.
    pub full_range: bool,
}

impl Matrix {
    /// Weights of R', G' and B' in luma (ITU-R BT.601, BT.709, BT.2020).
    pub const fn weights(self) -> [f32; 3] {
        match self {
            Self::Bt601 => [0.299, 0.587, 0.114],
            Self::Bt709 => [0.2126, 0.7152, 0.0722],
            Self::Bt2020 => [0.2627, 0.678, 0.0593],
        }
    }
}

/// Where the bytes of one pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Y, U, V each in the plane of that number; bytes of a sample.
    Planar {
        u: usize,
        v: usize,
        bytes: usize,
    },
    /// Y in plane 0, pairs of U and V in plane 1; index of U in the pair; bytes of a sample.
    SemiPlanar {
        u: usize,
        bytes: usize,
    },
    /// Two pixels in four bytes; the byte of the first Y; U and V take the other two.
    Packed {
        y: usize,
    },
    /// R, G and B at these bytes of a pixel of `step` bytes.
    Rgb {
        at: [usize; 3],
        step: usize,
    },
    Gray,
}

impl PixelFormat {
    pub const ALL: [Self; 19] = [
        Self::I420,
        Self::Yv12,
        Self::Nv12,
        Self::Nv21,
        Self::Yuy2,
        Self::Uyvy,
        Self::Rgb,
        Self::Bgr,
        Self::Rgba,
        Self::Bgra,
        Self::Rgbx,
        Self::Bgrx,
        Self::Xrgb,
        Self::Argb,
        Self::Xbgr,
        Self::Abgr,
        Self::Gray8,
        Self::I42010Le,
        Self::P010Le,
    ];

    /// The name GStreamer has for it in caps.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::I420 => "I420",
            Self::Yv12 => "YV12",
            Self::Nv12 => "NV12",
            Self::Nv21 => "NV21",
            Self::Yuy2 => "YUY2",
            Self::Uyvy => "UYVY",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Rgba => "RGBA",
            Self::Bgra => "BGRA",
            Self::Rgbx => "RGBx",
            Self::Bgrx => "BGRx",
            Self::Xrgb => "xRGB",
            Self::Argb => "ARGB",
            Self::Xbgr => "xBGR",
            Self::Abgr => "ABGR",
            Self::Gray8 => "GRAY8",
            Self::I42010Le => "I420_10LE",
            Self::P010Le => "P010_10LE",
        }
    }

    /// The format of that name in caps.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == name)
    }

    pub(super) const fn layout(self) -> Layout {
        match self {
            Self::I420 => Layout::Planar { u: 1, v: 2, bytes: 1 },
            Self::Yv12 => Layout::Planar { u: 2, v: 1, bytes: 1 },
            Self::I42010Le => Layout::Planar { u: 1, v: 2, bytes: 2 },
            Self::Nv12 => Layout::SemiPlanar { u: 0, bytes: 1 },
            Self::Nv21 => Layout::SemiPlanar { u: 1, bytes: 1 },
            Self::P010Le => Layout::SemiPlanar { u: 0, bytes: 2 },
            Self::Yuy2 => Layout::Packed { y: 0 },
            Self::Uyvy => Layout::Packed { y: 1 },
            Self::Rgb => Layout::Rgb { at: [0, 1, 2], step: 3 },
            Self::Bgr => Layout::Rgb { at: [2, 1, 0], step: 3 },
            Self::Rgba | Self::Rgbx => Layout::Rgb { at: [0, 1, 2], step: 4 },
            Self::Bgra | Self::Bgrx => Layout::Rgb { at: [2, 1, 0], step: 4 },
            Self::Argb | Self::Xrgb => Layout::Rgb { at: [1, 2, 3], step: 4 },
            Self::Abgr | Self::Xbgr => Layout::Rgb { at: [3, 2, 1], step: 4 },
            Self::Gray8 => Layout::Gray,
        }
    }

    /// Planes a frame of this format has.
    pub const fn planes(self) -> usize {
        match self.layout() {
            Layout::Planar { .. } => 3,
            Layout::SemiPlanar { .. } => 2,
            Layout::Packed { .. } | Layout::Rgb { .. } | Layout::Gray => 1,
        }
    }

    /// Bytes of one row, without padding, and number of rows of plane `plane`.
    pub const fn plane_size(self, plane: usize, width: usize, height: usize) -> (usize, usize) {
        let (half_w, half_h) = (width.div_ceil(2), height.div_ceil(2));
        match (self.layout(), plane) {
            (Layout::Planar { bytes, .. } | Layout::SemiPlanar { bytes, .. }, 0) => {
                (width * bytes, height)
            }
            (Layout::Planar { bytes, .. }, _) => (half_w * bytes, half_h),
            (Layout::SemiPlanar { bytes, .. }, _) => (half_w * bytes * 2, half_h),
            (Layout::Packed { .. }, _) => (half_w * 4, height),
            (Layout::Rgb { step, .. }, _) => (width * step, height),
            (Layout::Gray, _) => (width, height),
        }
    }
}
