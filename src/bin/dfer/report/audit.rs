// SPDX-License-Identifier: MPL-2.0

//! The page of `dfer audit --report`: agreement by verdict, noise of each class, suggested labels,
//! and what speaks against single samples.

use std::fmt::Write;

use crate::evaluate::percent;
use crate::pictures;
use crate::predict::{Key, picture};
use crate::report::{Shot, details, escape, scroll, shots};
use crate::shown::{seconds, text};
use crate::verdict::{Audit, Counts, Finding, Verdict, key_spans};

/// Samples listed of each verdict at most; the CSV has all.
const LISTED: usize = 500;
/// Samples shown with pictures at most, and pictures of each.
const PICTURED: usize = 100;
const PICTURES: usize = 3;

/// Width of a plot in its own units, without what stands beside it.
const WIDTH: f64 = 900.0;
/// Bars of the histogram.
const BINS: usize = 20;
/// Height of the part of one verdict.
const PART: f64 = 90.0;

/// Told apart by colour-blind people too (Okabe and Ito 2008).
const fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Noisy => "#d55e00",
        Verdict::Hard => "#56b4e9",
        Verdict::Clean => "#009e73",
    }
}

/// `rate`: pictures are wanted, folders of pictures played at that many a second.
pub fn page(audit: &Audit<'_>, rate: Option<i32>) -> String {
    let counts = audit.counts(None);
    let mut body = format!(
        "<p>{} samples: {} noisy, {} hard, {} clean, judged by {}.</p>\n<ul>\n\
         <li><b>noisy</b>: the clips of a sample agree (from {:.4} on) on another class than its label;</li>\n\
         <li><b>hard</b>: they disagree, or no answer was possible;</li>\n\
         <li><b>clean</b>: they agree on the label.</li>\n</ul>\n\
         <p>A network judges here, and it errs too: what it takes for noise is to be looked at by people.</p>\n",
        counts.all(),
        counts.noisy,
        counts.hard,
        counts.clean,
        escape(&text(&audit.looked.model)),
        audit.threshold,
    );
    body += &unreadable(audit);
    body += "<h2>Agreement by verdict</h2>\n";
    body += &histogram(audit);
    body += "<h2>Noise of each class</h2>\n";
    body += &noise(audit);
    body += "<h2>Suggested labels</h2>\n";
    body += &relabels(audit);
    body += "<h2>Samples, the most suspicious first</h2>\n";
    for verdict in Verdict::ALL {
        body += &samples(audit, verdict, rate);
    }
    super::page("Audit of labelled footage", &body)
}

fn unreadable(audit: &Audit<'_>) -> String {
    let mut html = String::new();
    let looked = audit.looked;
    if looked.undone > 0 {
        let _ = writeln!(html, "<p>{} samples were not looked at.</p>", looked.undone);
    }
    if !looked.errors.is_empty() {
        let mut rows = String::from("<ul>");
        for (name, cause) in looked.errors.iter().take(LISTED) {
            let _ = write!(rows, "<li>{}: {}</li>", escape(name), escape(cause));
        }
        let summary = format!("{} samples could not be read", looked.errors.len());
        html += &details(&summary, &(rows + "</ul>"));
    }
    html
}

/// How many samples of each verdict have an agreement of each bin.
struct Histogram {
    /// Edges of the bins, one more than these.
    edges: Vec<f64>,
    /// For each verdict, in their order.
    counts: [Vec<usize>; 3],
}

impl Histogram {
    /// From a round number below the least agreement up to 1; `None` without agreements.
    fn of(audit: &Audit<'_>) -> Option<Self> {
        let of = |f: &Finding<'_>| f.row.seen.answer.as_ref()?.agreement;
        let least = audit.findings.iter().filter_map(of).min_by(f64::total_cmp)?;
        let low = ((least * 20.0).floor() / 20.0).clamp(0.0, 0.95);
        let edge = |k: usize| low + (1.0 - low) * k as f64 / BINS as f64;
        let bin = |a: f64| (((a - low) / (1.0 - low) * BINS as f64) as usize).min(BINS - 1);
        let counts = Verdict::ALL.map(|verdict| {
            let mut counts = vec![0; BINS];
            audit.of(verdict).filter_map(of).for_each(|a| counts[bin(a)] += 1);
            counts
        });
        Some(Self { edges: (0..=BINS).map(edge).collect(), counts })
    }
}

