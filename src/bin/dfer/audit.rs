// SPDX-License-Identifier: MPL-2.0

//! `dfer audit`: which labels of a data set cannot be trusted, and which samples are hard.

use std::path::PathBuf;

use gstdfer::core::Ns;
use serde::Serialize;

use crate::data::Data;
use crate::evaluate::print;
use crate::output::Output;
use crate::verdict::{Audit, Verdict, key_spans};
use crate::{report, shown};

/// Find noisy and hard samples in labelled footage, the worst first.
///
/// Clips of a sample that agree on its label make it clean; agreeing on another class, noisy;
/// disagreeing, hard. Samples that cannot be read are listed, and the exit status is 1.
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
    /// Page with the agreement of all samples, the noise of each class, and suggested labels; it
    /// needs no network.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Show the faces at key moments of suspicious samples on the page.
    #[arg(long, requires = "report", conflicts_with = "from")]
    with_pictures: bool,
    /// File for the time spans of the key expression of every clean sample, as JSON lines.
    #[arg(long, value_name = "FILE")]
    export_keys: Option<PathBuf>,
}

/// A share, for options.
pub fn unit(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|v| (0.0..=1.0).contains(v));
    value.ok_or_else(|| "a number from 0 to 1 is wanted".to_owned())
}

/// Samples listed on the standard output.
const LISTED: usize = 20;

pub fn run(arguments: &Arguments) -> Result<bool, String> {
    let Arguments { data, csv, report, export_keys, .. } = arguments;
    data.refuse_overwriting([csv, report, export_keys])?;
    let csv = arguments.csv.as_deref().map(Output::new).transpose()?;
    let page = arguments.report.as_deref().map(Output::new).transpose()?;
    let keys = arguments.export_keys.as_deref().map(Output::new).transpose()?;
    let looked = arguments.data.look(false)?;
    if looked.readable.is_empty() {
        return looked.nothing();
    }
    let audit = Audit::new(&looked, arguments.min_agreement);
    print(&table(&audit))?;
    if let Some(output) = csv {
        output.fill(rows(&audit))?;
    }
    if let Some(output) = keys {
        output.fill(spans(&audit)?)?;
    }
    if let Some(output) = page {
        let pictures = arguments.with_pictures.then_some(arguments.data.rate);
        output.fill(report::audit::page(&audit, pictures))?;
    }
    Ok(looked.complain())
}

fn table(audit: &Audit<'_>) -> String {
    let mut lines = vec![format!(
        "{} samples{}; clips agree from {:.4} on",
        audit.findings.len(),
        audit.looked.doubtful(),
        audit.threshold
    )];
    lines.push(format!(
        "{:>12}{:>8}{:>8}{:>8}{:>14}",
        "label", "noisy", "hard", "clean", "noisy share"
    ));
    let mut line = |name: &str, class: Option<usize>| {
        let counts = audit.counts(class);
        if let Some(noise) = counts.noise() {
            let (noisy, hard, clean) = (counts.noisy, counts.hard, counts.clean);
            let share = 100.0 * noise;
            lines.push(format!("{name:>12}{noisy:>8}{hard:>8}{clean:>8}{share:>12.1} %"));
        }
    };
    for (k, class) in audit.looked.classes.iter().enumerate() {
        line(&shown::text(class), Some(k));
    }
    line("all", None);
    if audit.counts(None).noisy > 0 {
        lines.push(String::new());
        lines.push("worst first: suspicion, label, suggested label, sample".to_owned());
    }
    for finding in audit.of(Verdict::Noisy).take(LISTED) {
        let label = shown::text(audit.label(finding));
        let suggested = shown::text(audit.suggested(finding).unwrap_or(""));
        let name = &finding.row.name;
        lines.push(format!("{:.3} {label:>9} {suggested:>9}  {name}", finding.suspicion));
    }
    lines.join("\n") + "\n"
}

fn rows(audit: &Audit<'_>) -> String {
    let mut text = String::from(
        "sample,label,verdict,suspicion,suggested,probability,label-probability,agreement,key-times,doubtful\n",
    );
    for finding in &audit.findings {
        let row = finding.row;
        let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.4}"));
        let answer = row.seen.answer.as_ref();
        let times: Vec<_> = row.seen.keys.iter().map(|key| key.t.to_string()).collect();
        let cells = [
            quoted(&row.name),
            quoted(audit.label(finding)),
            finding.verdict.as_str().to_owned(),
            number(answer.map(|_| finding.suspicion)),
            quoted(audit.suggested(finding).unwrap_or("")),
            number(answer.map(|a| a.top().1)),
            number(answer.map(|a| a.probabilities[row.truth])),
            number(answer.and_then(|a| a.agreement)),
            times.join(" "),
            row.seen.doubtful.to_string(),
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

fn spans(audit: &Audit<'_>) -> Result<String, String> {
    let mut text = String::new();
    for finding in audit.of(Verdict::Clean) {
        let keys = Keys {
            sample: &finding.row.name,
            label: audit.label(finding),
            spans: key_spans(finding.row),
        };
        text += &serde_json::to_string(&keys).map_err(|e| e.to_string())?;
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted() {
        assert_eq!(quoted("=a,\"b\""), "\"'=a,\"\"b\"\"\"");
        assert_eq!(quoted("plain"), "plain");
    }
}
