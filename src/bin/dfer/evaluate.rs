// SPDX-License-Identifier: MPL-2.0

//! `dfer evaluate`: how good a model is on labelled footage.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use gstdfer::core::Ns;
use serde::Serialize;

use crate::data::{Data, Looked, Row};
use crate::metrics::{Metrics, Scored, metrics};
use crate::output::Output;
use crate::shown;

/// Measure a model on labelled footage.
///
/// Every sample counts. Where no face is found the likeliest thing is taken for it, at half the
/// detector's threshold, or the whole of a picture that is square or of at most 128 pixels a side,
/// and counted as doubtful; a sample without an answer even so is wrong. Samples that cannot be read
/// are listed, and the exit status is 1. After an interrupt the figures are those of what was done
/// so far.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// File for all figures and the answer to every sample.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    schema: &'static str,
    classes: &'a [String],
    metrics: &'a Metrics,
    /// One for each fold of a data set that has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    folds: Vec<Fold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples_per_second: Option<f64>,
    errors: Vec<Failure<'a>>,
    undone: usize,
    predictions: Vec<Prediction<'a>>,
}

#[derive(Serialize)]
struct Fold {
    fold: u8,
    samples: usize,
    war: f64,
    uar: f64,
}

#[derive(Serialize)]
struct Failure<'a> {
    sample: &'a str,
    cause: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Prediction<'a> {
    sample: &'a str,
    label: &'a str,
    answer: Option<&'a str>,
    probabilities: Option<&'a [f64]>,
    agreement: Option<f64>,
    /// Answered on what the detector would not take for a face, as there was no other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    doubtful: bool,
    /// Nanoseconds from the start.
    key_times: Vec<Ns>,
}

pub fn run(arguments: &Arguments) -> Result<bool, String> {
    arguments.data.refuse_overwriting([&arguments.json])?;
    let json = arguments.json.as_deref().map(Output::new).transpose()?;
    let looked = arguments.data.look(false)?;
    let scored: Vec<Scored> = looked.readable.iter().map(Row::scored).collect();
    let Some(metrics) = metrics(&looked.classes, &scored) else { return looked.nothing() };
    let folds = folds(&looked);
    print(&table(&metrics, &folds, &looked))?;
    if let Some(output) = json {
        let report = report(&looked, &metrics, folds);
        let text = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
        output.fill(&(text + "\n"))?;
    }
    Ok(looked.complain())
}

/// To the standard output, whose reader may have gone.
pub fn print(text: &str) -> Result<(), String> {
    let told = |e| format!("the standard output cannot be written: {e}");
    std::io::stdout().write_all(text.as_bytes()).map_err(told)
}

fn folds(looked: &Looked) -> Vec<Fold> {
    let numbers: BTreeSet<u8> = looked.readable.iter().filter_map(|r| r.fold).collect();
    let of = |fold: u8| {
        let rows = looked.readable.iter().filter(|r| r.fold == Some(fold));
        let scored: Vec<Scored> = rows.map(Row::scored).collect();
        let m = metrics(&looked.classes, &scored)?;
        Some(Fold { fold, samples: m.samples, war: m.war, uar: m.uar })
    };
    numbers.into_iter().filter_map(of).collect()
}

fn report<'a>(looked: &'a Looked, metrics: &'a Metrics, folds: Vec<Fold>) -> Report<'a> {
    let failure = |(sample, cause): &'a (String, String)| Failure { sample, cause };
    let prediction = |row: &'a Row| Prediction {
        sample: &row.name,
        label: &looked.classes[row.truth],
        answer: row.seen.answer.as_ref().map(|a| looked.classes[a.top().0].as_str()),
        probabilities: row.seen.answer.as_ref().map(|a| a.probabilities.as_slice()),
        agreement: row.seen.answer.as_ref().and_then(|a| a.agreement),
        doubtful: row.seen.doubtful,
        key_times: row.seen.keys.iter().map(|key| key.t).collect(),
    };
    Report {
        schema: "dfer-evaluation/1",
        classes: &looked.classes,
        metrics,
        folds,
        samples_per_second: looked.per_second(),
        errors: looked.errors.iter().map(failure).collect(),
        undone: looked.undone,
        predictions: looked.readable.iter().map(prediction).collect(),
    }
}

pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn table(m: &Metrics, folds: &[Fold], looked: &Looked) -> String {
    let rate = looked.per_second().map_or(String::new(), |rate| format!(", {rate:.1} a second"));
    let (samples, answered, errors) = (m.samples, m.answered, looked.errors.len());
    let mut lines = vec![format!(
        "{samples} samples, {answered} answered{}, {errors} unreadable{rate}",
        looked.doubtful()
    )];
    let between = |[low, high]: [f64; 2]| format!("({} to {})", percent(low), percent(high));
    lines.push(format!("WAR {} {}", percent(m.war), between(m.war_interval)));
    lines.push(format!("UAR {} {}", percent(m.uar), between(m.uar_interval)));
    if let Some(ece) = m.ece {
        lines.push(format!("ECE {ece:.3}"));
    }
    for fold in folds {
        let (war, uar) = (percent(fold.war), percent(fold.uar));
        lines.push(format!("fold {}: {} samples, WAR {war}, UAR {uar}", fold.fold, fold.samples));
    }
    if let [_, _, ..] = folds {
        let mean = |of: fn(&Fold) -> f64| folds.iter().map(of).sum::<f64>() / folds.len() as f64;
        let (war, uar) = (percent(mean(|f| f.war)), percent(mean(|f| f.uar)));
        lines.push(format!("mean of the folds: WAR {war}, UAR {uar}"));
    }
    lines.push(String::new());
    // Rows are labels, columns answers.
    let names: Vec<_> = looked.classes.iter().map(|c| shown::text(c)).collect();
    let header: String = names.iter().map(|name| format!("{name:>9}")).collect();
    lines.push(format!("{:>12}{header}{:>9}{:>10}{:>10}", "label", "none", "recall", "precision"));
    for (class, row) in m.classes.iter().zip(&m.confusion) {
        let counts: String = row.iter().map(|n| format!("{n:>9}")).collect();
        let share = |s: Option<f64>| s.map_or("-".to_owned(), percent);
        let (recall, precision) = (share(class.recall), share(class.precision));
        lines.push(format!("{:>12}{counts}{recall:>10}{precision:>10}", shown::text(&class.class)));
    }
    if !m.agreement.is_empty() {
        lines.push(String::new());
        lines.push("agreement      share  accuracy".to_owned());
    }
    for bin in &m.agreement {
        let (share, accuracy) = (percent(bin.share), percent(bin.accuracy));
        lines.push(format!("{:.1} to {:.1} {share:>10}{accuracy:>10}", bin.from, bin.to));
    }
    if !m.coverage.is_empty() {
        lines.push(String::new());
        lines.push("coverage  accuracy  min-agreement".to_owned());
    }
    for point in &m.coverage {
        let (covered, accuracy) = (percent(point.coverage), percent(point.accuracy));
        lines.push(format!("{covered:>8}{accuracy:>10}{:>15.4}", point.min_agreement));
    }
    lines.join("\n") + "\n"
}
