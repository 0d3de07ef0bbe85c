// SPDX-License-Identifier: MPL-2.0

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;

use super::message::{self, Moment};
use super::session::{Analysis, Session};
use super::settings::{self, Settings};
use super::stats::Stats;
use super::{FaceSource, Mode, errors, frame, report};
use crate::core::aggregate::Counts;
use crate::core::analyst::Networks;
use crate::core::engine::{self, EngineSettings};
use crate::core::types::SECOND;
use crate::core::{Error, Ns, Rect};
use crate::meta::{self, MarkedFace};
use crate::records::clock;
use crate::runtime::graph::{Backend, Fact};
use crate::runtime::models;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "dferfilter",
        gst::DebugColorFlags::empty(),
        Some("Facial expressions over time"),
    )
});

/// Time may step by this much between two buffers without being a jump.
const JUMP: Ns = 2 * SECOND;
/// A step back of at most this is no jump: times are rounded, and clocks of cameras corrected.
const JITTER: Ns = SECOND / 10;

#[repr(C)]
pub struct DferBaseClass {
    parent: glib::Class<gst_base::BaseTransform>,
    /// The subclass's runtime.
    pub backend: fn(&super::DferBase) -> Result<Arc<dyn Backend>, Error>,
}

unsafe impl glib::subclass::types::ClassStruct for DferBaseClass {
    type Type = DferBase;
}

/// Exists between `start()` and `stop()`; only the streaming thread takes its lock for long.
struct State {
    networks: Networks,
    info: Option<gst_video::VideoInfo>,
    /// Made with the first frame, when it is known whether upstream is live.
    session: Option<Session>,
    seq: u64,
    last: Option<Ns>,
    /// A frame that could not be read is reported once.
    bad_frame_reported: bool,
}

#[derive(Default)]
pub struct DferBase {
    settings: Mutex<Settings>,
    /// In place of model files.
    networks: Mutex<Option<Networks>>,
    /// Of the last start; tells of itself in the statistics.
    backend: Mutex<Option<Arc<dyn Backend>>>,
    state: Mutex<Option<State>>,
    stats: Mutex<Stats>,
    /// The counts that were told last.
    counted: Mutex<Option<Counts>>,
}

/// A panic elsewhere must not take the element down with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for DferBase {
    const NAME: &'static str = "GstDferBase";
    const ABSTRACT: bool = true;
    type Type = super::DferBase;
    type ParentType = gst_base::BaseTransform;
    type Class = DferBaseClass;

    fn class_init(class: &mut Self::Class) {
        class.backend = |_| {
            Err(Error::Runtime { runtime: "none".into(), reason: "the element is abstract".into() })
        };
    }
}

impl ObjectImpl for DferBase {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut all = settings::properties();
            all.push(
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Since the last start: mode; counts of frames, detected, encoded, decided, dropped; faces and \
                            ignored-faces of the newest frame; per stage the median and 95th percentile in nanoseconds; \
                            what the runtime tells of itself")
                    .read_only()
                    .build(),
            );
            all
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        lock(&self.settings).set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                let mut stats = lock(&self.stats).structure();
                for (name, fact) in self.facts() {
                    match fact {
                        Fact::Text(text) => stats.set(name, text),
                        Fact::Count(count) => stats.set(name, count),
                    }
                }
                stats.to_value()
            }
            name => lock(&self.settings).get(name),
        }
    }
}

impl GstObjectImpl for DferBase {}

