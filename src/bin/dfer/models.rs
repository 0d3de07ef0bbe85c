// SPDX-License-Identifier: MPL-2.0

//! `dfer models`: what a model is, and whether it loads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gstdfer::core::Error;
use gstdfer::runtime::graph::Backend;
use gstdfer::runtime::info::ModelInfo;
use gstdfer::runtime::models;
use gstdfer::runtime::tract::Tract;

use crate::evaluate::print;
use crate::shown;

/// Say what a model is and whether it loads; without one, the built-in models.
#[derive(clap::Args)]
pub struct Arguments {
    /// A model.toml, or the folder it lies in.
    model: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Say what `dfertrtfilter` could run on here: where ONNX Runtime was found, which of its
    /// execution providers work, and why the others do not.
    #[cfg(feature = "tensorrt")]
    #[arg(long, conflicts_with = "model")]
    providers: bool,
}

/// Clips that a decision compares unless told otherwise.
const CLIPS: usize = 5;

pub fn run(arguments: &Arguments) -> Result<bool, String> {
    #[cfg(feature = "tensorrt")]
    if arguments.providers {
        return crate::providers::run(arguments.json);
    }
    let backend: Arc<dyn Backend> = Arc::new(Tract);
    let model = arguments.model.as_deref();
    let mut infos = vec![checked(&backend, model).map_err(|e| e.to_string())?];
    if model.is_none() {
        let detector = models::describe_detector().and_then(|info| {
            models::detector(&backend, None)?;
            Ok(info)
        });
        infos.push(detector.map_err(|e| e.to_string())?);
    }
    if arguments.json {
        let text = serde_json::to_string_pretty(&infos).map_err(|e| e.to_string())?;
        print(&(text + "\n"))?;
    } else {
        print(&infos.iter().map(describe).collect::<String>())?;
    }
    Ok(true)
}

/// Description of a model that has been loaded once.
fn checked(backend: &Arc<dyn Backend>, path: Option<&Path>) -> Result<ModelInfo, Error> {
    let info = models::describe(path)?;
    if info.kind == "detector" {
        models::detector(backend, path)?;
    } else {
        models::expression(backend, path, CLIPS)?;
    }
    Ok(info)
}

fn describe(info: &ModelInfo) -> String {
    let mut lines = vec![format!("{} ({})", shown::text(&info.model), shown::text(&info.source))];
    lines.push(format!("  kind         {}", info.kind));
    if !info.classes.is_empty() {
        lines.push(format!("  classes      {}", shown::text(&info.classes.join(", "))));
    }
    for input in &info.inputs {
        let shape: Vec<_> = input.shape.iter().map(ToString::to_string).collect();
        let shape = shape.join(" x ");
        lines.push(format!("  input        {shape} {} {}", input.layout, input.channels));
    }
    if let Some(s) = &info.sampling {
        lines.push(format!(
            "  sampling     {} s at up to {} frames a second, synopsis {}, {} moments of {} frames",
            s.window, s.rate, s.synopsis, s.moments, s.detail
        ));
    }
    if let Some(c) = &info.calibration {
        lines.push(format!(
            "  calibration  temperature {} ({} for agreement), a label needs agreement {} and probability {}",
            c.temperature, c.agreement_temperature, c.min_agreement, c.min_confidence
        ));
    }
    if let Some(threshold) = info.score_threshold {
        lines.push(format!("  face from    score {threshold}"));
    }
    for graph in &info.graphs {
        let hash = graph.sha256.get(..12).unwrap_or(&graph.sha256);
        let kib = graph.bytes.div_ceil(1024);
        lines.push(format!(
            "  graph        {} {} {kib} KiB, sha256 {hash}",
            graph.key,
            shown::text(&graph.file)
        ));
    }
    lines.push("  loads        yes, with tract".to_owned());
    lines.join("\n") + "\n"
}
