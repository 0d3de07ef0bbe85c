// SPDX-License-Identifier: MPL-2.0

//! `model.toml`, schema `dfer-model/1`: what a model is and what it wants to be given.
//!
//! Reading is strict: an unknown key, a value out of range or a missing table is refused with a
//! message that names it, since a network that is fed wrongly still answers.

use std::sync::Arc;

use serde::Deserialize;

use super::checks::{Checks, range};
use super::pixels::Normal;
use super::schema::{
    Calibration, ClipGraph, ClipToml, Colour, Crop, DetectorToml, FaceInput, FactoredGraphs,
    FactoredToml, Nchw, Preamble, Sampling, typed,
};
use crate::core::Error;
use crate::core::networks::{CropSpec, DetectorSpec, ExpressionSpec, SamplingSpec};
use crate::core::pixels::Channels;
use crate::core::types::SECOND;
use crate::core::{Ns, Point, Rect};

/// The schema that is understood.
pub const SCHEMA: &str = "dfer-model/1";

/// A checked `model.toml`. The `model` of the specs is the bare name until the graphs are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub name: String,
    pub kind: Kind,
    /// From bytes to network input.
    pub normal: Normal,
    /// The graphs, in the order of [`Kind::graphs`].
    pub graphs: Vec<GraphFile>,
}

/// What sort of model it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Finds faces.
    Detector { spec: DetectorSpec, strides: Vec<usize> },
    /// A frame encoder and a temporal head.
    Factored(ExpressionSpec),
    /// One graph from the pixels of a whole clip to logits.
    Clip { spec: ExpressionSpec, clip: ClipInput },
}

/// How a clip network takes its frames.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipInput {
    pub input: String,
    pub output: String,
    pub layout: ClipLayout,
    /// Frames of a clip.
    pub frames: usize,
}

/// Order of the axes: batch, time, channels, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ClipLayout {
    #[serde(rename = "BTCHW")]
    TimeFirst,
    #[serde(rename = "BCTHW")]
    ChannelsFirst,
}

/// An ONNX file beside the `model.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphFile {
    /// Relative to the folder of the `model.toml`, and inside it.
    pub file: String,
    /// 64 lower-case hex digits.
    pub sha256: String,
}

impl Kind {
    /// The name used in `model.toml`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Detector { .. } => "detector",
            Self::Factored(_) => "factored",
            Self::Clip { .. } => "clip",
        }
    }

    /// Of a model that recognises expressions.
    pub fn expression(&self) -> Option<&ExpressionSpec> {
        match self {
            Self::Detector { .. } => None,
            Self::Factored(spec) | Self::Clip { spec, .. } => Some(spec),
        }
    }

    /// Keys of the graphs under `[graphs]`.
    pub fn graphs(&self) -> &'static [&'static str] {
        match self {
            Self::Detector { .. } => &["detector"],
            Self::Factored(_) => &["encoder", "head"],
            Self::Clip { .. } => &["clip"],
        }
    }
}

impl ClipInput {
    /// Shape of the network's input for one clip.
    pub fn shape(&self, spec: &ExpressionSpec) -> Vec<usize> {
        let (channels, size) = (spec.channels.count(), spec.size);
        match self.layout {
            ClipLayout::TimeFirst => vec![1, self.frames, channels, size, size],
            ClipLayout::ChannelsFirst => vec![1, channels, self.frames, size, size],
        }
    }
}

impl ClipLayout {
    /// The name used in `model.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TimeFirst => "BTCHW",
            Self::ChannelsFirst => "BCTHW",
        }
    }
}

impl Description {
    /// Reads the text of a `model.toml`; `model` names it in errors.
    pub fn parse(model: &str, text: &str) -> Result<Self, Error> {
        let refused = |reason| Error::Model { model: model.to_owned(), reason };
        Self::read(text).map_err(refused)
    }

