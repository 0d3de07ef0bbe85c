// SPDX-License-Identifier: MPL-2.0

//! The tables and keys of `model.toml` as they are written, before any value is checked. Keys that
//! are not here are refused.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::contract::ClipLayout;

#[derive(Deserialize)]
pub struct Preamble {
    pub schema: Option<String>,
    pub kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    pub file: String,
    pub sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DetectorToml {
    #[serde(rename = "schema")]
    _schema: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub name: String,
    pub strides: Vec<usize>,
    pub score_threshold: f32,
    pub input: DetectorInput,
    pub graphs: DetectorGraphs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DetectorInput {
    /// Height and width.
    pub size: [usize; 2],
    pub track_size: usize,
    pub channels: Colour,
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    #[serde(rename = "layout")]
    _layout: Option<Nchw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorGraphs {
    pub detector: Graph,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactoredToml {
    #[serde(rename = "schema")]
    _schema: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub name: String,
    pub classes: Vec<String>,
    pub input: FaceInput<Nchw>,
    pub crop: Crop,
    pub sampling: Sampling,
    pub calibration: Calibration,
    pub graphs: FactoredGraphs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactoredGraphs {
    pub encoder: Graph,
    pub head: Graph,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipToml {
    #[serde(rename = "schema")]
    _schema: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub name: String,
    pub classes: Vec<String>,
    pub input: FaceInput<ClipLayout>,
    pub crop: Option<Crop>,
    pub sampling: Sampling,
    pub calibration: Option<Calibration>,
    pub graphs: ClipGraphs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipGraphs {
    pub clip: ClipGraph,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipGraph {
    pub file: String,
    pub sha256: String,
    pub input: String,
    pub output: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceInput<Layout> {
    pub size: usize,
    pub channels: Colour,
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    pub layout: Layout,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    Gray,
    Rgb,
}

#[derive(Deserialize)]
pub enum Nchw {
    #[serde(rename = "NCHW")]
    Nchw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    pub template: [[f32; 2]; 5],
    #[serde(rename = "box")]
    pub face_box: [f32; 4],
    pub scales: Option<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Frames a second.
    pub rate: f64,
    /// Seconds.
    pub window: f64,
    pub synopsis: usize,
    pub moments: usize,
    pub detail: usize,
    /// Of a clip network's input, all together.
    pub frames: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Calibration {
    pub temperature: f32,
    /// `temperature` where it is not given.
    pub agreement_temperature: Option<f32>,
    pub min_agreement: f32,
    pub min_confidence: f32,
}

/// TOML into its struct; the error is one line that says where.
pub fn typed<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|e| {
        let message = e.message().split_whitespace().collect::<Vec<_>>().join(" ");
        match e.span() {
            Some(span) => {
                let line = 1 + text.bytes().take(span.start).filter(|b| *b == b'\n').count();
                format!("line {line}: {message}")
            }
            None => message,
        }
    })
}
