// SPDX-License-Identifier: MPL-2.0

//! `dferoverlay`: draws what `dferfilter` recognised, and makes faces unrecognisable on request.
//!
//! A box around every face and a card beside it: track id, label, probability and a bar for the
//! agreement of the clips. Whatever is not stable is grey, dashed, and says so in words. The
//! drawing travels as an overlay composition where downstream takes one and is blended into the
//! picture otherwise; anonymising always changes the picture itself.
//!
//! ```text
//! gst-launch-1.0 v4l2src ! videoconvert ! dferfilter ! dferoverlay ! videoconvert ! autovideosink
//! ```
//! shows the camera's picture with the expressions of the faces in it.

mod anonymize;
mod card;
mod imp;
mod layout;
mod painter;
mod scene;
mod style;

use gst::prelude::*;

glib::wrapper! {
    pub struct DferOverlay(ObjectSubclass<imp::DferOverlay>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// What happens to the pixels of faces.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferOverlayAnonymize")]
pub enum Anonymize {
    #[default]
    #[enum_value(name = "None: faces stay as they are", nick = "none")]
    None,
    #[enum_value(name = "Blur: smooth, without features", nick = "blur")]
    Blur,
    #[enum_value(name = "Pixelate: eight blocks across", nick = "pixelate")]
    Pixelate,
    #[enum_value(name = "Box: black", nick = "box")]
    Box,
}

/// Which faces are drawn.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferOverlayShow")]
pub enum Show {
    #[default]
    #[enum_value(name = "All: every face, grey unless its result is stable", nick = "all")]
    All,
    #[enum_value(name = "Stable: only faces with a stable result", nick = "stable")]
    Stable,
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "dferoverlay", gst::Rank::NONE, DferOverlay::static_type())
}