fn histogram(audit: &Audit<'_>) -> String {
    let Some(h) = Histogram::of(audit) else {
        return "<p>No sample has an agreement.</p>\n".to_owned();
    };
    let (low, bar) = (h.edges[0], WIDTH / BINS as f64);
    let bottom = PART * 3.0;
    let title = "Samples by the agreement of their clips, each verdict on a scale of its own; \
                 the same is in the table below";
    let mut svg = format!(
        "<svg viewBox=\"-140 0 1060 {}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>",
        bottom + 34.0
    );
    for (part, (verdict, counts)) in Verdict::ALL.iter().zip(&h.counts).enumerate() {
        let base = PART * (part + 1) as f64;
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        let (name, all) = (verdict.as_str(), counts.iter().sum::<usize>());
        let _ = write!(
            svg,
            "<text x=\"-136\" y=\"{}\">{name}: {all}</text><text x=\"-8\" y=\"{}\" text-anchor=\"end\">{most}</text>\
             <line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{base}\" y2=\"{base}\"/>",
            base - 4.0,
            base - PART + 22.0,
        );
        for (k, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            // A single sample stays visible.
            let height = ((PART - 12.0) * *count as f64 / most as f64).max(1.5);
            let _ = write!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{}\">\
                 <title>{name}, agreement {:.3} to {:.3}: {count}</title></rect>",
                bar * k as f64 + 1.0,
                base - height,
                bar - 2.0,
                colour(*verdict),
                h.edges[k],
                h.edges[k + 1],
            );
        }
    }
    for k in (0..=BINS).step_by(4) {
        let x = bar * k as f64;
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{:.3}</text>",
            bottom + 18.0,
            h.edges[k]
        );
    }
    if audit.threshold > low {
        let x = (audit.threshold - low) / (1.0 - low) * WIDTH;
        let _ = write!(
            svg,
            "<line class=\"limit\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{bottom}\">\
             <title>clips agree from {:.4} on</title></line>",
            audit.threshold
        );
    }
    let mut rows = String::from(
        "<table><tr><th scope=\"col\">agreement</th><th scope=\"col\">noisy</th>\
         <th scope=\"col\">hard</th><th scope=\"col\">clean</th></tr>\n",
    );
    for k in 0..BINS {
        let [noisy, hard, clean] = [0, 1, 2].map(|verdict| h.counts[verdict][k]);
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{:.3} to {:.3}</th><td class=\"number\">{noisy}</td>\
             <td class=\"number\">{hard}</td><td class=\"number\">{clean}</td></tr>",
            h.edges[k],
            h.edges[k + 1]
        );
    }
    let plot = scroll("Histogram of agreement by verdict", &(svg + "</svg>"));
    let table = scroll("Table of agreement by verdict", &(rows + "</table>"));
    let limit = "<p>The dashed line is where agreement begins.</p>\n";
    plot + limit + &details("Agreement by verdict as a table", &table)
}

/// Those of which there are samples, and all together.
fn classes(audit: &Audit<'_>) -> Vec<(String, Counts)> {
    let names = audit.looked.classes.iter().enumerate();
    let each = names.map(|(k, class)| (text(class), audit.counts(Some(k))));
    let all = ("all".to_owned(), audit.counts(None));
    each.chain([all]).filter(|(_, counts)| counts.all() > 0).collect()
}

fn noise(audit: &Audit<'_>) -> String {
    let classes = classes(audit);
    let height = 30.0 * classes.len() as f64;
    let title = "Share of noisy samples of each class with its 95 % interval; the same is in the table below";
    let mut svg = format!(
        "<svg viewBox=\"-140 0 1060 {}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>",
        height + 28.0
    );
    for percent in [0, 25, 50, 75, 100] {
        let x = WIDTH * f64::from(percent) / 100.0;
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"{height}\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{percent} %</text>",
            height + 18.0
        );
    }
    let mut rows = String::from(
        "<table><tr><th scope=\"col\">label</th><th scope=\"col\">noisy</th><th scope=\"col\">hard</th>\
         <th scope=\"col\">clean</th><th scope=\"col\">noise</th><th scope=\"col\">95 % interval</th></tr>\n",
    );
    for (k, (name, counts)) in classes.iter().enumerate() {
        let (Some(share), Some([low, high])) = (counts.noise(), counts.noise_interval()) else {
            continue;
        };
        let (name, y) = (escape(name), 30.0 * k as f64);
        let middle = y + 15.0;
        let _ = write!(
            svg,
            "<text x=\"-136\" y=\"{}\">{name}</text><rect x=\"0\" y=\"{}\" width=\"{:.1}\" height=\"20\" fill=\"{}\">\
             <title>{name}: {}</title></rect><line class=\"key\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>",
            y + 20.0,
            y + 5.0,
            WIDTH * share,
            colour(Verdict::Noisy),
            percent(share),
            WIDTH * low,
            WIDTH * high,
        );
        let Counts { noisy, hard, clean } = counts;
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{name}</th><td class=\"number\">{noisy}</td><td class=\"number\">{hard}</td>\
             <td class=\"number\">{clean}</td><td class=\"number\">{}</td><td>{} to {}</td></tr>",
            percent(share),
            percent(low),
            percent(high)
        );
    }
    let plot = scroll("Noise of each class", &(svg + "</svg>"));
    let table = scroll("Table of the noise of each class", &(rows + "</table>"));
    let note = "<p>Share of samples whose clips agree on another class. Mistakes of the network count in, so \
                that it is rather too high than too low; the line is the 95 % interval.</p>\n";
    plot + note + &details("Noise of each class as a table", &table)
}

