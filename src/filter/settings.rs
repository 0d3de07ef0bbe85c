// SPDX-License-Identifier: MPL-2.0

//! The properties: their description, and their values.

use std::path::PathBuf;
use std::sync::LazyLock;

use gst::prelude::*;

use super::{FaceSource, Mode};
use crate::core::analyst::{ClipSettings, MIN_WINDOW};
use crate::core::decision::DecisionSettings;
use crate::core::engine::{self, EngineSettings};
use crate::core::networks::ExpressionSpec;
use crate::core::sampling::MAX_CLIPS;
use crate::core::tracker::TrackerSettings;
use crate::core::types::{Ns, SECOND};

const MS: Ns = SECOND / 1000;
/// Stands for "as the model says".
const FROM_MODEL: f32 = -1.0;

#[derive(Debug, Clone)]
pub struct Settings {
    pub mode: Mode,
    pub model: Option<String>,
    pub detector_model: Option<String>,
    pub face_source: FaceSource,
    pub detect_interval: Ns,
    pub decision_interval: Ns,
    pub clips: u32,
    pub max_faces: u32,
    pub track_timeout: Ns,
    pub min_agreement: f32,
    pub min_confidence: f32,
    pub min_quality: f32,
    pub switch_votes: u32,
    pub switch_time: Ns,
    pub switch_lead: f32,
    pub hold_time: Ns,
    pub processing_latency: Ns,
    pub post_messages: bool,
    pub aggregate_only: bool,
    pub min_group: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            model: None,
            detector_model: None,
            face_source: FaceSource::Auto,
            detect_interval: 200 * MS,
            decision_interval: 200 * MS,
            clips: 5,
            max_faces: 8,
            track_timeout: 800 * MS,
            min_agreement: FROM_MODEL,
            min_confidence: FROM_MODEL,
            min_quality: 0.3,
            switch_votes: 3,
            switch_time: 400 * MS,
            switch_lead: 0.05,
            hold_time: SECOND,
            processing_latency: 100 * MS,
            post_messages: true,
            aggregate_only: false,
            min_group: 3,
        }
    }
}

impl Settings {
    pub fn engine(&self, spec: &ExpressionSpec) -> EngineSettings {
        let or_model = |own: f32, model: f32| if own < 0.0 { model } else { own };
        EngineSettings {
            source: match self.face_source {
                FaceSource::Auto => engine::FaceSource::Auto,
                FaceSource::Upstream => engine::FaceSource::Upstream,
                FaceSource::Detector => engine::FaceSource::Detector,
                FaceSource::Frame => engine::FaceSource::Frame,
            },
            detect_interval: self.detect_interval,
            tracker: TrackerSettings {
                track_timeout: self.track_timeout,
                max_faces: self.max_faces as usize,
                max_tracks: self.max_faces as usize * 4,
            },
            decision: DecisionSettings {
                min_agreement: or_model(self.min_agreement, spec.min_agreement),
                min_confidence: or_model(self.min_confidence, spec.min_confidence),
                min_quality: self.min_quality,
                switch_votes: self.switch_votes,
                switch_time: self.switch_time,
                switch_lead: self.switch_lead,
                hold_time: self.hold_time,
            },
        }
    }

    /// The smallest group that labels are told of, where nothing is told of single faces.
    pub fn smallest_group(&self) -> Option<u32> {
        self.aggregate_only.then_some(self.min_group)
    }

    pub fn clip(&self) -> ClipSettings {
        ClipSettings {
            clips: self.clips as usize,
            decision_interval: self.decision_interval,
            min_window: MIN_WINDOW,
        }
    }

    pub fn model_path(&self) -> Option<PathBuf> {
        path(self.model.as_deref())
    }

    pub fn detector_path(&self) -> Option<PathBuf> {
        path(self.detector_model.as_deref())
    }

    /// False for a property that is not a setting.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        fn get<'a, T: glib::value::FromValue<'a>>(value: &'a glib::Value) -> T {
            // GLib has checked the type and the range.
            value.get().expect("type checked upstream")
        }
        match name {
            "mode" => self.mode = get(value),
            "model" => self.model = get(value),
            "detector-model" => self.detector_model = get(value),
            "face-source" => self.face_source = get(value),
            "detect-interval" => self.detect_interval = get(value),
            "decision-interval" => self.decision_interval = get(value),
            "clips" => self.clips = get(value),
            "max-faces" => self.max_faces = get(value),
            "track-timeout" => self.track_timeout = get(value),
            "min-agreement" => self.min_agreement = get(value),
            "min-confidence" => self.min_confidence = get(value),
            "min-quality" => self.min_quality = get(value),
            "switch-votes" => self.switch_votes = get(value),
            "switch-time" => self.switch_time = get(value),
            "switch-lead" => self.switch_lead = get(value),
            "hold-time" => self.hold_time = get(value),
            "processing-latency" => self.processing_latency = get(value),
            "post-messages" => self.post_messages = get(value),
            "aggregate-only" => self.aggregate_only = get(value),
            "min-group" => self.min_group = get(value),
            _ => unreachable!("no such property"),
        }
    }

    pub fn get(&self, name: &str) -> glib::Value {
        match name {
            "mode" => self.mode.to_value(),
            "model" => self.model.to_value(),
            "detector-model" => self.detector_model.to_value(),
            "face-source" => self.face_source.to_value(),
            "detect-interval" => self.detect_interval.to_value(),
            "decision-interval" => self.decision_interval.to_value(),
            "clips" => self.clips.to_value(),
            "max-faces" => self.max_faces.to_value(),
            "track-timeout" => self.track_timeout.to_value(),
            "min-agreement" => self.min_agreement.to_value(),
            "min-confidence" => self.min_confidence.to_value(),
            "min-quality" => self.min_quality.to_value(),
            "switch-votes" => self.switch_votes.to_value(),
            "switch-time" => self.switch_time.to_value(),
            "switch-lead" => self.switch_lead.to_value(),
            "hold-time" => self.hold_time.to_value(),
            "processing-latency" => self.processing_latency.to_value(),
            "post-messages" => self.post_messages.to_value(),
            "aggregate-only" => self.aggregate_only.to_value(),
            "min-group" => self.min_group.to_value(),
            _ => unreachable!("no such property"),
        }
    }
}

