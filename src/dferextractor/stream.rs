// SPDX-License-Identifier: MPL-2.0

//! What happens to buffers, events and queries.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::UniqueFlowCombiner;

use super::Settings;
use super::imp::{CAT, DferExtractor};
use super::media::Media;
use super::payload::{Payload, Piece};
use crate::records::{Reporter, clock};

/// Exists from READY to PAUSED and back. Never locked while something is pushed.
pub(super) struct State {
    settings: Settings,
    pub reporter: Reporter,
    segment: gst::Segment,
    /// The segment as `meta_src` has still to be told it, which is after its caps.
    pending: Option<gst::Event>,
    /// What `meta_src` carries, once that is negotiated.
    payload: Option<(Media, Payload)>,
    flows: UniqueFlowCombiner,
    /// Time of the newest frame.
    last: Option<gst::ClockTime>,
    /// Buffers on `meta_src`, and bytes in them.
    pub sent: u64,
    pub bytes: u64,
}

/// What goes out on `meta_src` for one frame.
enum Word {
    Buffer(gst::Buffer),
    Gap(gst::Event),
    Nothing,
}

impl DferExtractor {
    /// What `f` makes of the state.
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> Result<T, gst::FlowError> {
        self.state.lock().unwrap().as_mut().map(f).ok_or(gst::FlowError::Flushing)
    }

