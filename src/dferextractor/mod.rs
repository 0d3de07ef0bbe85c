// SPDX-License-Identifier: MPL-2.0

//! `dferextractor`: what `dferfilter` recognised as a stream of its own.
//!
//! Pictures leave through `video_src` as they came; the results leave through `meta_src`, each at
//! the time of its picture. What they look like is negotiated:
//!
//! | caps of `meta_src` | a buffer holds | for |
//! |---|---|---|
//! | `application/x-json, format=dfer` | records `dfer/1`, one a line | files, sockets, `appsink` |
//! | `text/x-raw, format=utf8` or `pango-markup` | one cue ([`Text`]) | `matroskamux`, `mp4mux`, `textoverlay` |
//! | `application/x-subtitle-vtt` | a piece of a WebVTT file | `filesink`, `subparse` |
//! | `application/x-onvif-metadata, parsed=true` | one whole XML document | ONVIF payloaders and muxers |
//! | `meta/x-klv, parsed=true` | one KLV packet (SMPTE 336M) | `mpegtsmux`, `rtpklvpay` |
//! | `meta/x-id3, parsed=true` | one ID3v2.4 tag | `mpegtsmux` from GStreamer 1.24 on |
//!
//! JSON has the name that GStreamer's Rust plugins use for it; `format` keeps it from being taken
//! for other JSON (their `cea608`, say). What downstream prefers is taken, and the first of the
//! table where it takes everything. While there is nothing to tell, gap events keep muxers going;
//! `mp4mux`, which does not look at them, needs `fill=true`.
//!
//! ```text
//! gst-launch-1.0 filesrc location=talk.mp4 ! decodebin ! videoconvert ! dferfilter ! \
//!     dferextractor name=x   matroskamux name=mux ! filesink location=talk.mkv \
//!     x.video_src ! queue ! videoconvert ! x264enc ! queue ! mux.   x.meta_src ! queue ! mux.
//! ```
//! writes a film with the expressions as its subtitles.
//!
//! ```text
//! gst-launch-1.0 v4l2src ! videoconvert ! dferfilter ! dferextractor name=x \
//!     x.video_src ! queue ! autovideosink   x.meta_src ! queue ! filesink location=/dev/stdout
//! ```
//! shows the camera and prints a JSON line whenever a face changes its expression.

mod cues;
mod id3;
mod imp;
mod klv;
mod media;
mod payload;
mod stream;

use gst::prelude::*;

use crate::core::types::{Ns, SECOND};

pub use crate::records::Detail;
pub use klv::KEY as KLV_KEY;

glib::wrapper! {
    pub struct DferExtractor(ObjectSubclass<imp::DferExtractor>)
        @extends gst::Element, gst::Object;
}

/// What buffers of plain text (`text/x-raw`) hold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferExtractorText")]
pub enum Text {
    #[default]
    #[enum_value(name = "Labels: the stable labels of all faces, for people", nick = "labels")]
    Labels,
    #[enum_value(
        name = "Records: dfer/1 records in JSON, one a line, for programs",
        nick = "records"
    )]
    Records,
}

/// What the properties say.
#[derive(Debug, Clone, Copy)]
struct Settings {
    detail: Detail,
    text: Text,
    cue_interval: Ns,
    fill: bool,
    onvif_expression: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            detail: Detail::default(),
            text: Text::default(),
            // That of the filter's decisions.
            cue_interval: SECOND / 5,
            fill: false,
            onvif_expression: false,
        }
    }
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "dferextractor",
        gst::Rank::NONE,
        DferExtractor::static_type(),
    )
}
