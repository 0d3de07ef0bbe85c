// SPDX-License-Identifier: MPL-2.0

//! `dferrecorder`: writes what `dferfilter` recognised into a file.
//!
//! Pictures pass through untouched. A thread of its own does the writing; what is in the file is
//! whole records at any time.
//!
//! ```text
//! gst-launch-1.0 filesrc location=talk.mp4 ! decodebin ! videoconvert ! dferfilter ! \
//!     dferrecorder location=talk.jsonl ! fakesink
//! ```
//! writes one JSON line whenever a face appears, disappears or changes its expression.

mod imp;
mod writer;

use gst::prelude::*;

use crate::records::format;

pub use crate::records::Detail;

glib::wrapper! {
    pub struct DferRecorder(ObjectSubclass<imp::DferRecorder>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// What the file looks like.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferRecorderFormat")]
pub enum Format {
    #[default]
    #[enum_value(name = "JSON lines: one dfer/1 record a line", nick = "jsonl")]
    Jsonl,
    #[enum_value(name = "CSV: one row a record, names in the first row", nick = "csv")]
    Csv,
    #[enum_value(name = "WebVTT: one cue for each stretch of a stable label", nick = "webvtt")]
    Webvtt,
    #[enum_value(name = "SubRip: one cue for each stretch of a stable label", nick = "srt")]
    Srt,
    #[enum_value(name = "ONVIF: metadata stream in XML, one frame for each record", nick = "onvif")]
    Onvif,
    #[enum_value(
        name = "Jitsi: face-landmarks segments of stable labels, one JSON object a line",
        nick = "jitsi"
    )]
    Jitsi,
}

/// What the properties say.
#[derive(Debug, Clone)]
struct Settings {
    location: Option<String>,
    format: Format,
    detail: Detail,
    append: bool,
    onvif_expression: bool,
    aggregate_only: bool,
    min_group: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: None,
            format: Format::default(),
            detail: Detail::default(),
            append: false,
            onvif_expression: false,
            aggregate_only: false,
            min_group: 3,
        }
    }
}

impl Settings {
    /// The writer of the format; says what does not go together.
    fn writer(&self) -> Result<Box<dyn format::Format>, String> {
        use Format::{Csv, Jitsi, Jsonl, Onvif, Srt, Webvtt};
        let nick = nick(self.format);
        if self.aggregate_only {
            let csv = self.format == Csv;
            return match self.format {
                Jsonl | Csv => {
                    Ok(Box::new(format::Aggregate::new(csv, self.detail, self.min_group)))
                }
                _ => Err(format!(
                    "format {nick} cannot hold aggregates; use jsonl or csv, or unset aggregate-only"
                )),
            };
        }
        let writer: Box<dyn format::Format> = match self.format {
            Jsonl => Box::new(format::Jsonl),
            Csv => Box::new(format::Csv),
            Webvtt => Box::new(format::Webvtt::default()),
            Srt => Box::new(format::Srt::default()),
            Onvif => Box::new(format::Onvif::new(self.onvif_expression)),
            Jitsi => Box::new(format::Jitsi::default()),
        };
        if self.append && !writer.can_append() {
            return Err(format!(
                "format {nick} cannot be appended to; unset append, or use jsonl, csv or jitsi"
            ));
        }
        Ok(writer)
    }
}

/// The name of a format as the property takes it.
fn nick(format: Format) -> String {
    let value = format.to_value();
    glib::EnumValue::from_value(&value).map_or(String::new(), |(_, v)| v.nick().to_owned())
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "dferrecorder",
        gst::Rank::NONE,
        DferRecorder::static_type(),
    )
}