    fn read(text: &str) -> Result<Self, String> {
        let Preamble { schema, kind } = typed(text)?;
        match schema.as_deref() {
            Some(SCHEMA) => {}
            Some(other) => {
                return Err(format!("schema is \"{other}\", only \"{SCHEMA}\" is understood"));
            }
            None => return Err(format!("schema is missing; write schema = \"{SCHEMA}\"")),
        }
        match kind.as_deref() {
            Some("detector") => detector(typed(text)?),
            Some("factored") => factored(typed(text)?),
            Some("clip") => clip(typed(text)?),
            Some(other) => Err(format!(
                "kind is \"{other}\", it can be \"factored\", \"clip\" or \"detector\""
            )),
            None => {
                Err("kind is missing; it can be \"factored\", \"clip\" or \"detector\"".to_owned())
            }
        }
    }
}

fn detector(toml: DetectorToml) -> Result<Description, String> {
    let mut checks = Checks::default();
    checks.name(&toml.name);
    let strides = checks.strides(toml.strides);
    let multiple = strides.iter().copied().max().unwrap_or(1);
    let [height, width] = toml.input.size;
    for (key, value) in [("size", height), ("size", width), ("track-size", toml.input.track_size)] {
        checks.within(&format!("[input] {key}"), value, 32..=4096);
        if value % multiple != 0 {
            checks.wrong(format!("[input] {key}: {value} is no multiple of the stride {multiple}"));
        }
    }
    checks.within("score-threshold", toml.score_threshold, 0.01..=1.0);
    let channels = channels(toml.input.channels);
    let normal = checks.normal(channels, &toml.input.mean, &toml.input.std);
    let graphs =
        vec![checks.graph("detector", toml.graphs.detector.file, toml.graphs.detector.sha256)];
    checks.done()?;
    let spec = DetectorSpec {
        model: toml.name.clone(),
        frame_size: (width, height),
        multiple,
        track_size: toml.input.track_size,
        channels,
        score_threshold: toml.score_threshold,
    };
    Ok(Description { name: toml.name, kind: Kind::Detector { spec, strides }, normal, graphs })
}

fn factored(toml: FactoredToml) -> Result<Description, String> {
    let Nchw::Nchw = toml.input.layout;
    let mut checks = Checks::default();
    if toml.sampling.frames.is_some() {
        checks.wrong("[sampling] frames: only kind = \"clip\" has it; leave it out".to_owned());
    }
    if toml.sampling.moments == 0 {
        checks.wrong(
            "[sampling] moments: 0 leaves the head without detail; write 1 or more".to_owned(),
        );
    }
    let face = Face {
        name: &toml.name,
        classes: toml.classes,
        input: &toml.input,
        sampling: toml.sampling,
    };
    let (spec, normal) = face.check(&mut checks, Some(toml.crop), Some(toml.calibration));
    let FactoredGraphs { encoder, head } = toml.graphs;
    let graphs = vec![
        checks.graph("encoder", encoder.file, encoder.sha256),
        checks.graph("head", head.file, head.sha256),
    ];
    checks.done()?;
    Ok(Description { name: toml.name, kind: Kind::Factored(spec), normal, graphs })
}

fn clip(toml: ClipToml) -> Result<Description, String> {
    let mut checks = Checks::default();
    let Sampling { synopsis, moments, detail, frames, .. } = toml.sampling;
    let Some(frames) = frames else {
        return Err("[sampling] frames: it is missing; write how many frames a clip has".to_owned());
    };
    checks.within("[sampling] frames", frames, 2..=256);
    let total = synopsis.saturating_add(moments.saturating_mul(detail));
    if total != frames {
        checks.wrong(format!(
            "[sampling] synopsis + moments x detail: {synopsis} + {moments} x {detail} is {total}, \
             but frames is {frames}"
        ));
    }
    let face = Face {
        name: &toml.name,
        classes: toml.classes,
        input: &toml.input,
        sampling: toml.sampling,
    };
    let (spec, normal) = face.check(&mut checks, toml.crop, toml.calibration);
    let ClipGraph { file, sha256, input, output } = toml.graphs.clip;
    for (key, value) in [("input", &input), ("output", &output)] {
        if value.is_empty() {
            checks.wrong(format!("[graphs.clip] {key}: it must be the name of the graph's {key}"));
        }
    }
    let graphs = vec![checks.graph("clip", file, sha256)];
    checks.done()?;
    let clip = ClipInput { input, output, layout: toml.input.layout, frames };
    Ok(Description { name: toml.name, kind: Kind::Clip { spec, clip }, normal, graphs })
}

