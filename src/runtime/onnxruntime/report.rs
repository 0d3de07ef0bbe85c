// SPDX-License-Identifier: MPL-2.0

//! What of ONNX Runtime and its providers is there, what works, and why the rest does not.

use std::path::PathBuf;

use serde::Serialize;

use super::settings::{Provider, Settings};
use super::{device, library, provider};

/// What this machine has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    pub library: LibraryReport,
    /// As NVIDIA's driver tells, or why it does not.
    pub gpus: Result<GpusReport, String>,
    /// Every provider; none without the library.
    pub providers: Vec<ProviderReport>,
    /// Where built engines are kept unless told otherwise.
    pub engine_cache: Option<PathBuf>,
}

/// ONNX Runtime's library.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LibraryReport {
    /// Path and version of the one that loads.
    pub loads: Option<(PathBuf, String)>,
    /// The oldest version that is accepted.
    pub oldest: String,
    /// Places that were looked at before, and what was wrong.
    pub tried: Vec<(PathBuf, String)>,
    /// What to do when none loads.
    pub advice: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GpusReport {
    /// The newest CUDA that the driver runs, `13.0`.
    pub cuda: String,
    /// In CUDA's order.
    pub names: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProviderReport {
    pub provider: &'static str,
    /// The device it ran a small graph on.
    pub works_on: Option<String>,
    pub failure: Option<String>,
}

/// Looks at everything, and runs a small graph with every provider.
pub fn report(settings: &Settings) -> Report {
    let gpus = device::gpus().map(|gpus| GpusReport {
        cuda: format!("{}.{}", gpus.cuda / 1000, gpus.cuda % 1000 / 10),
        names: gpus.all.iter().map(|g| format!("{} sm_{}", g.name, g.capability)).collect(),
    });
    let oldest = format!("1.{}", library::OLDEST);
    let engine_cache = settings.engine_cache.clone().or_else(Settings::default_cache);
    let (library, providers) = match library::find(settings.library.as_deref()) {
        Ok(runtime) => {
            let tried = runtime.tried.iter().map(library::Attempt::parts).collect();
            let loads = Some((runtime.path.clone(), runtime.version.clone()));
            let all = Provider::GPU.into_iter().chain([Provider::Cpu]);
            let providers = all.map(|candidate| {
                let tried = provider::try_out(runtime, settings, candidate);
                ProviderReport {
                    provider: candidate.name(),
                    works_on: tried.as_ref().ok().map(provider::Usable::device),
                    failure: tried.err(),
                }
            });
            (LibraryReport { loads, oldest, tried, advice: None }, providers.collect())
        }
        Err(tried) => {
            let tried = tried.iter().map(library::Attempt::parts).collect();
            let advice = Some(library::ADVICE.to_owned());
            (LibraryReport { loads: None, oldest, tried, advice }, Vec::new())
        }
    };
    Report { library, gpus, providers, engine_cache }
}
