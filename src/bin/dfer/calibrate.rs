// SPDX-License-Identifier: MPL-2.0

//! `dfer calibrate`: temperature and thresholds for somebody's own footage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gstdfer::runtime::contract::Description;
use gstdfer::runtime::models;
use gstdfer::runtime::package::Package;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::calibration::{
    Fitted, Gates, Given, Item, LEAST, Wish, cross_validate, fit, given, likelihood, scored,
};
use crate::data::{Data, Looked};
use crate::evaluate::{percent, print};
use crate::metrics::{Scored, ece};
use crate::output::Output;
use crate::{audit, shown, stop};

/// Fit a model's temperature and thresholds to labelled footage.
///
/// Writes a model.toml in which the temperature makes probabilities tell how often answers are
/// right, and min-agreement and min-confidence give the wished coverage or error; the network stays
/// as it is. Use footage that is not measured later, for example --split train.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// The model.toml to write; the graphs it names are put beside it unless they are there.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Share of the samples that is to be answered at least, 0 to 1; as few as possible of these
    /// answers are wrong. 0.9 unless --error is given.
    #[arg(long, value_name = "SHARE", value_parser = audit::unit, conflicts_with = "error")]
    coverage: Option<f64>,
    /// Share of the answers that may be wrong, 0 to 1; as many as possible are given.
    #[arg(long, value_name = "SHARE", value_parser = audit::unit)]
    error: Option<f64>,
}

const COVERAGE: f64 = 0.9;

pub fn run(arguments: &Arguments) -> Result<bool, String> {
    arguments.data.refuse_overwriting([&Some(arguments.output.clone())])?;
    let output = Output::new(&arguments.output)?;
    let package = models::open_expression(arguments.data.model.as_deref());
    let package = package.map_err(|e| e.to_string())?;
    let graphs = missing_graphs(&package, &arguments.output)?;
    let looked = arguments.data.look(true)?;
    if stop::requested() {
        looked.complain();
        return Err(
            "no model is written after an interrupt; --results with --resume would go on".into()
        );
    }
    if looked.model != package.id() {
        let (theirs, ours) = (shown::text(&looked.model), shown::text(package.id()));
        return Err(format!("the answers are of {theirs}, not of {ours}; give it with --model"));
    }
    let items: Vec<Item> = looked
        .readable
        .iter()
        .map(|row| Item { truth: row.truth, logits: row.seen.logits.clone() })
        .collect();
    let answered = items.iter().filter(|item| !item.logits.is_empty()).count();
    if answered < LEAST {
        looked.complain();
        return Err(format!("{answered} samples have an answer; at least {LEAST} are needed"));
    }
    let wish = match arguments.error {
        Some(error) => Wish::Error(error),
        None => Wish::Coverage(arguments.coverage.unwrap_or(COVERAGE)),
    };
    let before = calibration(&package);
    let after = fit(&items, before.agreement_temperature, wish)?;
    print(&table(&items, before, after, wish, &looked))?;
    let text = calibrated(&package, after)?;
    for (path, bytes) in graphs {
        Output::new(&path)?.fill(bytes)?;
    }
    output.fill(text)?;
    // What was written is what will be read.
    models::describe(Some(&arguments.output)).map_err(|e| e.to_string())?;
    Ok(looked.complain())
}

/// The graphs that are not beside the file to be written.
fn missing_graphs<'a>(
    package: &'a Package,
    output: &Path,
) -> Result<Vec<(PathBuf, &'a [u8])>, String> {
    let folder = output.parent().unwrap_or(Path::new(""));
    let mut missing = Vec::new();
    for (file, bytes) in package.description.graphs.iter().zip(&package.graphs) {
        let path = folder.join(&file.file);
        match fs::read(&path) {
            Ok(there) if Sha256::digest(&there) == Sha256::digest(&*bytes.onnx) => {}
            Ok(_) => {
                return Err(format!(
                    "{}: is there already and is not this model's graph; write into another folder",
                    shown::path(&path)
                ));
            }
            Err(_) => missing.push((path, &*bytes.onnx)),
        }
    }
    Ok(missing)
}

