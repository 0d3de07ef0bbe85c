// SPDX-License-Identifier: MPL-2.0

//! `dfer audit`: which labels of a data set cannot be trusted, and which samples are hard.
//!
//! Clips of one sample that agree with each other and with the label make it clean; agreeing on
//! another class, noisy; disagreeing, hard (Liu, Wang, Shen, "Robust Dynamic Facial Expression
//! Recognition", arXiv 2502.16129).

use std::path::PathBuf;

use gstdfer::core::Ns;
use serde::Serialize;

use crate::evaluate::{Data, Looked, Row, print};
use crate::output::Output;
use crate::shown;

/// Find noisy and hard samples in labelled footage, the worst first.
///
/// Samples that cannot be read are listed, and the exit status is 1.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Clips agree from here on, 0 to 1; chosen from the data unless given.
    #[arg(long, value_parser = unit)]
    min_agreement: Option<f64>,
    /// File for the verdict on every sample.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// File for the time spans of the key expression of every clean sample, as JSON lines.
    #[arg(long, value_name = "FILE")]
    export_keys: Option<PathBuf>,
}

fn unit(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|v| (0.0..=1.0).contains(v));
    value.ok_or_else(|| "a number from 0 to 1 is wanted".to_owned())
}

/// In the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// The clips agree on another class.
    Noisy,
    /// The clips disagree, or nothing was decided.
    Hard,
    /// The clips agree on the label.
    Clean,
}

impl Verdict {
    const ALL: [Self; 3] = [Self::Noisy, Self::Hard, Self::Clean];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Noisy => "noisy",
            Self::Hard => "hard",
            Self::Clean => "clean",
        }
    }
}

/// What was found about one sample.
struct Finding<'a> {
    row: &'a Row,
    verdict: Verdict,
    /// 0 to 1: how strongly the clips together speak against the label.
    suspicion: f64,
}

/// Frames of a key moment: two before it and one after it, at 15 a second.
const BEFORE: Ns = 133_333_333;
const AFTER: Ns = 66_666_667;

/// Samples listed on the standard output.
const LISTED: usize = 20;

pub fn run(arguments: &Arguments) -> Result<bool, String> {
    let csv = arguments.csv.as_deref().map(Output::new).transpose()?;
    let keys = arguments.export_keys.as_deref().map(Output::new).transpose()?;
    let looked = arguments.data.look()?;
    if looked.readable.is_empty() {
        return Err(format!("{}: no sample could be read", shown::path(&arguments.data.root)));
    }
    let agreements: Vec<f64> =
        looked.readable.iter().filter_map(|row| row.scored.answer.as_ref()?.agreement).collect();
    let threshold = arguments.min_agreement.unwrap_or_else(|| otsu(&agreements));
    let mut findings: Vec<_> = looked.readable.iter().map(|row| judge(row, threshold)).collect();
    findings.sort_by(|a, b| a.verdict.cmp(&b.verdict).then(b.suspicion.total_cmp(&a.suspicion)));
    print(&table(&findings, threshold, &looked))?;
    if let Some(output) = csv {
        output.fill(&rows(&findings, &looked))?;
    }
    if let Some(output) = keys {
        output.fill(&spans(&findings, &looked)?)?;
    }
    Ok(looked.complain())
}

fn judge(row: &Row, threshold: f64) -> Finding<'_> {
    let Some(answer) = &row.scored.answer else {
        return Finding { row, verdict: Verdict::Hard, suspicion: 0.0 };
    };
    // With one clip there is nobody to disagree.
    let agreement = answer.agreement.unwrap_or(1.0);
    let verdict = match answer.top().0 == row.scored.truth {
        _ if agreement < threshold => Verdict::Hard,
        true => Verdict::Clean,
        false => Verdict::Noisy,
    };
    let against = 1.0 - answer.probabilities[row.scored.truth];
    Finding { row, verdict, suspicion: agreement * against }
}

/// The value that splits others into the two groups with the greatest variance between them, as
/// the lowest of the upper group; Otsu 1979, "A threshold selection method from gray-level
/// histograms". 0 for fewer than two different values: nothing stands apart.
fn otsu(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let total: f64 = sorted.iter().sum();
    let count = sorted.len() as f64;
    let (mut best, mut below) = ((0.0, 0.0), 0.0);
    for (n, pair) in sorted.windows(2).enumerate() {
        below += pair[0];
        if pair[0] == pair[1] {
            continue;
        }
        let low = (n + 1) as f64;
        let gap = below / low - (total - below) / (count - low);
        let variance = low * (count - low) * gap * gap;
        if variance > best.0 {
            best = (variance, pair[1]);
        }
    }
    best.1
}