    /// The results first, so that whoever gets both has them with the picture.
    pub(super) fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let told = self.tell(&buffer);
        self.with(|state| state.flows.update_pad_flow(&self.meta_src, told))??;
        let shown = self.video_src.push(buffer);
        self.with(|state| state.flows.update_pad_flow(&self.video_src, shown))?
    }

    fn tell(&self, buffer: &gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        if let Err(err) = self.prepare() {
            if err == gst::FlowError::NotNegotiated {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::Negotiation,
                    ("what is linked to meta_src takes none of its formats; \
                         see the caps of that pad in gst-inspect-1.0 dferextractor")
                );
            }
            return Err(err);
        }
        let obj = self.obj();
        let word = self.with(|state| {
            let frame = state.reporter.frame(buffer, &state.segment, obj.upcast_ref());
            state.last = buffer.pts();
            let piece = match (&frame, &mut state.payload) {
                (Some(frame), Some((_, payload))) => payload.frame(frame),
                _ => None,
            };
            match (piece, buffer.pts()) {
                (Some(piece), pts) => Word::Buffer(state.buffer(piece, pts)),
                (None, Some(pts)) if state.segment.format() == gst::Format::Time => {
                    Word::Gap(gst::event::Gap::builder(pts).duration(buffer.duration()).build())
                }
                (None, _) => Word::Nothing,
            }
        })?;
        match word {
            Word::Buffer(buffer) => self.meta_src.push(buffer),
            Word::Gap(event) => {
                self.meta_src.push_event(event);
                // What the newest buffer met still holds, but for a link made since.
                match self.meta_src.last_flow_result() {
                    Err(gst::FlowError::NotLinked) => Ok(gst::FlowSuccess::Ok),
                    other => other,
                }
            }
            Word::Nothing => Ok(gst::FlowSuccess::Ok),
        }
    }

    /// Sees to it that `meta_src` has caps and segment.
    fn prepare(&self) -> Result<(), gst::FlowError> {
        if !self.meta_src.is_linked() {
            return Err(gst::FlowError::NotLinked);
        }
        let known = self.with(|state| state.payload.as_ref().map(|(media, _)| *media))?;
        if self.meta_src.check_reconfigure() || known.is_none() {
            let (media, caps) =
                self.negotiate().inspect_err(|_| self.meta_src.mark_reconfigure())?;
            if known != Some(media) {
                gst::info!(CAT, imp = self, "meta_src carries {caps}");
                self.meta_src.push_event(gst::event::Caps::new(&caps));
                self.with(|state| {
                    state.payload = Some((media, Payload::new(media, state.settings)));
                    // A new reader has to be told of all faces.
                    state.reporter.reset();
                })?;
            }
        }
        if let Some(segment) = self.with(|state| state.pending.take())? {
            self.meta_src.push_event(segment);
        }
        Ok(())
    }

    fn negotiate(&self) -> Result<(Media, gst::Caps), gst::FlowError> {
        let allowed = self.meta_src.peer_query_caps(Some(&Media::all_caps()));
        let Some(media) = Media::preferred(&allowed) else {
            let flushing = self.meta_src.pad_flags().contains(gst::PadFlags::FLUSHING);
            return Err(match flushing {
                true => gst::FlowError::Flushing,
                false => gst::FlowError::NotNegotiated,
            });
        };
        let mut caps = allowed.intersect(&media.caps());
        caps.fixate();
        Ok((media, caps))
    }

    pub(super) fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::StreamStart(start) => self.meta_stream_start(start),
            gst::EventView::Caps(e) => {
                let live = clock::is_live(&self.sink);
                if !self.with(|state| state.reporter.set_caps(e.caps(), live)).unwrap_or(false) {
                    gst::error!(CAT, imp = self, "caps without width and height: {}", e.caps());
                    return false;
                }
            }
            gst::EventView::Segment(e) => {
                let _ = self.with(|state| {
                    state.segment = e.segment().clone();
                    state.pending = Some(event.clone());
                });
                // Early, as muxers want all caps before they begin. A fault comes up again with
                // the first buffer.
                let _ = self.prepare();
            }
            gst::EventView::Eos(_) => {
                self.finish();
                let counts = self.with(|state| state.reporter.counts()).unwrap_or_default();
                Reporter::warn_if_nothing_was_analysed(counts, &*self.obj());
                self.meta_src.push_event(event.clone());
            }
            gst::EventView::SegmentDone(_) => {
                self.finish();
                self.meta_src.push_event(event.clone());
            }
            gst::EventView::FlushStop(_) => {
                let _ = self.with(|state| {
                    state.reporter.reset();
                    state.flows.reset();
                    if let Some((_, payload)) = &mut state.payload {
                        payload.reset();
                    }
                });
                self.meta_src.push_event(event.clone());
            }
            gst::EventView::FlushStart(_)
            | gst::EventView::Gap(_)
            | gst::EventView::StreamGroupDone(_)
            | gst::EventView::InstantRateChange(_) => {
                self.meta_src.push_event(event.clone());
            }
            // Tags, force-key-unit and the like speak of the video.
            _ => (),
        }
        // Where nobody listens nobody refuses.
        self.video_src.push_event(event) || !self.video_src.is_linked()
    }

    /// Begins the stream of the results.
    fn meta_stream_start(&self, of_video: &gst::event::StreamStart) {
        let id = self.meta_src.create_stream_id(&*self.obj(), Some("meta"));
        let mut start = gst::event::StreamStart::builder(&id)
            .flags(of_video.stream_flags() | gst::StreamFlags::SPARSE)
            .seqnum(of_video.seqnum());
        if let Some(group) = of_video.group_id() {
            start = start.group_id(group);
        }
        self.meta_src.push_event(start.build());
    }

    /// Sends what is still open.
    fn finish(&self) {
        if self.prepare().is_err() {
            return;
        }
        let buffer = self.with(|state| {
            let piece = state.payload.as_mut().and_then(|(_, payload)| payload.finish())?;
            // Not its end: a sink drops what begins where the segment ends.
            let last = state.last;
            Some(state.buffer(piece, last))
        });
        if let Ok(Some(buffer)) = buffer
            && let Err(err) = self.meta_src.push(buffer)
        {
            gst::debug!(CAT, imp = self, "the last buffer was not taken: {err}");
        }
    }

    pub(super) fn meta_src_event(&self, event: gst::Event) -> bool {
        match event.view() {
            // Neither late results nor other caps for them are upstream's business.
            gst::EventView::Qos(_) | gst::EventView::Reconfigure(_) => true,
            _ => gst::Pad::event_default(&self.meta_src, Some(&*self.obj()), event),
        }
    }

    /// Upstream negotiates with what is behind `video_src` alone.
    pub(super) fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(q) => {
                let template = self.sink.pad_template_caps();
                let caps = self.video_src.peer_query_caps(q.filter_owned().as_ref());
                q.set_result(&caps.intersect_with_mode(&template, gst::CapsIntersectMode::First));
                true
            }
            gst::QueryViewMut::Allocation(_) => self.video_src.peer_query(query),
            _ => gst::Pad::query_default(&self.sink, Some(&*self.obj()), query),
        }
    }
}

impl State {
    pub fn new(settings: Settings, video_src: &gst::Pad, meta_src: &gst::Pad) -> Self {
        let mut flows = UniqueFlowCombiner::new();
        flows.add_pad(video_src);
        flows.add_pad(meta_src);
        Self {
            settings,
            reporter: Reporter::new(settings.detail),
            segment: gst::Segment::new(),
            pending: None,
            payload: None,
            flows,
            last: None,
            sent: 0,
            bytes: 0,
        }
    }

    fn buffer(&mut self, piece: Piece, pts: Option<gst::ClockTime>) -> gst::Buffer {
        self.sent += 1;
        self.bytes += piece.data.len() as u64;
        let mut buffer = gst::Buffer::from_slice(piece.data);
        // Cannot fail: nobody else has it yet.
        let b = buffer.get_mut().unwrap();
        b.set_pts(pts.map(|pts| pts + gst::ClockTime::from_nseconds(piece.after)));
        let duration = gst::ClockTime::from_nseconds(piece.duration);
        b.set_duration(Some(duration).filter(|d| !d.is_zero()));
        buffer
    }
}