impl ElementImpl for DferBase {
    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = frame::caps();
            [("src", gst::PadDirection::Src), ("sink", gst::PadDirection::Sink)]
                .into_iter()
                .filter_map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                })
                .collect()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for DferBase {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        // The session's thread is waited for without the lock.
        let state = lock(&self.state).take();
        drop(state);
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "caps {incaps} are no raw video"))?;
        if let Some(state) = lock(&self.state).as_mut() {
            let shape = |info: &gst_video::VideoInfo| (info.width(), info.height(), info.par());
            let same_shape = state.info.as_ref().is_some_and(|old| shape(old) == shape(&info));
            if !same_shape && let Some(session) = &mut state.session {
                session.reset();
            }
            state.info = Some(info);
        }
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        let jump = match event.view() {
            EventView::FlushStop(_) | EventView::StreamStart(_) => true,
            EventView::Segment(segment) => {
                // The same segment again is no jump.
                let old = self.obj().segment();
                let new = segment.segment();
                old.format() != new.format()
                    || old.start() != new.start()
                    || old.base() != new.base()
            }
            _ => false,
        };
        if jump && let Some(state) = lock(&self.state).as_mut() {
            state.last = None;
            if let Some(session) = &mut state.session {
                session.reset();
            }
        }
        self.parent_sink_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if direction == gst::PadDirection::Src
            && let gst::QueryViewMut::Latency(latency) = query.view_mut()
        {
            let (live, min, max) = latency.result();
            if !self.is_live(live) {
                let ours = gst::ClockTime::from_nseconds(lock(&self.settings).processing_latency);
                latency.set(live, min + ours, max.map(|max| max + ours));
            }
        }
        true
    }

    fn transform_ip(&self, buf: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return Err(gst::FlowError::Flushing) };
        let Some(info) = state.info.clone() else { return Err(gst::FlowError::NotNegotiated) };
        let seq = state.seq;
        state.seq += 1;
        let t = self.time(state, buf, &info);
        let (engine, post_messages, smallest_group) = {
            let settings = lock(&self.settings);
            let engine = settings.engine(state.networks.expression.spec());
            (engine, settings.post_messages, settings.smallest_group())
        };
        let marked = match engine.source {
            engine::FaceSource::Auto | engine::FaceSource::Upstream => meta::faces(buf),
            engine::FaceSource::Detector | engine::FaceSource::Frame => Vec::new(),
        };
        let analysis = self.analyse(state, engine, t, buf, &info, &marked);
        drop(guard);
        let analysis = match analysis {
            Ok(Some(analysis)) => analysis,
            Ok(None) => return Ok(gst::FlowSuccess::Ok),
            Err(error) => {
                self.post_error_message(errors::message(&error));
                return Err(gst::FlowError::Error);
            }
        };
        self.count(&analysis);
        if smallest_group.is_none() {
            self.trace(seq, &analysis);
        }
        let stream = self.obj().name().to_string();
        let at = || self.moment(seq, buf, &info);
        let (results, messages) = match smallest_group {
            None => {
                let messages = report::changes(&stream, at, &analysis);
                (report::faces(&stream, seq, analysis, &marked), messages)
            }
            Some(min_group) => {
                let results = report::counts(&stream, seq, analysis, min_group);
                let changed = self.newly_counted(results.counts.as_ref());
                let message = changed.map(|counts| message::of_counts(&stream, &at(), counts));
                let messages = message.into_iter().collect();
                (results, messages)
            }
        };
        for structure in messages.into_iter().filter(|_| post_messages) {
            let object = self.obj();
            let message = gst::message::Element::builder(structure).src(&*object).build();
            // Without a bus nobody listens.
            let _ = object.post_message(message);
        }
        meta::attach(buf, &results);
        Ok(gst::FlowSuccess::Ok)
    }
}

impl DferBase {
    /// What a subclass's `start` does. Not a `start` to chain up to: a failing parent would be
    /// reported a second time, without its reason.
    pub(crate) fn open(&self) -> Result<(), gst::ErrorMessage> {
        let networks = self.load().map_err(|e| errors::message(&e))?;
        for (name, fact) in self.facts() {
            gst::info!(CAT, imp = self, "{name}: {fact}");
        }
        *lock(&self.stats) = Stats::default();
        *lock(&self.counted) = None;
        *lock(&self.state) = Some(State {
            networks,
            info: None,
            session: None,
            seq: 0,
            last: None,
            bad_frame_reported: false,
        });
        Ok(())
    }

    pub(super) fn set_networks(&self, networks: Option<Networks>) {
        *lock(&self.networks) = networks;
    }

    fn facts(&self) -> Vec<(&'static str, Fact)> {
        lock(&self.backend).as_ref().map(|backend| backend.facts()).unwrap_or_default()
    }

    fn load(&self) -> Result<Networks, Error> {
        *lock(&self.backend) = None;
        if let Some(networks) = lock(&self.networks).clone() {
            return Ok(networks);
        }
        let settings = lock(&self.settings).clone();
        let object = self.obj();
        let backend = (object.class().as_ref().backend)(&object)?;
        let detector = match settings.face_source {
            FaceSource::Frame => None,
            _ => Some(models::detector(&backend, settings.detector_path().as_deref())?),
        };
        let clips = settings.clips as usize;
        let expression = models::expression(&backend, settings.model_path().as_deref(), clips)?;
        *lock(&self.backend) = Some(backend);
        Ok(Networks { detector, expression })
    }

    /// Whether inference runs on its own thread, given whether upstream is live.
    fn is_live(&self, upstream_live: bool) -> bool {
        match lock(&self.settings).mode {
            Mode::Auto => upstream_live,
            Mode::Live => true,
            Mode::Sync => false,
        }
    }

