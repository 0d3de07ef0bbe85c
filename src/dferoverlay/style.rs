// SPDX-License-Identifier: MPL-2.0

//! Colours and sizes.

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

/// Okabe and Ito, "Color Universal Design" (2008): colours that people of all kinds of colour
/// vision can tell apart; their black is left out, as the cards are dark.
const PALETTE: [Colour; 7] = [
    rgb(0xf0e442), // yellow
    rgb(0x0072b2), // blue
    rgb(0x009e73), // bluish green
    rgb(0xd55e00), // vermillion
    rgb(0xe69f00), // orange
    rgb(0xcc79a7), // reddish purple
    rgb(0x56b4e9), // sky blue
];

/// The classes of the built-in network, each with the colour of the same place.
const CLASSES: [&str; 7] = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"];

/// Of everything that is not stable.
pub(super) const GREY: Colour = rgb(0xb4b4b4);

/// The colour of a class; `index` is its place in the model's order, for models with classes of
/// their own.
pub(super) fn colour(label: &str, index: usize) -> Colour {
    PALETTE[CLASSES.iter().position(|c| *c == label).unwrap_or(index) % PALETTE.len()]
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
    fn every_class_has_a_colour_of_its_own() {
        for (i, a) in CLASSES.iter().enumerate() {
            for b in &CLASSES[i + 1..] {
                assert_ne!(colour(a, 0), colour(b, 0), "{a} {b}");
            }
            assert_ne!(colour(a, 0), GREY);
        }
        assert_eq!(colour("bored", 8), PALETTE[1]);
    }

    #[test]
    fn sizes_follow_the_frame_unless_given() {
        assert_eq!(Sizes::new(360, 0.0, 0.0), Sizes { font: 13.0, line: 2.0 });
        assert_eq!(Sizes::new(2160, 0.0, 0.0), Sizes { font: 54.0, line: 8.0 });
        assert_eq!(Sizes::new(2160, 20.0, 1.0), Sizes { font: 20.0, line: 1.0 });
    }
}
