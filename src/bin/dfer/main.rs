// SPDX-License-Identifier: MPL-2.0

//! `dfer`: what was seen in files, how good a model and how clean the labels are on labelled
//! footage, and what a model is.
//!
//! Everything runs through the same elements as a live pipeline.

#![deny(clippy::print_stderr, clippy::print_stdout)]

/// A line on the standard error output, whose reader may have gone.
macro_rules! tell {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}

mod analyze;
mod audit;
mod calibrate;
mod calibration;
mod data;
mod dataset;
mod doubting;
mod evaluate;
mod generate;
mod inputs;
mod listener;
mod merge;
mod metrics;
mod models;
mod output;
mod pictures;
mod player;
mod predict;
mod progress;
#[cfg(feature = "tensorrt")]
mod providers;
mod records;
mod report;
mod results;
mod shown;
mod stop;
mod timeline;
mod verdict;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// Facial expressions over time in video files.
#[derive(Parser)]
#[command(name = "dfer", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Analyze(analyze::Arguments),
    Evaluate(evaluate::Arguments),
    Audit(audit::Arguments),
    Calibrate(calibrate::Arguments),
    Merge(merge::Arguments),
    Models(models::Arguments),
    #[command(hide = true)]
    Generate(generate::Arguments),
}

/// Where faces come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Faces {
    /// The face detector finds and follows them.
    Detector,
    /// The whole picture is one face: cropped footage.
    Frame,
}

impl Faces {
    /// The value of `dferfilter`'s property `face-source`.
    fn nick(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Frame => "frame",
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(cause) = init().and_then(|()| stop::watch().map_err(|e| e.to_string())) {
        tell!("dfer: {cause}");
        return ExitCode::FAILURE;
    }
    let all_well = match &arguments.command {
        Command::Analyze(arguments) => analyze::run(arguments),
        Command::Evaluate(arguments) => evaluate::run(arguments),
        Command::Audit(arguments) => audit::run(arguments),
        Command::Calibrate(arguments) => calibrate::run(arguments),
        Command::Merge(arguments) => merge::run(arguments),
        Command::Models(arguments) => models::run(arguments),
        Command::Generate(arguments) => generate::run(arguments, Arguments::command()),
    };
    if let Err(cause) = &all_well {
        tell!("dfer: {cause}");
    }
    match all_well {
        _ if stop::requested() => ExitCode::from(stop::INTERRUPTED),
        Ok(true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The elements come from this program itself, not from an installed plugin.
fn init() -> Result<(), String> {
    gst::init().map_err(|e| e.to_string())?;
    gstdfer::plugin_register_static().map_err(|e| e.to_string())
}