    /// Time of the buffer on the stream's time line. Buffers without one follow the frame rate.
    fn time(&self, state: &mut State, buf: &gst::BufferRef, info: &gst_video::VideoInfo) -> Ns {
        let step = || {
            let (n, d) = (info.fps().numer().max(0) as u64, info.fps().denom().max(1) as u64);
            (SECOND * d).checked_div(n).unwrap_or(SECOND / 30)
        };
        let t = match buf.pts().or_else(|| buf.dts()) {
            Some(pts) => pts.nseconds(),
            None => state.last.map_or(0, |last| last.saturating_add(step())),
        };
        let t = match state.last {
            Some(last) if t < last && last - t <= JITTER => last,
            _ => t,
        };
        // No clip reaches over a jump, whatever the flags of the buffer say.
        if state.last.is_some_and(|last| t < last || t - last > JUMP)
            && let Some(session) = &mut state.session
        {
            gst::debug!(CAT, imp = self, "time jumped to {t}, starting anew");
            session.reset();
        }
        state.last = Some(t);
        t
    }

    /// `None` for a frame that cannot be read: it passes as it is, without results.
    fn analyse(
        &self,
        state: &mut State,
        engine: EngineSettings,
        t: Ns,
        buf: &gst::BufferRef,
        info: &gst_video::VideoInfo,
        marked: &[MarkedFace],
    ) -> Result<Option<Analysis>, Error> {
        if state.session.is_none() {
            let live = self.is_live(self.upstream_is_live());
            lock(&self.stats).mode = if live { "live" } else { "sync" };
            gst::info!(
                CAT,
                imp = self,
                "inference {}",
                if live { "on its own thread" } else { "in line" }
            );
            let name = self.obj().name();
            let networks = state.networks.clone();
            let clips = lock(&self.settings).clip();
            state.session = Some(Session::new(&name, live, networks, engine, clips)?);
        }
        let Some(session) = &mut state.session else { return Ok(None) };
        session.set_settings(engine);
        let upstream: Vec<(Option<u64>, Rect)> = marked.iter().map(|r| (r.id, r.rect)).collect();
        let mapped = gst_video::VideoFrameRef::from_buffer_ref_readable(buf, info)
            .map_err(|_| Error::Picture("the buffer cannot be mapped".into()));
        let view = mapped.as_ref().map_err(Clone::clone).and_then(frame::view);
        match view {
            Ok(view) => session.frame(t, &view, &upstream).map(Some),
            Err(error) => {
                if !state.bad_frame_reported {
                    gst::element_imp_warning!(self, gst::StreamError::Format, ["{error}"]);
                    state.bad_frame_reported = true;
                }
                Ok(None)
            }
        }
    }

    fn upstream_is_live(&self) -> bool {
        let mut query = gst::query::Latency::new();
        self.obj().sink_pad().peer_query(&mut query) && query.result().0
    }

    fn count(&self, analysis: &Analysis) {
        let mut stats = lock(&self.stats);
        stats.frames += 1;
        stats.faces = analysis.faces.len() as u64;
        stats.ignored = analysis.ignored as u64;
        stats.dropped += analysis.dropped;
        stats.spent(&analysis.spent);
    }

    /// For whoever asks why: `GST_DEBUG=dferfilter:5`, and `:6` for every frame.
    fn trace(&self, seq: u64, analysis: &Analysis) {
        if analysis.cut {
            gst::debug!(CAT, imp = self, "frame {seq}: a new shot, all faces are new");
        }
        for id in &analysis.changes.lost {
            gst::debug!(CAT, imp = self, "frame {seq}: face {id} is told of no more");
        }
        for face in analysis.changes.changed.iter().filter_map(|i| analysis.faces.get(*i)) {
            let (e, at) = (&face.expression, &face.rect);
            let (id, label) = (e.track_id.unwrap_or_default(), e.label.as_deref().unwrap_or("-"));
            gst::debug!(
                CAT,
                imp = self,
                "frame {seq}: face {id} at {at:?} is {} {label}",
                e.status
            );
        }
        for face in &analysis.faces {
            let e = &face.expression;
            gst::log!(
                CAT,
                imp = self,
                "frame {seq}: face {} {} label {:?} raw {:?} agreement {:?} quality {:?} score {} age {:?}",
                e.track_id.unwrap_or_default(),
                e.status,
                e.label,
                e.raw_label,
                e.agreement,
                e.face_quality,
                face.score,
                e.age
            );
        }
    }

    fn moment(&self, seq: u64, buf: &gst::BufferRef, info: &gst_video::VideoInfo) -> Moment {
        let segment = self.obj().segment();
        let segment = clock::in_time(&segment);
        Moment {
            seq,
            pts: buf.pts(),
            running_time: segment.and_then(|s| s.to_running_time(buf.pts())),
            stream_time: segment.and_then(|s| s.to_stream_time(buf.pts())),
            frame: [info.width(), info.height()],
        }
    }

    /// The counts, where they differ from those told last.
    fn newly_counted<'a>(&self, counts: Option<&'a Counts>) -> Option<&'a Counts> {
        let mut told = lock(&self.counted);
        let new = counts.filter(|counts| told.as_ref() != Some(*counts));
        if new.is_some() {
            *told = new.cloned();
        }
        new
    }
}
