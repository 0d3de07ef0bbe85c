// SPDX-License-Identifier: MPL-2.0

//! `dferfilter`: recognises the expressions of the faces in a video, over time, on the CPU.
//!
//! Pictures pass through untouched; what was recognised is on the buffers ([`crate::meta`]) and, on
//! a change of a face's stable label, on the bus as `dfer-expression`.
//!
//! ```text
//! gst-launch-1.0 filesrc location=talk.mp4 ! decodebin ! videoconvert ! dferfilter ! \
//!     dferoverlay ! videoconvert ! autovideosink
//! ```
//! shows a video with each face's expression drawn around it.

mod imp;

use gst::prelude::*;

use crate::filter::DferBase;

glib::wrapper! {
    pub struct DferFilter(ObjectSubclass<imp::DferFilter>)
        @extends DferBase, gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "dferfilter", gst::Rank::NONE, DferFilter::static_type())
}