/// The part of a model.toml that is written anew, and where it stands.
#[derive(Deserialize)]
struct Written {
    calibration: Option<BTreeMap<String, Spanned<f64>>>,
}

/// The model's own text, comments included, with other values.
fn calibrated(package: &Package, fitted: Fitted) -> Result<String, String> {
    let told = |e: toml::de::Error| format!("{}: {e}", shown::text(&package.label));
    let Written { calibration } = toml::from_str(&package.toml).map_err(told)?;
    let mut text = package.toml.clone();
    let values = [
        ("temperature", fitted.temperature),
        // Written down, as for want of it the temperature would hold.
        ("agreement-temperature", fitted.agreement_temperature),
        ("min-agreement", fitted.gates.min_agreement),
        ("min-confidence", fitted.gates.min_confidence),
    ];
    match calibration {
        Some(mut places) => {
            // From the end, so that what is before stays where it is.
            let end = places.values().map(|place| place.span().end).max().unwrap_or(text.len());
            let mut new = String::new();
            let mut edits = Vec::new();
            for (key, value) in values {
                match places.remove(key) {
                    Some(place) => edits.push((place.span(), format!("{value:?}"))),
                    None => new += &format!("\n{key} = {value:?}"),
                }
            }
            let end = text[end..].find('\n').map_or(text.len(), |line| end + line);
            edits.push((end..end, new));
            edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
            edits.into_iter().for_each(|(span, new)| text.replace_range(span, &new));
        }
        None => {
            let lines = values.map(|(key, value)| format!("{key} = {value:?}\n")).concat();
            text = format!("{}\n\n[calibration]\n{lines}", text.trim_end());
        }
    }
    Description::parse(&package.label, &text).map_err(|e| e.to_string())?;
    Ok(text)
}

fn table(items: &[Item], before: Fitted, after: Fitted, wish: Wish, looked: &Looked) -> String {
    let line = |name: &str, samples: &[Scored], given: Given| {
        let number = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.3}"));
        let answered = samples.iter().filter(|s| s.answer.is_some()).count().max(1);
        let right = samples.iter().filter(|s| s.is_right()).count() as f64 / answered as f64;
        let share = |s: Option<f64>| s.map_or("-".to_owned(), percent);
        format!(
            "{name:<24}{:>7}{:>7}{:>10}{:>10}{:>10}\n",
            number(ece(samples)),
            number(likelihood(samples)),
            percent(right),
            percent(given.coverage),
            share(given.accuracy),
        )
    };
    let mut text = format!(
        "{} samples{}, {} unreadable; {}\n",
        looked.readable.len(),
        looked.doubtful(),
        looked.errors.len(),
        match wish {
            Wish::Coverage(share) => format!("wished: {} answered", percent(share)),
            Wish::Error(share) =>
                format!("wished: {} of the answers wrong at most", percent(share)),
        }
    );
    text += &format!(
        "{:<24}{:>7}{:>7}{:>10}{:>10}{:>10}\n",
        "", "ECE", "NLL", "accuracy", "given", "right"
    );
    for (name, fitted) in [("before", before), ("after", after)] {
        let samples = scored(items, fitted);
        text += &line(name, &samples, given(&samples, fitted.gates));
    }
    match cross_validate(items, after.agreement_temperature, wish) {
        Some((samples, given)) => text += &line("after, on unseen samples", &samples, given),
        None => text += "after, on unseen samples: there are too few to tell\n",
    }
    let values = |f: Fitted| {
        format!(
            "temperature {:.3}, min-agreement {:.4}, min-confidence {:.4}",
            f.temperature, f.gates.min_agreement, f.gates.min_confidence
        )
    };
    text + &format!("before: {}\nafter:  {}\n", values(before), values(after))
}

/// Temperatures and thresholds as the model has them.
fn calibration(package: &Package) -> Fitted {
    let single = |v: f32| (f64::from(v) * 1e6).round() / 1e6;
    let spec = package.description.kind.expression();
    spec.map_or_else(Fitted::default, |spec| Fitted {
        temperature: single(spec.temperature),
        agreement_temperature: single(spec.agreement_temperature),
        gates: Gates {
            min_agreement: single(spec.min_agreement),
            min_confidence: single(spec.min_confidence),
        },
    })
}