fn table(findings: &[Finding<'_>], threshold: f64, looked: &Looked) -> String {
    let count = |verdict: Verdict, class: Option<usize>| {
        let of = |f: &&Finding<'_>| {
            f.verdict == verdict && class.is_none_or(|k| f.row.scored.truth == k)
        };
        findings.iter().filter(of).count()
    };
    let mut lines = vec![format!("{} samples; clips agree from {threshold:.4} on", findings.len())];
    lines.push(format!(
        "{:>12}{:>8}{:>8}{:>8}{:>14}",
        "label", "noisy", "hard", "clean", "noisy share"
    ));
    let mut line = |name: &str, class: Option<usize>| {
        let [noisy, hard, clean] = Verdict::ALL.map(|verdict| count(verdict, class));
        let all = noisy + hard + clean;
        if all > 0 {
            let share = 100.0 * noisy as f64 / all as f64;
            lines.push(format!("{name:>12}{noisy:>8}{hard:>8}{clean:>8}{share:>12.1} %"));
        }
    };
    for (k, class) in looked.classes.iter().enumerate() {
        line(&shown::text(class), Some(k));
    }
    line("all", None);
    let worst: Vec<_> = findings.iter().filter(|f| f.verdict == Verdict::Noisy).collect();
    if !worst.is_empty() {
        lines.push(String::new());
        lines.push("worst first: suspicion, label, suggested label, sample".to_owned());
    }
    for finding in worst.into_iter().take(LISTED) {
        let label = shown::text(&looked.classes[finding.row.scored.truth]);
        let suggested = shown::text(suggested(finding, looked));
        let name = &finding.row.sample.name;
        lines.push(format!("{:.3} {label:>9} {suggested:>9}  {name}", finding.suspicion));
    }
    lines.join("\n") + "\n"
}

/// The class that the clips speak for.
fn suggested<'a>(finding: &Finding<'_>, looked: &'a Looked) -> &'a str {
    finding.row.scored.answer.as_ref().map_or("", |a| looked.classes[a.top().0].as_str())
}

fn rows(findings: &[Finding<'_>], looked: &Looked) -> String {
    let mut text = String::from(
        "sample,label,verdict,suspicion,suggested,probability,label-probability,agreement,key-times\n",
    );
    for finding in findings {
        let row = finding.row;
        let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.4}"));
        let answer = row.scored.answer.as_ref();
        let times: Vec<_> = row.seen.key_times.iter().map(ToString::to_string).collect();
        let cells = [
            quoted(&row.sample.name),
            quoted(&looked.classes[row.scored.truth]),
            finding.verdict.as_str().to_owned(),
            number(answer.map(|_| finding.suspicion)),
            quoted(suggested(finding, looked)),
            number(answer.map(|a| a.top().1)),
            number(answer.map(|a| a.probabilities[row.scored.truth])),
            number(answer.and_then(|a| a.agreement)),
            times.join(" "),
        ];
        text += &cells.join(",");
        text.push('\n');
    }
    text
}

/// As RFC 4180 has it; a text that a spreadsheet would compute gets an apostrophe.
fn quoted(cell: &str) -> String {
    let guard = if cell.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{guard}{}\"", cell.replace('"', "\"\""))
    } else {
        format!("{guard}{cell}")
    }
}

#[derive(Serialize)]
struct Keys<'a> {
    sample: &'a str,
    label: &'a str,
    /// Start and end in nanoseconds.
    spans: Vec<[Ns; 2]>,
}

fn spans(findings: &[Finding<'_>], looked: &Looked) -> Result<String, String> {
    let mut text = String::new();
    for finding in findings.iter().filter(|f| f.verdict == Verdict::Clean) {
        let keys = Keys {
            sample: &finding.row.sample.name,
            label: &looked.classes[finding.row.scored.truth],
            spans: joined(&finding.row.seen.key_times),
        };
        text += &serde_json::to_string(&keys).map_err(|e| e.to_string())?;
        text.push('\n');
    }
    Ok(text)
}

/// Spans around sorted key moments; those that overlap become one.
fn joined(times: &[Ns]) -> Vec<[Ns; 2]> {
    let mut spans: Vec<[Ns; 2]> = Vec::new();
    for t in times {
        let (start, end) = (t.saturating_sub(BEFORE), t + AFTER);
        match spans.last_mut().filter(|last| last[1] >= start) {
            Some(last) => last[1] = end,
            None => spans.push([start, end]),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Sample;
    use crate::metrics::{Answer, Scored};
    use crate::predict::Seen;

    fn row(truth: usize, probabilities: &[f64], agreement: f64) -> Row {
        let answer = Answer { probabilities: probabilities.to_vec(), agreement: Some(agreement) };
        Row {
            sample: Sample { path: "x".into(), name: "x".into(), label: "a".into(), fold: None },
            seen: Seen { answer: Some(answer.clone()), key_times: Vec::new() },
            scored: Scored { truth, answer: Some(answer) },
        }
    }

    #[test]
    fn verdicts_are_those_of_the_paper() {
        let of = |truth, agreement| {
            let row = row(truth, &[0.8, 0.2], agreement);
            let finding = judge(&row, 0.7);
            (finding.verdict, finding.suspicion)
        };
        assert_eq!(of(0, 0.7).0, Verdict::Clean);
        assert_eq!(of(1, 0.9).0, Verdict::Noisy);
        assert_eq!(of(1, 0.69).0, Verdict::Hard);
        assert!((of(1, 0.9).1 - 0.9 * 0.8).abs() < 1e-12);
        assert!(of(0, 0.9).1 < of(1, 0.9).1);
    }

    #[test]
    fn threshold_lies_between_the_groups() {
        assert_eq!(otsu(&[0.9, 0.2, 0.95, 0.3, 0.92]), 0.9);
        assert_eq!(otsu(&[1.0, 1.0]), 0.0);
        assert_eq!(otsu(&[]), 0.0);
    }

    #[test]
    fn key_spans_join_and_cells_are_quoted() {
        let ms = 1_000_000;
        let joined = joined(&[50 * ms, 200 * ms, 900 * ms]);
        assert_eq!(joined, [[0, 266_666_667], [766_666_667, 966_666_667]]);
        assert_eq!(quoted("=a,\"b\""), "\"'=a,\"\"b\"\"\"");
        assert_eq!(quoted("plain"), "plain");
    }
}
