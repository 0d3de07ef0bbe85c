// SPDX-License-Identifier: MPL-2.0

//! Whether a label can be trusted.
//!
//! Clips of one sample that agree with each other and with the label make it clean; agreeing on
//! another class, noisy; disagreeing, hard (Liu, Wang, Shen, "Robust Dynamic Facial Expression
//! Recognition", arXiv 2502.16129).

use gstdfer::core::Ns;

use crate::data::{Looked, Row};

/// In the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The clips agree on another class.
    Noisy,
    /// The clips disagree, or nothing was decided.
    Hard,
    /// The clips agree on the label.
    Clean,
}

impl Verdict {
    pub const ALL: [Self; 3] = [Self::Noisy, Self::Hard, Self::Clean];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noisy => "noisy",
            Self::Hard => "hard",
            Self::Clean => "clean",
        }
    }
}

/// What was found about one sample.
pub struct Finding<'a> {
    pub row: &'a Row,
    pub verdict: Verdict,
    /// 0 to 1: how strongly the clips together speak against the label.
    pub suspicion: f64,
}

/// What was found about all samples.
pub struct Audit<'a> {
    pub looked: &'a Looked,
    /// Clips agree from here on, 0 to 1.
    pub threshold: f64,
    /// Noisy, then hard, then clean ones, the most suspicious first.
    pub findings: Vec<Finding<'a>>,
}

/// Samples of one class, or of all, by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub noisy: usize,
    pub hard: usize,
    pub clean: usize,
}

/// Frames of a key moment: two before it and one after it, at 15 a second.
const BEFORE: Ns = 133_333_333;
const AFTER: Ns = 66_666_667;

impl<'a> Audit<'a> {
    /// With the threshold chosen from the data unless given.
    pub fn new(looked: &'a Looked, threshold: Option<f64>) -> Self {
        let answers = looked.readable.iter().filter_map(|row| row.seen.answer.as_ref());
        // Stills agree wholly, whatever they show: they do not tell where disagreement begins.
        let agreements: Vec<f64> =
            answers.filter_map(|answer| answer.agreement).filter(|a| *a < 1.0).collect();
        let threshold = threshold.unwrap_or_else(|| otsu(&agreements));
        let mut findings: Vec<_> =
            looked.readable.iter().map(|row| judge(row, threshold)).collect();
        findings
            .sort_by(|a, b| a.verdict.cmp(&b.verdict).then(b.suspicion.total_cmp(&a.suspicion)));
        Self { looked, threshold, findings }
    }

    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Finding<'a>> {
        self.findings.iter().filter(move |finding| finding.verdict == verdict)
    }

    /// Of one class, or of all.
    pub fn counts(&self, class: Option<usize>) -> Counts {
        let count = |verdict| {
            let labelled = |f: &&Finding<'_>| class.is_none_or(|k| f.row.truth == k);
            self.of(verdict).filter(labelled).count()
        };
        let [noisy, hard, clean] = Verdict::ALL.map(count);
        Counts { noisy, hard, clean }
    }

    /// What the sample is labelled.
    pub fn label(&self, finding: &Finding<'_>) -> &'a str {
        &self.looked.classes[finding.row.truth]
    }

    /// The class that the clips speak for.
    pub fn suggested(&self, finding: &Finding<'_>) -> Option<&'a str> {
        let answer = finding.row.seen.answer.as_ref()?;
        Some(self.looked.classes[answer.top().0].as_str())
    }
}

impl Counts {
    pub fn all(self) -> usize {
        self.noisy + self.hard + self.clean
    }

    /// Share of noisy samples; `None` without samples.
    pub fn noise(self) -> Option<f64> {
        (self.all() > 0).then(|| self.noisy as f64 / self.all() as f64)
    }

    /// 95 % interval of the share of noisy samples (Wilson 1927, "Probable inference, the law of
    /// succession, and statistical inference").
    pub fn noise_interval(self) -> Option<[f64; 2]> {
        const Z: f64 = 1.959_964;
        let (p, n) = (self.noise()?, self.all() as f64);
        let middle = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let whole = 1.0 + Z * Z / n;
        Some([((middle - half) / whole).max(0.0), ((middle + half) / whole).min(1.0)])
    }
}

fn judge(row: &Row, threshold: f64) -> Finding<'_> {
    let Some(answer) = &row.seen.answer else {
        return Finding { row, verdict: Verdict::Hard, suspicion: 0.0 };
    };
    // With one clip there is nobody to disagree.
    let agreement = answer.agreement.unwrap_or(1.0);
    let verdict = match answer.top().0 == row.truth {
        _ if agreement < threshold => Verdict::Hard,
        true => Verdict::Clean,
        false => Verdict::Noisy,
    };
    let against = 1.0 - answer.probabilities[row.truth];
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

/// Spans around the key moments of a sample; those that overlap become one.
pub fn key_spans(row: &Row) -> Vec<[Ns; 2]> {
    let mut spans: Vec<[Ns; 2]> = Vec::new();
    for key in &row.seen.keys {
        let (start, end) = (key.t.saturating_sub(BEFORE), key.t + AFTER);
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
    use crate::metrics::Answer;
    use crate::predict::{Key, Seen};

    fn row(truth: usize, probabilities: &[f64], agreement: f64) -> Row {
        let answer = Answer { probabilities: probabilities.to_vec(), agreement: Some(agreement) };
        let seen =
            Seen { answer: Some(answer), keys: Vec::new(), logits: Vec::new(), doubtful: false };
        Row { name: "x".into(), path: None, fold: None, truth, seen }
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
    fn key_spans_join() {
        let ms = 1_000_000;
        let mut row = row(0, &[1.0], 1.0);
        row.seen.keys = [50, 200, 900].map(|t| Key { t: t * ms, rect: None }).to_vec();
        assert_eq!(key_spans(&row), [[0, 266_666_667], [766_666_667, 966_666_667]]);
    }

    #[test]
    fn noise_has_an_interval() {
        let counts = Counts { noisy: 10, hard: 0, clean: 90 };
        let [low, high] = counts.noise_interval().unwrap();
        // By Wilson's formula: 0.0552 to 0.1744.
        assert!((low - 0.0552).abs() < 1e-4 && (high - 0.1744).abs() < 1e-4, "{low} {high}");
        assert_eq!(Counts { noisy: 0, hard: 0, clean: 0 }.noise_interval(), None);
    }
}
