// SPDX-License-Identifier: MPL-2.0

//! What a model is, for people and for `dfer models`.

use std::sync::Arc;

use serde::Serialize;

use super::contract::Kind;
use super::package::Package;
use crate::core::networks::{ExpressionSpec, SamplingSpec};
use crate::core::pixels::Channels;
use crate::core::types::SECOND;

/// A model as its `model.toml` describes it, with the graphs verified.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelInfo {
    /// Where it comes from: a path, or that it is built in.
    pub source: String,
    /// `factored`, `clip` or `detector`.
    pub kind: &'static str,
    pub name: String,
    /// `name@hash`, as written into results.
    pub model: String,
    pub graphs: Vec<GraphInfo>,
    /// Network inputs and the shapes they are given.
    pub inputs: Vec<InputInfo>,
    /// In the order of the network's output; empty for detectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationInfo>,
    /// A face begins at this score; detectors only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_threshold: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphInfo {
    pub key: &'static str,
    pub file: String,
    pub bytes: usize,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputInfo {
    /// `gray` or `rgb`.
    pub channels: &'static str,
    pub layout: &'static str,
    pub shape: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SamplingInfo {
    /// Encoded frames a second at most.
    pub rate: f64,
    /// Seconds.
    pub window: f64,
    pub synopsis: usize,
    pub moments: usize,
    pub detail: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CalibrationInfo {
    pub temperature: f32,
    pub agreement_temperature: f32,
    pub min_agreement: f32,
    pub min_confidence: f32,
}

impl ModelInfo {
    pub(super) fn new(package: &Package) -> Self {
        let description = &package.description;
        let graphs = description.kind.graphs().iter().zip(&description.graphs).zip(&package.graphs);
        let graphs = graphs.map(|((key, graph), bytes)| GraphInfo {
            key,
            file: graph.file.clone(),
            bytes: bytes.onnx.len(),
            sha256: graph.sha256.clone(),
        });
        let mut info = Self {
            source: package.label.clone(),
            kind: description.kind.name(),
            name: description.name.clone(),
            model: package.id().to_owned(),
            graphs: graphs.collect(),
            inputs: Vec::new(),
            classes: Vec::new(),
            sampling: None,
            calibration: None,
            score_threshold: None,
        };
        match &description.kind {
            Kind::Detector { spec, .. } => {
                let (width, height) = spec.frame_size;
                let sizes = [(height, width), (spec.track_size, spec.track_size)];
                let shape = |(height, width)| vec![1, spec.channels.count(), height, width];
                info.inputs = sizes.map(|size| input(spec.channels, "NCHW", shape(size))).to_vec();
                info.score_threshold = Some(spec.score_threshold);
            }
            Kind::Factored(spec) => {
                info.expression(spec);
                let shape = vec![1, spec.channels.count(), spec.size, spec.size];
                info.inputs = vec![input(spec.channels, "NCHW", shape)];
            }
            Kind::Clip { spec, clip } => {
                info.expression(spec);
                info.inputs = vec![input(spec.channels, clip.layout.name(), clip.shape(spec))];
            }
        }
        info
    }

    fn expression(&mut self, spec: &ExpressionSpec) {
        let SamplingSpec { rate, window, synopsis, moments, detail } = spec.sampling;
        let window = window as f64 / SECOND as f64;
        self.classes = spec.classes.clone();
        self.sampling = Some(SamplingInfo { rate, window, synopsis, moments, detail });
        self.calibration = Some(CalibrationInfo {
            temperature: spec.temperature,
            agreement_temperature: spec.agreement_temperature,
            min_agreement: spec.min_agreement,
            min_confidence: spec.min_confidence,
        });
    }
}

fn input(channels: Channels, layout: &'static str, shape: Vec<usize>) -> InputInfo {
    let channels = match channels {
        Channels::Gray => "gray",
        Channels::Rgb => "rgb",
    };
    InputInfo { channels, layout, shape }
}