/// How many noisy samples of each label would get which other one.
fn relabels(audit: &Audit<'_>) -> String {
    let classes = &audit.looked.classes;
    let mut counts = vec![vec![0usize; classes.len()]; classes.len()];
    for finding in audit.of(Verdict::Noisy) {
        if let Some(answer) = &finding.row.seen.answer {
            counts[finding.row.truth][answer.top().0] += 1;
        }
    }
    if counts.iter().flatten().all(|count| *count == 0) {
        return "<p>No other label is suggested.</p>\n".to_owned();
    }
    let mut rows = String::from(
        "<table><caption>Noisy samples: their label, and the one the clips agree on</caption>\
         <tr><th scope=\"col\">label</th>",
    );
    for class in classes {
        let _ = write!(rows, "<th scope=\"col\">{}</th>", escape(&text(class)));
    }
    rows += "</tr>\n";
    for (class, row) in classes.iter().zip(&counts) {
        let _ = write!(rows, "<tr><th scope=\"row\">{}</th>", escape(&text(class)));
        for count in row {
            let shown = if *count > 0 { count.to_string() } else { String::new() };
            let _ = write!(rows, "<td class=\"number\">{shown}</td>");
        }
        rows += "</tr>\n";
    }
    scroll("Suggested labels", &(rows + "</table>"))
}

fn samples(audit: &Audit<'_>, verdict: Verdict, rate: Option<i32>) -> String {
    let count = audit.of(verdict).count();
    let summary = format!("{} samples: {count}", verdict.as_str());
    if count == 0 {
        return format!("<p>{summary}</p>\n");
    }
    let mut rows = String::from("<table>");
    if count > LISTED {
        let _ = write!(rows, "<caption>The first {LISTED}; --csv lists all.</caption>");
    }
    rows += "<tr><th scope=\"col\">sample</th><th scope=\"col\">label</th><th scope=\"col\">suggested</th>\
             <th scope=\"col\">suspicion</th><th scope=\"col\">probability</th><th scope=\"col\">agreement</th>\
             <th scope=\"col\">key moments</th></tr>\n";
    for (n, finding) in audit.of(verdict).take(LISTED).enumerate() {
        let answer = finding.row.seen.answer.as_ref();
        let number = |v: Option<f64>| v.map_or("unknown".to_owned(), |v| format!("{v:.3}"));
        let spans: Vec<_> = key_spans(finding.row)
            .iter()
            .map(|[start, end]| format!("{} to {}", seconds(*start), seconds(*end)))
            .collect();
        let pictured = rate.filter(|_| verdict != Verdict::Clean && n < PICTURED);
        let pictures = pictured.map_or(String::new(), |rate| pictures_of(finding, rate));
        let _ = writeln!(
            rows,
            "<tr><td class=\"name\">{}{pictures}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            escape(&finding.row.name),
            escape(&text(audit.label(finding))),
            escape(&text(audit.suggested(finding).unwrap_or("none"))),
            number(answer.map(|_| finding.suspicion)),
            number(answer.map(|a| a.top().1)),
            number(answer.and_then(|a| a.agreement)),
            spans.join(", "),
        );
    }
    let name = format!("Table of {} samples", verdict.as_str());
    details(&summary, &scroll(&name, &(rows + "</table>")))
}

/// A few of a sample's key moments, spread over it.
fn pictures_of(finding: &Finding<'_>, rate: i32) -> String {
    let Some(path) = &finding.row.path else { return String::new() };
    let keys = &finding.row.seen.keys;
    let is_still = !path.is_dir() && matches!(picture(path), Ok(Some(_)));
    let count = keys.len().min(if is_still { 1 } else { PICTURES });
    let chosen: Vec<Key> = (0..count).map(|k| keys[keys.len() * k / count]).collect();
    let taken = pictures::take(path, rate, &chosen).unwrap_or_else(|cause| {
        tell!("dfer: {}: no pictures: {cause}", finding.row.name);
        Vec::new()
    });
    let all: Vec<Shot> = chosen
        .iter()
        .zip(taken)
        .filter_map(|(key, picture)| Some(Shot { picture: picture?, text: seconds(key.t) }))
        .collect();
    shots(&all)
}
