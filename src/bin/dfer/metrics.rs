// SPDX-License-Identifier: MPL-2.0

//! How good answers are, from the answers and the labels alone.

use serde::{Deserialize, Serialize};

/// A labelled sample and what was answered.
#[derive(Debug, Clone)]
pub struct Scored {
    /// Class of the label.
    pub truth: usize,
    /// `None` when nothing was decided, for example because no face was found; counts as wrong.
    pub answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// One for each class, in the order of the classes.
    pub probabilities: Vec<f64>,
    /// 0 to 1; `None` where only one clip was looked at.
    pub agreement: Option<f64>,
}

impl Answer {
    /// The likeliest class and its probability; the first of equals.
    pub fn top(&self) -> (usize, f64) {
        let first = (0, f64::NEG_INFINITY);
        let better =
            |best: (usize, f64), (k, p): (usize, &f64)| if *p > best.1 { (k, *p) } else { best };
        self.probabilities.iter().enumerate().fold(first, better)
    }
}

impl Scored {
    pub fn is_right(&self) -> bool {
        self.answer.as_ref().is_some_and(|a| a.top().0 == self.truth)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metrics {
    pub samples: usize,
    pub answered: usize,
    /// Share of right answers among all samples (weighted average recall).
    pub war: f64,
    /// 95 % of bootstrap resamples lie between these.
    pub war_interval: [f64; 2],
    /// Mean recall of the classes that occur (unweighted average recall).
    pub uar: f64,
    pub uar_interval: [f64; 2],
    /// One for each class, in their order.
    pub classes: Vec<ClassMetrics>,
    /// Row: class of the label; column: class answered; a last column counts the unanswered.
    pub confusion: Vec<Vec<usize>>,
    /// Expected calibration error over 15 bins of equal width, of the answered.
    pub ece: Option<f64>,
    /// Ten bins of equal width, of the answered with an agreement; empty ones are left out.
    pub agreement: Vec<AgreementBin>,
    /// Accuracy when only the answers with the highest agreement are given.
    pub coverage: Vec<Coverage>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassMetrics {
    pub class: String,
    /// Samples with this label.
    pub samples: usize,
    /// `None` where no sample has this label.
    pub recall: Option<f64>,
    /// `None` where this class was never answered.
    pub precision: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgreementBin {
    pub from: f64,
    pub to: f64,
    /// Of the answered samples that have an agreement.
    pub share: f64,
    pub accuracy: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Coverage {
    /// Answers given, as a share of all samples.
    pub coverage: f64,
    pub accuracy: f64,
    /// Lowest agreement among the answers given.
    pub min_agreement: f64,
}

const ECE_BINS: usize = 15;
const AGREEMENT_BINS: usize = 10;
const RESAMPLES: usize = 1000;

/// All figures; `None` without samples.
pub fn metrics(classes: &[String], samples: &[Scored]) -> Option<Metrics> {
    if samples.is_empty() {
        return None;
    }
    let confusion = confusion(classes.len(), samples);
    let per_class = |k: usize| {
        let labelled: usize = confusion[k].iter().sum();
        let answered: usize = confusion.iter().map(|row| row[k]).sum();
        let right = confusion[k][k] as f64;
        ClassMetrics {
            class: classes[k].clone(),
            samples: labelled,
            recall: (labelled > 0).then(|| right / labelled as f64),
            precision: (answered > 0).then(|| right / answered as f64),
        }
    };
    let (war_interval, uar_interval) = intervals(classes.len(), samples);
    Some(Metrics {
        samples: samples.len(),
        answered: samples.iter().filter(|s| s.answer.is_some()).count(),
        war: war(&confusion),
        war_interval,
        uar: uar(&confusion),
        uar_interval,
        classes: (0..classes.len()).map(per_class).collect(),
        ece: ece(samples),
        agreement: agreement_bins(samples),
        coverage: coverage(samples),
        confusion,
    })
}

fn confusion(classes: usize, samples: &[Scored]) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; classes + 1]; classes];
    for sample in samples {
        counts[sample.truth][sample.answer.as_ref().map_or(classes, |a| a.top().0)] += 1;
    }
    counts
}

fn war(confusion: &[Vec<usize>]) -> f64 {
    let right: usize = confusion.iter().enumerate().map(|(k, row)| row[k]).sum();
    right as f64 / confusion.iter().flatten().sum::<usize>() as f64
}

fn uar(confusion: &[Vec<usize>]) -> f64 {
    let recalls: Vec<f64> = confusion
        .iter()
        .enumerate()
        .map(|(k, row)| (row[k] as f64, row.iter().sum::<usize>() as f64))
        .filter(|(_, labelled)| *labelled > 0.0)
        .map(|(right, labelled)| right / labelled)
        .collect();
    recalls.iter().sum::<f64>() / recalls.len() as f64
}

/// Mean distance between accuracy and probability of the bins, weighted by their size.
/// Guo et al. 2017, "On calibration of modern neural networks", section 2.
pub fn ece(samples: &[Scored]) -> Option<f64> {
    let mut bins = [(0.0, 0.0); ECE_BINS];
    let mut answered = 0;
    for sample in samples {
        let Some(answer) = &sample.answer else { continue };
        let (_, p) = answer.top();
        // A bin holds its upper edge, not its lower one.
        let bin = ((p * ECE_BINS as f64).ceil() as usize).clamp(1, ECE_BINS) - 1;
        bins[bin].0 += f64::from(u8::from(sample.is_right()));
        bins[bin].1 += p;
        answered += 1;
    }
    let gap: f64 = bins.iter().map(|(right, p)| (right - p).abs()).sum();
    (answered > 0).then(|| gap / f64::from(answered))
}

fn agreement_bins(samples: &[Scored]) -> Vec<AgreementBin> {
    let mut bins = [(0usize, 0usize); AGREEMENT_BINS];
    for sample in samples {
        let Some(a) = sample.answer.as_ref().and_then(|a| a.agreement) else { continue };
        let bin = &mut bins[((a * AGREEMENT_BINS as f64) as usize).min(AGREEMENT_BINS - 1)];
        bin.0 += 1;
        bin.1 += usize::from(sample.is_right());
    }
    let all: usize = bins.iter().map(|(n, _)| n).sum();
    let edge = |k: usize| k as f64 / AGREEMENT_BINS as f64;
    bins.iter()
        .enumerate()
        .filter(|(_, (n, _))| *n > 0)
        .map(|(k, (n, right))| AgreementBin {
            from: edge(k),
            to: edge(k + 1),
            share: *n as f64 / all as f64,
            accuracy: *right as f64 / *n as f64,
        })
        .collect()
}

/// At every tenth of the samples that can be answered, together with all that agree as much as the
/// last of them: no threshold tells these apart.
fn coverage(samples: &[Scored]) -> Vec<Coverage> {
    let mut answered: Vec<(f64, bool)> = samples
        .iter()
        .filter_map(|s| Some((s.answer.as_ref()?.agreement?, s.is_right())))
        .collect();
    answered.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points: Vec<Coverage> = Vec::new();
    for tenth in (1..=10).rev() {
        let wanted = (samples.len() * tenth).div_ceil(10);
        let Some(last) = wanted.checked_sub(1).and_then(|n| answered.get(n)) else { continue };
        let given = answered.partition_point(|(agreement, _)| *agreement >= last.0);
        if points.last().is_some_and(|point| point.min_agreement == last.0) {
            continue;
        }
        let right = answered[..given].iter().filter(|(_, right)| *right).count();
        points.push(Coverage {
            coverage: given as f64 / samples.len() as f64,
            accuracy: right as f64 / given as f64,
            min_agreement: last.0,
        });
    }
    points
}

/// Percentile intervals of WAR and UAR: samples drawn with replacement, the same in every run.
/// Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13.
fn intervals(classes: usize, samples: &[Scored]) -> ([f64; 2], [f64; 2]) {
    let cells: Vec<(usize, usize)> = samples
        .iter()
        .map(|s| (s.truth, s.answer.as_ref().map_or(classes, |a| a.top().0)))
        .collect();
    let mut random = Random(1);
    let (mut wars, mut uars) = (Vec::new(), Vec::new());
    for _ in 0..RESAMPLES {
        let mut confusion = vec![vec![0; classes + 1]; classes];
        for _ in 0..cells.len() {
            let (truth, answer) = cells[random.below(cells.len())];
            confusion[truth][answer] += 1;
        }
        wars.push(war(&confusion));
        uars.push(uar(&confusion));
    }
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        [values[RESAMPLES / 40], values[RESAMPLES - 1 - RESAMPLES / 40]]
    };
    (middle(wars), middle(uars))
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n` - 1.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(truth: usize, probabilities: &[f64], agreement: f64) -> Scored {
        let answer = Answer { probabilities: probabilities.to_vec(), agreement: Some(agreement) };
        Scored { truth, answer: Some(answer) }
    }

    /// Class a: two right, one taken for b; class b: one right, one without an answer; no c.
    fn example() -> Metrics {
        let classes = ["a", "b", "c"].map(String::from);
        let samples = [
            scored(0, &[0.9, 0.1, 0.0], 0.95),
            scored(0, &[0.8, 0.1, 0.1], 0.85),
            scored(0, &[0.3, 0.6, 0.1], 0.4),
            scored(1, &[0.2, 0.7, 0.1], 0.88),
            Scored { truth: 1, answer: None },
        ];
        metrics(&classes, &samples).unwrap()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn recalls_count_every_sample() {
        let m = example();
        assert_eq!((m.samples, m.answered), (5, 4));
        assert_eq!(m.confusion, [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]]);
        close(m.war, 3.0 / 5.0);
        close(m.uar, (2.0 / 3.0 + 1.0 / 2.0) / 2.0);
        assert_eq!(m.classes[2].recall, None);
        assert_eq!(m.classes[2].precision, None);
        close(m.classes[1].precision.unwrap(), 0.5);
    }

    #[test]
    fn calibration_error_is_the_gap_in_every_bin() {
        // Each answer has a bin of its own: |1-0.9| + |1-0.8| + |0-0.6| + |1-0.7|, over 4.
        close(example().ece.unwrap(), (0.1 + 0.2 + 0.6 + 0.3) / 4.0);
        // One bin: half right at 0.75.
        let pair = [scored(0, &[0.75, 0.25], 1.0), scored(1, &[0.75, 0.25], 1.0)];
        close(ece(&pair).unwrap(), 0.25);
        assert_eq!(ece(&[Scored { truth: 0, answer: None }]), None);
    }

    #[test]
    fn agreement_and_coverage() {
        let m = example();
        let bins: Vec<_> = m.agreement.iter().map(|b| (b.from, b.share, b.accuracy)).collect();
        assert_eq!(bins, [(0.4, 0.25, 0.0), (0.8, 0.5, 1.0), (0.9, 0.25, 1.0)]);
        // Four of five samples have an answer, so that 100 and 90 % cannot be covered.
        let first = &m.coverage[0];
        assert_eq!((first.coverage, first.accuracy, first.min_agreement), (0.8, 0.75, 0.4));
        assert!(m.coverage.iter().skip(2).all(|c| c.accuracy == 1.0), "{:?}", m.coverage);
    }

    #[test]
    fn samples_that_agree_alike_are_covered_together() {
        let right = |n: usize| if n < 3 { [0.9, 0.1] } else { [0.1, 0.9] };
        let samples: Vec<_> =
            (0..10).map(|n| scored(0, &right(n), if n < 8 { 1.0 } else { 0.5 })).collect();
        let points = coverage(&samples);
        let told: Vec<_> =
            points.iter().map(|p| (p.coverage, p.accuracy, p.min_agreement)).collect();
        assert_eq!(told, [(1.0, 0.3, 0.5), (0.8, 0.375, 1.0)]);
    }

    #[test]
    fn intervals_hold_the_value_and_are_the_same_every_time() {
        let classes = ["a", "b"].map(String::from);
        let samples: Vec<_> = (0..200)
            .map(|n| scored(n % 2, if n % 5 == 0 { &[0.5, 0.6] } else { &[0.6, 0.5] }, 0.5))
            .collect();
        let m = metrics(&classes, &samples).unwrap();
        // Standard error of a share near a half of 200 samples: 0.035.
        let half = (m.war_interval[1] - m.war_interval[0]) / 2.0;
        assert!((0.06..0.08).contains(&half), "{half}");
        assert!(m.war_interval[0] < m.war && m.war < m.war_interval[1]);
        assert_eq!(metrics(&classes, &samples), Some(m));
        assert_eq!(metrics(&classes, &[]), None);
    }
}