/// An empty property counts as not set.
fn path(text: Option<&str>) -> Option<PathBuf> {
    text.filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// All properties but `stats`; those that shape the clips may change up to READY only, thresholds
/// at any time.
pub fn properties() -> Vec<glib::ParamSpec> {
    static DEFAULT: LazyLock<Settings> = LazyLock::new(Settings::default);
    let d = &*DEFAULT;
    let time = |name: &'static str,
                nick: &'static str,
                blurb: &'static str,
                least: Ns,
                most: Ns,
                default: Ns| {
        glib::ParamSpecUInt64::builder(name)
            .nick(nick)
            .blurb(blurb)
            .minimum(least)
            .maximum(most)
            .default_value(default)
    };
    let unit =
        |name: &'static str, nick: &'static str, blurb: &'static str, least: f32, default: f32| {
            glib::ParamSpecFloat::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(least)
                .maximum(1.0)
                .default_value(default)
                .mutable_playing()
                .build()
        };
    vec![
        glib::ParamSpecEnum::builder_with_default("mode", d.mode)
            .nick("Mode")
            .blurb("When inference happens")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb("Expression network: a model.toml or the folder it lies in; none = the built-in one")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("detector-model")
            .nick("Detector model")
            .blurb("Face detector: a model.toml or the folder it lies in; none = the built-in one")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("face-source", d.face_source)
            .nick("Face source")
            .blurb("Where faces come from")
            .mutable_ready()
            .build(),
        time("detect-interval", "Detect interval",
            "Time in nanoseconds between two searches of the whole frame; faces are followed in between",
            0, 10 * SECOND, d.detect_interval).mutable_playing().build(),
        time("decision-interval", "Decision interval",
            "Time in nanoseconds between two decisions on a face",
            10 * MS, 10 * SECOND, d.decision_interval).mutable_ready().build(),
        glib::ParamSpecUInt::builder("clips")
            .nick("Clips")
            .blurb("Clips of a face that are compared in each decision; 1 = no agreement is measured")
            .minimum(1)
            .maximum(MAX_CLIPS as u32)
            .default_value(d.clips)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-faces")
            .nick("Maximum faces")
            .blurb("Faces analysed at a time, the largest first; the others are counted in stats")
            .minimum(1)
            .maximum(32)
            .default_value(d.max_faces)
            .mutable_playing()
            .build(),
        time("track-timeout", "Track timeout",
            "Time in nanoseconds after which a face that is not seen any more is forgotten with its id",
            0, 60 * SECOND, d.track_timeout).mutable_playing().build(),
        unit("min-agreement", "Minimum agreement",
            "Agreement of the clips (0 to 1) under which a result is uncertain; -1 = as the model says",
            FROM_MODEL, d.min_agreement),
        unit("min-confidence", "Minimum confidence",
            "Probability (0 to 1) of the likeliest label under which a result is uncertain; -1 = as the model says",
            FROM_MODEL, d.min_confidence),
        unit("min-quality", "Minimum quality",
            "Quality of the face's picture (0 to 1) under which a result is low-quality",
            0.0, d.min_quality),
        glib::ParamSpecUInt::builder("switch-votes")
            .nick("Switch votes")
            .blurb("Decisions in a row that must speak for another label before it becomes the stable one")
            .minimum(1)
            .maximum(100)
            .default_value(d.switch_votes)
            .mutable_playing()
            .build(),
        time("switch-time", "Switch time",
            "Time in nanoseconds over which they must do so", 0, 60 * SECOND, d.switch_time)
            .mutable_playing().build(),
        unit("switch-lead", "Switch lead",
            "By how much (0 to 1) the new label's probability must exceed the old one's",
            0.0, d.switch_lead),
        time("hold-time", "Hold time",
            "Time in nanoseconds for which a stable label is remembered while results are uncertain",
            0, 60 * SECOND, d.hold_time).mutable_playing().build(),
        time("processing-latency", "Processing latency",
            "Longest time in nanoseconds that inference may take in mode=sync, as told in LATENCY queries; mode=live adds none",
            0, 10 * SECOND, d.processing_latency).mutable_ready().build(),
        glib::ParamSpecBoolean::builder("post-messages")
            .nick("Post messages")
            .blurb("Post a dfer-expression element message when a face's stable label changes")
            .default_value(d.post_messages)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("aggregate-only")
            .nick("Aggregate only")
            .blurb("Tell how many faces have which stable label instead of faces: neither track ids nor places with \
                    them, on buffers and on the bus (message dfer-aggregate, when the counts change)")
            .default_value(d.aggregate_only)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("min-group")
            .nick("Smallest group")
            .blurb("With aggregate-only: faces with a stable label in the frame below which labels are left out")
            .minimum(1)
            .maximum(1000)
            .default_value(d.min_group)
            .mutable_ready()
            .build(),
    ]
}
