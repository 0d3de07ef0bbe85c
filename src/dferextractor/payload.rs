// SPDX-License-Identifier: MPL-2.0

//! From frames to what the buffers of `meta_src` hold.

use super::cues::{Cue, Cues};
use super::media::Media;
use super::{Settings, Text, id3, klv};
use crate::core::types::Ns;
use crate::records::Frame;
use crate::records::format::{Format, Jsonl, Onvif, Webvtt, escaped};

/// One buffer to be.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    pub data: Vec<u8>,
    /// How long after the frame it begins.
    pub after: Ns,
    /// How long it holds; 0 where that is not known.
    pub duration: Ns,
}

/// Makes the pieces of one kind of stream.
pub(super) struct Payload {
    kind: Kind,
    /// Whether frames without a piece get an empty one.
    fill: bool,
}

enum Kind {
    /// Each piece stands for itself.
    Documents {
        format: Box<dyn Format>,
        wrap: fn(&str) -> Vec<u8>,
    },
    /// All pieces together are one file.
    File {
        format: Box<dyn Format>,
        begun: bool,
    },
    Cues {
        cues: Cues,
        wrap: fn(&str) -> Vec<u8>,
    },
}

impl Payload {
    pub fn new(media: Media, settings: Settings) -> Self {
        let documents = |format, wrap| Kind::Documents { format, wrap };
        let text = |wrap| match settings.text {
            Text::Labels => Kind::Cues { cues: Cues::new(settings), wrap },
            Text::Records => documents(Box::new(Jsonl), wrap),
        };
        let kind = match media {
            Media::Json => documents(Box::new(Jsonl), |text| text.into()),
            Media::Utf8 => text(|text| text.trim_end().into()),
            Media::Pango => text(|text| escaped(text.trim_end()).into()),
            Media::Webvtt => Kind::File { format: Box::new(Webvtt::default()), begun: false },
            Media::Onvif => {
                documents(Box::new(Onvif::new(settings.onvif_expression)), |text| text.into())
            }
            Media::Klv => documents(Box::new(Jsonl), klv::packet),
            Media::Id3 => documents(Box::new(Jsonl), id3::tag),
        };
        Self { kind, fill: settings.fill && matches!(media, Media::Utf8 | Media::Pango) }
    }

    /// What is to be sent with this frame, if anything.
    pub fn frame(&mut self, frame: &Frame) -> Option<Piece> {
        let duration = frame.duration;
        let mut text = String::new();
        let piece = match &mut self.kind {
            Kind::Documents { format, wrap } => {
                format.frame(frame, &mut text);
                (!text.is_empty()).then(|| {
                    let data = wrap(&(format.header() + &text + format.footer()));
                    Piece { data, after: 0, duration }
                })
            }
            Kind::File { format, begun } => {
                if !std::mem::replace(begun, true) {
                    text = format.header();
                }
                format.frame(frame, &mut text);
                (!text.is_empty()).then(|| Piece { data: text.into(), after: 0, duration })
            }
            Kind::Cues { cues, wrap } => match cues.frame(frame) {
                Cue::New { text, after, duration } => {
                    Some(Piece { data: wrap(&text), after, duration })
                }
                Cue::Holds => return None,
                Cue::Silence => None,
            },
        };
        piece.or_else(|| self.fill.then(|| Piece { data: Vec::new(), after: 0, duration }))
    }

    /// What is still open, at the end of the stream.
    pub fn finish(&mut self) -> Option<Piece> {
        let Kind::File { format, .. } = &mut self.kind else { return None };
        let mut text = String::new();
        format.finish(&mut text);
        text += format.footer();
        (!text.is_empty()).then(|| Piece { data: text.into(), after: 0, duration: 0 })
    }

    /// Drops what is open, as after a seek.
    pub fn reset(&mut self) {
        match &mut self.kind {
            Kind::Documents { .. } => (),
            Kind::File { format, .. } => format.finish(&mut String::new()),
            Kind::Cues { cues, .. } => cues.reset(),
        }
    }
}
