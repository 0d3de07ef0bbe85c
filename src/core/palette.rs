// SPDX-License-Identifier: MPL-2.0

//! Colours of the classes, the same wherever results are shown.

/// Okabe and Ito, "Color Universal Design" (2008): colours that people of all kinds of colour
/// vision can tell apart, as 0xRRGGBB; without their black, as overlays are dark.
pub const PALETTE: [u32; 7] = [
    0xf0e442, // yellow
    0x0072b2, // blue
    0x009e73, // bluish green
    0xd55e00, // vermillion
    0xe69f00, // orange
    0xcc79a7, // reddish purple
    0x56b4e9, // sky blue
];

/// The classes of the built-in network, each with the colour of the same place.
const CLASSES: [&str; 7] = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"];

/// The colour of a class, 0xRRGGBB; `index` is its place in the model's order, for models with
/// classes of their own.
pub fn colour(label: &str, index: usize) -> u32 {
    PALETTE[CLASSES.iter().position(|c| *c == label).unwrap_or(index) % PALETTE.len()]
}

/// Whether white text on this colour has more contrast than black text (relative luminance, WCAG 2).
pub fn is_dark(colour: u32) -> bool {
    let part = |shift: u32| {
        let c = f64::from((colour >> shift) & 255) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0);
    1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05
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
        }
        assert_eq!(colour("bored", 8), PALETTE[1]);
    }

    #[test]
    fn text_stands_out() {
        let dark: Vec<u32> = PALETTE.into_iter().filter(|c| is_dark(*c)).collect();
        assert_eq!(dark, [0x0072b2]);
        assert!(is_dark(0) && !is_dark(0xffffff));
    }
}
