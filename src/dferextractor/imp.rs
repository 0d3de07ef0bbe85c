// SPDX-License-Identifier: MPL-2.0

use std::sync::{LazyLock, Mutex};

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::Settings;
use super::media::Media;
use super::stream::State;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "dferextractor",
        gst::DebugColorFlags::empty(),
        Some("Facial expression extractor"),
    )
});

pub struct DferExtractor {
    pub(super) sink: gst::Pad,
    pub(super) video_src: gst::Pad,
    pub(super) meta_src: gst::Pad,
    settings: Mutex<Settings>,
    pub(super) state: Mutex<Option<State>>,
    /// Statistics of a run that is over.
    ended: Mutex<Option<gst::Structure>>,
}

#[glib::object_subclass]
impl ObjectSubclass for DferExtractor {
    const NAME: &'static str = "GstDferExtractor";
    type Type = super::DferExtractor;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        // Cannot fail: the class has these templates.
        let template = |name| class.pad_template(name).unwrap();
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.chain(buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(query))
            })
            .build();
        let video_src = gst::Pad::builder_from_template(&template("video_src"))
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        let meta_src = gst::Pad::builder_from_template(&template("meta_src"))
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.meta_src_event(event))
            })
            .build();
        Self {
            sink,
            video_src,
            meta_src,
            settings: Mutex::default(),
            state: Mutex::default(),
            ended: Mutex::default(),
        }
    }
}

impl ObjectImpl for DferExtractor {
    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.sink, &self.video_src, &self.meta_src] {
            // Cannot fail: the names differ.
            self.obj().add_pad(pad).unwrap();
        }
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let default = Settings::default();
            vec![
                glib::ParamSpecEnum::builder_with_default("detail", default.detail)
                    .nick("Detail")
                    .blurb("When a buffer is sent on meta_src (not for application/x-subtitle-vtt; text=labels \
                            knows frames and else cue-interval)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("text", default.text)
                    .nick("Text")
                    .blurb("What buffers of plain text hold (caps text/x-raw)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("cue-interval")
                    .nick("Cue interval")
                    .blurb("In ns: a cue holds until the next multiple of this and is renewed there \
                            (text=labels); as decision-interval of dferfilter, changes show at once; \
                            longer gives fewer cues and shows changes later")
                    .minimum(1_000_000)
                    .maximum(60_000_000_000)
                    .default_value(default.cue_interval)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("fill")
                    .nick("Fill")
                    .blurb("Send an empty buffer with every frame that has nothing to say, instead of a gap event \
                            (caps text/x-raw): mp4mux waits for text whatever gap events say")
                    .default_value(default.fill)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("onvif-expression")
                    .nick("ONVIF expression")
                    .blurb("Add ONVIF's own coarse HumanFace/Expression (neutral = Natural, happy = Smile, \
                            surprise = RaisedEyebrows, angry = Frown, rest = Other; \
                            caps application/x-onvif-metadata)")
                    .default_value(default.onvif_expression)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Since the last start, all unsigned 64-bit: buffers (seen while meta_src was linked), \
                            analysed (of these, with results on them), records (chosen by detail), \
                            sent (buffers on meta_src), bytes (in these)")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // GLib has checked name and type.
        let mut settings = self.settings.lock().unwrap();
        match pspec.name() {
            "detail" => settings.detail = value.get().unwrap(),
            "text" => settings.text = value.get().unwrap(),
            "cue-interval" => settings.cue_interval = value.get().unwrap(),
            "fill" => settings.fill = value.get().unwrap(),
            "onvif-expression" => settings.onvif_expression = value.get().unwrap(),
            _ => unreachable!(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return self.stats().to_value();
        }
        let settings = self.settings.lock().unwrap();
        match pspec.name() {
            "detail" => settings.detail.to_value(),
            "text" => settings.text.to_value(),
            "cue-interval" => settings.cue_interval.to_value(),
            "fill" => settings.fill.to_value(),
            "onvif-expression" => settings.onvif_expression.to_value(),
            _ => unreachable!(),
        }
    }
}

impl GstObjectImpl for DferExtractor {}

impl ElementImpl for DferExtractor {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Facial expression extractor",
                "Filter/Analyzer/Video/Metadata",
                "Sends the facial expressions that dferfilter recognised as a stream of their own, for muxers, \
                 payloaders and applications; pictures pass untouched",
                env!("CARGO_PKG_NAME"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let video = gst::Caps::builder("video/x-raw").any_features().build();
            let always = |name, direction, caps: &gst::Caps| {
                // Cannot fail: neither name nor caps depend on anything.
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).unwrap()
            };
            vec![
                always("sink", gst::PadDirection::Sink, &video),
                always("video_src", gst::PadDirection::Src, &video),
                always("meta_src", gst::PadDirection::Src, &Media::all_caps()),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            let settings = *self.settings.lock().unwrap();
            let state = State::new(settings, &self.video_src, &self.meta_src);
            *self.state.lock().unwrap() = Some(state);
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            let stats = self.stats();
            *self.ended.lock().unwrap() = Some(stats);
            *self.state.lock().unwrap() = None;
        }
        Ok(success)
    }
}

impl DferExtractor {
    fn stats(&self) -> gst::Structure {
        let state = self.state.lock().unwrap();
        if let (None, Some(ended)) = (&*state, &*self.ended.lock().unwrap()) {
            return ended.clone();
        }
        let counts = state.as_ref().map(|s| s.reporter.counts()).unwrap_or_default();
        let (sent, bytes) = state.as_ref().map_or((0, 0), |s| (s.sent, s.bytes));
        gst::Structure::builder("stats")
            .field("buffers", counts.buffers)
            .field("analysed", counts.analysed)
            .field("records", counts.records)
            .field("sent", sent)
            .field("bytes", bytes)
            .build()
    }
}
