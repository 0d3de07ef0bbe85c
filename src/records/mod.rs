// SPDX-License-Identifier: MPL-2.0

//! From results on buffers to records in the formats that other people's tools read: what
//! `dferrecorder` writes into a file and `dferextractor` sends as a stream.

pub(crate) mod clock;
pub(crate) mod format;
mod reporter;
mod selection;

pub(crate) use reporter::Reporter;
pub(crate) use selection::Selected;

use crate::core::record::Record;
use crate::core::types::Ns;

/// When a record is written. Formats of stable stretches (WebVTT, SubRip, Jitsi) do not look at it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferDetail")]
pub enum Detail {
    #[default]
    #[enum_value(
        name = "Changes: when a face comes, goes, or changes its label or status",
        nick = "changes"
    )]
    Changes,
    #[enum_value(
        name = "Decisions: changes, and every decision of the network",
        nick = "decisions"
    )]
    Decisions,
    #[enum_value(
        name = "Frames: every face of every frame, and every frame without a face",
        nick = "frames"
    )]
    Frames,
}

/// One analysed frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub selected: Selected,
    /// The frame itself, as a record without a face.
    pub head: Record,
    /// Running time, or the time stamp where there is none; `None` for frames without time.
    pub now: Option<Ns>,
    /// Length of the frame; 0 where it is not known.
    pub duration: Ns,
    /// Nanoseconds since 1970, where the pipeline knows them.
    pub unix: Option<i128>,
}