/// What the two kinds of expression model have in common.
struct Face<'a, Layout> {
    name: &'a str,
    classes: Vec<String>,
    input: &'a FaceInput<Layout>,
    sampling: Sampling,
}

impl<Layout> Face<'_, Layout> {
    fn check(
        self,
        checks: &mut Checks,
        crop: Option<Crop>,
        calibration: Option<Calibration>,
    ) -> (ExpressionSpec, Normal) {
        checks.name(self.name);
        checks.classes(&self.classes);
        checks.within("[input] size", self.input.size, 16..=1024);
        let channels = channels(self.input.channels);
        let normal = checks.normal(channels, &self.input.mean, &self.input.std);
        let calibration = calibration.unwrap_or(Calibration {
            temperature: 1.0,
            agreement_temperature: None,
            min_agreement: 0.6,
            min_confidence: 0.4,
        });
        checks.within("[calibration] temperature", calibration.temperature, 0.01..=100.0);
        let sharp = calibration.agreement_temperature.unwrap_or(calibration.temperature);
        if let Some(t) = calibration.agreement_temperature {
            checks.within("[calibration] agreement-temperature", t, 0.01..=100.0);
        }
        checks.within("[calibration] min-agreement", calibration.min_agreement, 0.0..=1.0);
        checks.within("[calibration] min-confidence", calibration.min_confidence, 0.0..=1.0);
        let spec = ExpressionSpec {
            model: self.name.to_owned(),
            classes: self.classes.into_iter().map(Arc::from).collect(),
            size: self.input.size,
            channels,
            crop: crop.map_or_else(CropSpec::upright, |crop| crop.check(checks)),
            sampling: self.sampling.check(checks),
            temperature: calibration.temperature,
            agreement_temperature: sharp,
            min_agreement: calibration.min_agreement,
            min_confidence: calibration.min_confidence,
        };
        (spec, normal)
    }
}

impl Crop {
    fn check(self, checks: &mut Checks) -> CropSpec {
        for value in self.template.iter().flatten() {
            checks.within("[crop] template", *value, -1.0..=2.0);
        }
        let template = self.template.map(|[x, y]| Point::new(x, y));
        // A mirrored or collapsed template would turn every face round, silently.
        if template[1].x - template[0].x < 0.05 || template[4].x - template[3].x < 0.05 {
            checks.wrong(
                "[crop] template: it takes eye left, eye right, nose, mouth left, mouth right as seen \
                 in the picture, the left ones with the smaller x"
                    .to_owned(),
            );
        }
        let [x, y, w, h] = self.face_box;
        checks.within("[crop] box (x, y)", x, -1.0..=2.0);
        checks.within("[crop] box (x, y)", y, -1.0..=2.0);
        checks.within("[crop] box (width, height)", w, 0.05..=3.0);
        checks.within("[crop] box (width, height)", h, 0.05..=3.0);
        let scales = self.scales.unwrap_or_else(|| vec![1.0]);
        checks.within("[crop] scales (how many)", scales.len(), 1..=100);
        for scale in &scales {
            checks.within("[crop] scales", *scale, 0.5..=2.0);
        }
        CropSpec { template, face_box: Rect::new(x, y, w, h), scales }
    }
}

impl Sampling {
    fn check(self, checks: &mut Checks) -> SamplingSpec {
        checks.within("[sampling] rate", self.rate, 1.0..=60.0);
        checks.within("[sampling] window", self.window, 0.2..=30.0);
        checks.within("[sampling] synopsis", self.synopsis, 2..=256);
        checks.within("[sampling] moments", self.moments, 0..=self.synopsis.min(64));
        checks.within("[sampling] detail", self.detail, range(self.moments > 0, 1, 64));
        SamplingSpec {
            rate: self.rate,
            window: (self.window * SECOND as f64).round() as Ns,
            synopsis: self.synopsis,
            moments: self.moments,
            detail: self.detail,
        }
    }
}

fn channels(colour: Colour) -> Channels {
    match colour {
        Colour::Gray => Channels::Gray,
        Colour::Rgb => Channels::Rgb,
    }
}
