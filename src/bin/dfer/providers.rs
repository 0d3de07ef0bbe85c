// SPDX-License-Identifier: MPL-2.0

//! `dfer models --providers`: what of ONNX Runtime is on this machine, what works, and why the
//! rest does not.

use gstdfer::runtime::onnxruntime::Settings;
use gstdfer::runtime::onnxruntime::report::{LibraryReport, Report, report};

use crate::evaluate::print;
use crate::shown;

/// Prints the report; true when ONNX Runtime is there.
pub fn run(json: bool) -> Result<bool, String> {
    let report = report(&Settings::default());
    if json {
        print(&(serde_json::to_string_pretty(&report).map_err(|e| e.to_string())? + "\n"))?;
    } else {
        print(&describe(&report))?;
    }
    Ok(report.library.loads.is_some())
}

fn describe(report: &Report) -> String {
    let mut lines = library(&report.library);
    match &report.gpus {
        Ok(gpus) if gpus.names.is_empty() => lines.push("GPUs         none".to_owned()),
        Ok(gpus) => {
            lines.push(format!("GPUs         the driver runs CUDA {}", gpus.cuda));
            let numbered = gpus.names.iter().enumerate();
            lines.extend(numbered.map(|(i, name)| format!("  device {i}   {}", shown::text(name))));
        }
        Err(reason) => lines.push(format!("GPUs         none: {}", shown::text(reason))),
    }
    for provider in &report.providers {
        let told = match (&provider.works_on, &provider.failure) {
            (Some(device), _) => format!("works on {}", shown::text(device)),
            (None, Some(failure)) => format!("no: {}", shown::text(failure)),
            (None, None) => "not tried".to_owned(),
        };
        lines.push(format!("{:<12} {told}", provider.provider));
    }
    if let Some(folder) = &report.engine_cache {
        lines.push(format!("engine cache {}", shown::path(folder)));
    }
    lines.join("\n") + "\n"
}

fn library(library: &LibraryReport) -> Vec<String> {
    let mut lines = match &library.loads {
        Some((path, version)) => {
            vec![format!("ONNX Runtime {} from {}", shown::text(version), shown::path(path))]
        }
        None => vec![format!("ONNX Runtime none that is {} or newer", library.oldest)],
    };
    lines.extend(
        library
            .tried
            .iter()
            .map(|(path, why)| format!("  not {}: {}", shown::path(path), shown::text(why))),
    );
    lines.extend(library.advice.iter().map(|advice| format!("  {}", shown::text(advice))));
    lines
}
