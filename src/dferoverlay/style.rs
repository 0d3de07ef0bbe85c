// SPDX-License-Identifier: MPL-2.0

//! Colours and sizes.

use crate::core::palette;

/// Red, green, blue, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour(pub f64, pub f64, pub f64);

const fn rgb(hex: u32) -> Colour {
    Colour(
        ((hex >> 16) & 255) as f64 / 255.0,
        ((hex >> 8) & 255) as f64 / 255.0,
        (hex & 255) as f64 / 255.0,
    )
}

/// Of everything that is not stable.
pub(super) const GREY: Colour = rgb(0xb4b4b4);

/// The colour of a class: see [`palette::colour`].
pub(super) fn colour(label: &str, index: usize) -> Colour {
    rgb(palette::colour(label, index))
}

/// Sizes in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    /// Em of the title; the rest of a card is in proportion to it.
    pub font: f64,
    /// Stroke of the boxes.
    pub line: f64,
}

impl Sizes {
    /// For a frame of that height. `font` and `line` of 0 mean: by the height, in such a way that
    /// the text is as legible on a small frame as on a large one.
    pub fn new(height: u32, font: f64, line: f64) -> Self {
        let height = f64::from(height);
        let or = |given: f64, automatic: f64| if given > 0.0 { given } else { automatic };
        Self {
            font: or(font, (height * 0.025).max(13.0)).round(),
            line: or(line, (height / 260.0).clamp(2.0, 12.0)).round(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_frame_unless_given() {
        assert_eq!(Sizes::new(360, 0.0, 0.0), Sizes { font: 13.0, line: 2.0 });
        assert_eq!(Sizes::new(2160, 0.0, 0.0), Sizes { font: 54.0, line: 8.0 });
        assert_eq!(Sizes::new(2160, 20.0, 1.0), Sizes { font: 20.0, line: 1.0 });
    }
}
