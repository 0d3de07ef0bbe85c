// SPDX-License-Identifier: MPL-2.0

//! From the results on a buffer to records.

use gst::prelude::*;

use super::selection::Selection;
use super::{Detail, Frame, clock};
use crate::core::record::{Record, SCHEMA};
use crate::core::result::{Expression, Status};
use crate::core::types::{Ns, SECOND};
use crate::meta::{self, FrameResults};

/// Reads the buffers of one stream and says what is to be told of them.
#[derive(Debug)]
pub(crate) struct Reporter {
    selection: Selection,
    /// Width and height from the caps, in pixels.
    frame: [u32; 2],
    /// Time from frame to frame by the caps; 0 where they do not say.
    interval: Ns,
    /// Whether running times can be turned into wall-clock time.
    live: bool,
    takes_counts: bool,
    counts: Counts,
}

/// Since the last start.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub buffers: u64,
    /// Buffers with results on them.
    pub analysed: u64,
    /// Buffers with counts in place of faces on them, which were passed over.
    pub refused: u64,
    /// Records chosen.
    pub records: u64,
}

impl Reporter {
    pub fn new(detail: Detail) -> Self {
        Self {
            selection: Selection::new(detail),
            frame: [0, 0],
            interval: 0,
            live: false,
            takes_counts: false,
            counts: Counts::default(),
        }
    }

    /// Whether counts that upstream tells in place of faces can be told on. Where they cannot, they
    /// are passed over: they are no faces, but nor do they say that there are none.
    pub fn taking_counts(self, takes_counts: bool) -> Self {
        Self { takes_counts, ..self }
    }

    /// `live`: what [`clock::is_live`] says of upstream. False for caps without width and height.
    #[must_use]
    pub fn set_caps(&mut self, caps: &gst::CapsRef, live: bool) -> bool {
        let structure = caps.structure(0);
        let side =
            |name| structure.and_then(|s| s.get::<i32>(name).ok()).and_then(|v| v.try_into().ok());
        let (Some(width), Some(height)) = (side("width"), side("height")) else { return false };
        let rate = structure.and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        let rate = rate.map_or((0, 1), |r| (r.numer().max(0) as u64, r.denom().max(0) as u64));
        self.interval = (SECOND * rate.1).checked_div(rate.0).unwrap_or(0);
        self.frame = [width, height];
        self.live = live;
        true
    }

    /// Forgets all faces, as after a seek.
    pub fn reset(&mut self) {
        self.selection.reset();
    }

    /// `None` for a buffer without results. `segment`: that of the buffer; `element`: whose clock
    /// tells the time.
    pub fn frame(
        &mut self,
        buffer: &gst::BufferRef,
        segment: &gst::Segment,
        element: &gst::Element,
    ) -> Option<Frame> {
        self.counts.buffers += 1;
        let results = meta::read(buffer)?;
        if results.counts.is_some() && !self.takes_counts {
            self.counts.refused += 1;
            return None;
        }
        let segment = clock::in_time(segment);
        let running_time = segment.and_then(|s| s.to_running_time(buffer.pts()?));
        let unix = clock::from_meta(buffer)
            .or_else(|| self.live.then(|| clock::from_clock(element, running_time?)).flatten());
        let around = Surroundings {
            frame: self.frame,
            pts: buffer.pts().map(gst::ClockTime::nseconds),
            running_time: running_time.map(gst::ClockTime::nseconds),
            utc: unix.and_then(clock::rfc3339),
        };
        let selected = self.selection.select(&results, &around);
        self.counts.analysed += 1;
        self.counts.records += selected.chosen.len() as u64;
        Some(Frame {
            selected,
            head: no_face(&results, &around, None),
            now: around.running_time.or(around.pts),
            duration: buffer.duration().map_or(self.interval, gst::ClockTime::nseconds),
            unix,
        })
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Says on the bus that there was nothing to tell, or nothing that can be told, where that is so.
    pub fn warn_if_nothing_was_analysed(counts: Counts, element: &impl IsA<gst::Element>) {
        if counts.refused > 0 {
            gst::element_warning!(
                element.upcast_ref::<gst::Element>(),
                gst::StreamError::Failed,
                (
                    "{} buffers had counts in place of faces, so there are no records of them: set aggregate-only \
                     on the recorder too, or not on the filter",
                    counts.refused
                )
            );
        } else if counts.buffers > 0 && counts.analysed == 0 {
            gst::element_warning!(
                element.upcast_ref::<gst::Element>(),
                gst::StreamError::Failed,
                ("no buffer had results on it, so there are no records; put a dferfilter upstream")
            );
        }
    }
}

/// What surrounds the results of one buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// Width and height, in pixels.
    pub frame: [u32; 2],
    pub pts: Option<Ns>,
    pub running_time: Option<Ns>,
    /// RFC 3339.
    pub utc: Option<String>,
}

/// One record for every face.
pub(super) fn records(results: &FrameResults, around: &Surroundings) -> Vec<Record> {
    let of_face = |face: &meta::Face| Record {
        bounds: face.rect.map(|r| [r.x, r.y, r.w, r.h].map(|v| v.round() as i32)),
        ..record(results, around, face.expression.clone())
    };
    results.faces.iter().map(of_face).collect()
}

/// A record without a place: that a face has left (`track_id`), or that there is none at all.
pub(super) fn no_face(
    results: &FrameResults,
    around: &Surroundings,
    track_id: Option<u64>,
) -> Record {
    record(results, around, Expression::new(track_id, Status::NoFace))
}

fn record(results: &FrameResults, around: &Surroundings, expression: Expression) -> Record {
    Record {
        schema: SCHEMA.to_owned(),
        stream: results.stream.clone(),
        seq: results.seq,
        pts: around.pts,
        running_time: around.running_time,
        utc: around.utc.clone(),
        frame: around.frame,
        bounds: None,
        expression,
    }
}
