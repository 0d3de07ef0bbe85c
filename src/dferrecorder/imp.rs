// SPDX-License-Identifier: MPL-2.0

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;

use super::Settings;
use super::writer::{Failed, Target, Writer};
use crate::records::format::Format;
use crate::records::{Reporter, clock};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "dferrecorder",
        gst::DebugColorFlags::empty(),
        Some("Facial expression recorder"),
    )
});

/// Exists between `start()` and `stop()`.
struct State {
    writer: Arc<Writer>,
    format: Box<dyn Format>,
    reporter: Reporter,
}

#[derive(Default)]
pub struct DferRecorder {
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
    /// Statistics of a run that is over.
    ended: Mutex<Option<gst::Structure>>,
}

#[glib::object_subclass]
impl ObjectSubclass for DferRecorder {
    const NAME: &'static str = "GstDferRecorder";
    type Type = super::DferRecorder;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for DferRecorder {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let default = Settings::default();
            vec![
                glib::ParamSpecString::builder("location")
                    .nick("Location")
                    .blurb("File to write, or a pipe; an existing file is replaced unless append is set. Has to be given")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("format", default.format)
                    .nick("Format")
                    .blurb("What the file looks like")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("detail", default.detail)
                    .nick("Detail")
                    .blurb("When a record is written (formats jsonl, csv and onvif)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("append")
                    .nick("Append")
                    .blurb("Continue an existing file (formats jsonl, csv and jitsi)")
                    .default_value(default.append)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("onvif-expression")
                    .nick("ONVIF expression")
                    .blurb("Add ONVIF's own coarse HumanFace/Expression (neutral = Natural, happy = Smile, \
                            surprise = RaisedEyebrows, angry = Frown, rest = Other; format onvif)")
                    .default_value(default.onvif_expression)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("aggregate-only")
                    .nick("Aggregate only")
                    .blurb("Write how many faces have which stable label instead of faces: no track ids, no places \
                            (formats jsonl and csv, schema dfer-aggregate/1)")
                    .default_value(default.aggregate_only)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("min-group")
                    .nick("Smallest group")
                    .blurb("With aggregate-only: faces with a stable label in the frame below which labels are \
                            left out")
                    .minimum(1)
                    .maximum(1000)
                    .default_value(default.min_group)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Since the last start, all unsigned 64-bit: buffers (seen), analysed (of these, with \
                            results on them), records (handed to the file), bytes (written), waiting (pieces \
                            that wait for the disk)")
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
            "location" => settings.location = value.get().unwrap(),
            "format" => settings.format = value.get().unwrap(),
            "detail" => settings.detail = value.get().unwrap(),
            "append" => settings.append = value.get().unwrap(),
            "onvif-expression" => settings.onvif_expression = value.get().unwrap(),
            "aggregate-only" => settings.aggregate_only = value.get().unwrap(),
            "min-group" => settings.min_group = value.get().unwrap(),
            _ => unreachable!(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return self.stats().to_value();
        }
        let settings = self.settings.lock().unwrap();
        match pspec.name() {
            "location" => settings.location.to_value(),
            "format" => settings.format.to_value(),
            "detail" => settings.detail.to_value(),
            "append" => settings.append.to_value(),
            "onvif-expression" => settings.onvif_expression.to_value(),
            "aggregate-only" => settings.aggregate_only.to_value(),
            "min-group" => settings.min_group.to_value(),
            _ => unreachable!(),
        }
    }
}

impl GstObjectImpl for DferRecorder {}

impl ElementImpl for DferRecorder {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Facial expression recorder",
                "Filter/Analyzer/Video",
                "Writes the facial expressions that dferfilter recognised into a file; pictures pass untouched",
                env!("CARGO_PKG_NAME"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("video/x-raw").any_features().build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, direction)| {
                    // Cannot fail: neither name nor caps depend on anything.
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).unwrap()
                })
                .into()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for DferRecorder {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = true;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings.lock().unwrap().clone();
        let Some(location) = settings.location.clone().filter(|l| !l.is_empty()) else {
            return Err(gst::error_msg!(
                gst::ResourceError::NotFound,
                ("no file to write to: set location to a path")
            ));
        };
        let format = settings
            .writer()
            .map_err(|reason| gst::error_msg!(gst::ResourceError::Settings, ("{reason}")))?;
        let target = Target {
            path: &PathBuf::from(location),
            append: settings.append,
            header: &format.header(),
            footer: format.footer(),
        };
        let element = self.obj().downgrade();
        let writer = Writer::open(&target, move |err| {
            if let Some(element) = element.upgrade() {
                element.imp().post_error_message(err);
            }
        })?;
        *self.state.lock().unwrap() = Some(State {
            writer: Arc::new(writer),
            format,
            reporter: Reporter::new(settings.detail).taking_counts(settings.aggregate_only),
        });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let _ = self.finish();
        let stats = self.stats();
        *self.ended.lock().unwrap() = Some(stats);
        // Ends the writing thread, outside the lock.
        drop(self.state.lock().unwrap().take());
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let live = clock::is_live(self.obj().sink_pad());
        let understood = match self.state.lock().unwrap().as_mut() {
            Some(state) => state.reporter.set_caps(incaps, live),
            None => true,
        };
        if understood {
            Ok(())
        } else {
            Err(gst::loggable_error!(CAT, "caps without width and height: {incaps}"))
        }
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Eos(_) => {
                // The error, if there is one, is on the bus already.
                let _ = self.finish();
                let counts = self.state.lock().unwrap().as_ref().map(|s| s.reporter.counts());
                Reporter::warn_if_nothing_was_analysed(counts.unwrap_or_default(), &*self.obj());
            }
            gst::EventView::FlushStop(_) => _ = self.finish(),
            _ => (),
        }
        self.parent_sink_event(event)
    }

    fn transform_ip_passthrough(
        &self,
        buffer: &gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (text, writer) = {
            let mut state = self.state.lock().unwrap();
            let state = state.as_mut().ok_or(gst::FlowError::Flushing)?;
            let mut text = String::new();
            let segment = self.obj().segment();
            if let Some(frame) = state.reporter.frame(buffer, &segment, self.obj().upcast_ref()) {
                state.format.frame(&frame, &mut text);
            }
            (text, state.writer.clone())
        };
        // Without the lock: a full queue must not keep others from reading the statistics.
        let written = if text.is_empty() {
            if writer.has_failed() { Err(Failed) } else { Ok(()) }
        } else {
            writer.write(text)
        };
        written.map(|()| gst::FlowSuccess::Ok).map_err(|Failed| gst::FlowError::Error)
    }
}

impl DferRecorder {
    /// Closes what is open and waits until it is in the file.
    fn finish(&self) -> Result<(), Failed> {
        let (text, writer) = {
            let mut state = self.state.lock().unwrap();
            let Some(state) = state.as_mut() else { return Ok(()) };
            let mut text = String::new();
            state.format.finish(&mut text);
            state.reporter.reset();
            (text, state.writer.clone())
        };
        if !text.is_empty() {
            writer.write(text)?;
        }
        writer.flush()
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state.lock().unwrap();
        if let (None, Some(ended)) = (&*state, &*self.ended.lock().unwrap()) {
            return ended.clone();
        }
        let of = |f: &dyn Fn(&State) -> u64| state.as_ref().map_or(0, f);
        gst::Structure::builder("stats")
            .field("buffers", of(&|s| s.reporter.counts().buffers))
            .field("analysed", of(&|s| s.reporter.counts().analysed))
            .field("records", of(&|s| s.reporter.counts().records))
            .field("bytes", of(&|s| s.writer.bytes()))
            .field("waiting", of(&|s| s.writer.waiting()))
            .build()
    }
}
