// SPDX-License-Identifier: MPL-2.0

//! Temperature and thresholds from labelled answers.

use gstdfer::core::agreement::{agreement, mean, softmax};

use crate::metrics::{Answer, Scored};

/// A sample of which the clips' logits are known.
#[derive(Debug, Clone)]
pub struct Item {
    pub truth: usize,
    /// Of every clip of every decision; empty when nothing was decided.
    pub logits: Vec<Vec<Vec<f32>>>,
}

/// What is to be reached by giving only answers that pass the thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wish {
    /// At least this share of all samples is answered, with as few errors as possible.
    Coverage(f64),
    /// At most this share of the answers is wrong, with as many answers as possible.
    Error(f64),
}

/// An answer is given when both are reached.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Gates {
    pub min_agreement: f64,
    pub min_confidence: f64,
}

/// Temperatures and thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    pub temperature: f64,
    /// Of the distributions that are compared; a property of the model, not fitted.
    pub agreement_temperature: f64,
    pub gates: Gates,
}

impl Default for Fitted {
    fn default() -> Self {
        Self { temperature: 1.0, agreement_temperature: 1.0, gates: Gates::default() }
    }
}

/// What comes of giving only some answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Given {
    pub answers: usize,
    /// Answers, as a share of all samples.
    pub coverage: f64,
    /// `None` without answers.
    pub accuracy: Option<f64>,
}

/// Fewer answers than this prove nothing about the error among them.
pub const LEAST: usize = 20;
/// Thresholds looked at on each axis.
const STEPS: usize = 100;
/// Digits kept of a threshold and of the temperature.
const THRESHOLD_DIGITS: f64 = 1e4;
const TEMPERATURE_DIGITS: f64 = 1e3;
/// Parts of a cross-validation.
const PARTS: usize = 5;

impl Item {
    /// As the elements and `dfer evaluate` see it.
    fn scored(&self, fitted: Fitted) -> Scored {
        Scored { truth: self.truth, answer: self.answer(fitted) }
    }

    fn answer(&self, fitted: Fitted) -> Option<Answer> {
        let count = self.logits.len() as f64;
        let (mut probabilities, mut agreed) = (Vec::new(), 0.0);
        for clips in &self.logits {
            let at = |temperature: f64| -> Vec<Vec<f32>> {
                clips.iter().map(|logits| softmax(logits, temperature as f32)).collect()
            };
            let mean = mean(&at(fitted.temperature));
            probabilities.resize(mean.len(), 0.0);
            for (sum, p) in probabilities.iter_mut().zip(mean) {
                *sum += f64::from(p) / count;
            }
            agreed += f64::from(agreement(&at(fitted.agreement_temperature))) / count;
        }
        let answer = Answer { probabilities, agreement: Some(agreed) };
        (!self.logits.is_empty()).then_some(answer)
    }

    /// Of its label, as the mean over decisions and clips.
    fn likelihood(&self, temperature: f64) -> Option<f64> {
        let clips: Vec<_> = self.logits.iter().flatten().collect();
        let of = |logits: &&Vec<f32>| f64::from(softmax(logits, temperature as f32)[self.truth]);
        (!clips.is_empty()).then(|| clips.iter().map(of).sum::<f64>() / clips.len() as f64)
    }
}

pub fn scored(items: &[Item], fitted: Fitted) -> Vec<Scored> {
    items.iter().map(|item| item.scored(fitted)).collect()
}

/// Mean negative log-likelihood of the labels, in nats, of the answered; `None` without answers.
pub fn likelihood(samples: &[Scored]) -> Option<f64> {
    let costs: Vec<f64> = samples
        .iter()
        .filter_map(|s| Some(-s.answer.as_ref()?.probabilities[s.truth].max(1e-12).ln()))
        .collect();
    (!costs.is_empty()).then(|| costs.iter().sum::<f64>() / costs.len() as f64)
}

/// The temperature of least negative log-likelihood between 0.05 and 20 (Guo et al. 2017, "On
/// calibration of modern neural networks"), by golden section on a logarithmic scale.
fn fit_temperature(items: &[Item]) -> f64 {
    let cost = |log: f64| -> f64 {
        items.iter().filter_map(|item| item.likelihood(log.exp())).map(|p| -p.max(1e-12).ln()).sum()
    };
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.05f64.ln(), 20f64.ln());
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut cost_a, mut cost_b) = (cost(a), cost(b));
    while high - low > 1e-3 {
        if cost_a < cost_b {
            (high, b, cost_b) = (b, a, cost_a);
            a = high - ratio * (high - low);
            cost_a = cost(a);
        } else {
            (low, a, cost_a) = (a, b, cost_b);
            b = low + ratio * (high - low);
            cost_b = cost(b);
        }
    }
    (((low + high) / 2.0).exp() * TEMPERATURE_DIGITS).round() / TEMPERATURE_DIGITS
}

/// Temperature and thresholds for these samples.
///
/// # Errors
/// When the wish cannot be fulfilled; says how near it can be come.
pub fn fit(items: &[Item], agreement_temperature: f64, wish: Wish) -> Result<Fitted, String> {
    let temperature = fit_temperature(items);
    let open = Fitted { temperature, agreement_temperature, gates: Gates::default() };
    let gates = fit_gates(&scored(items, open), wish)?;
    Ok(Fitted { gates, ..open })
}

/// What these thresholds make of the answers.
pub fn given(samples: &[Scored], gates: Gates) -> Given {
    let passed: Vec<bool> = samples
        .iter()
        .filter(|s| s.answer.as_ref().is_some_and(|answer| passes(answer, gates)))
        .map(Scored::is_right)
        .collect();
    let right = passed.iter().filter(|right| **right).count();
    Given {
        answers: passed.len(),
        coverage: passed.len() as f64 / samples.len().max(1) as f64,
        accuracy: (!passed.is_empty()).then(|| right as f64 / passed.len() as f64),
    }
}

/// Compared as the elements do, in single precision.
fn passes(answer: &Answer, gates: Gates) -> bool {
    let (agreement, confidence) = (answer.agreement.unwrap_or(1.0), answer.top().1);
    agreement as f32 >= gates.min_agreement as f32
        && confidence as f32 >= gates.min_confidence as f32
}

/// The thresholds that fulfil the wish best.
fn fit_gates(samples: &[Scored], wish: Wish) -> Result<Gates, String> {
    let answers: Vec<&Answer> = samples.iter().filter_map(|s| s.answer.as_ref()).collect();
    let agreements = steps(answers.iter().map(|a| a.agreement.unwrap_or(1.0)).collect());
    let confidences = steps(answers.iter().map(|a| a.top().1).collect());
    let mut best: Option<(Gates, Given)> = None;
    // How near the wish can be come.
    let (mut widest, mut surest) = (0.0f64, 0.0f64);
    for min_agreement in agreements {
        for &min_confidence in &confidences {
            let gates = Gates { min_agreement, min_confidence };
            let now = given(samples, gates);
            let Some(accuracy) = now.accuracy.filter(|_| now.answers >= LEAST) else { continue };
            widest = widest.max(now.coverage);
            surest = surest.max(accuracy);
            let better = |then: &Given| {
                let (a, b) = (accuracy, then.accuracy.unwrap_or(0.0));
                match wish {
                    Wish::Coverage(_) => a > b || a == b && now.answers > then.answers,
                    Wish::Error(_) => {
                        now.answers > then.answers || now.answers == then.answers && a > b
                    }
                }
            };
            let fulfils = match wish {
                Wish::Coverage(wished) => now.coverage >= wished,
                Wish::Error(wished) => 1.0 - accuracy <= wished,
            };
            if fulfils && best.is_none_or(|(_, then)| better(&then)) {
                best = Some((gates, now));
            }
        }
    }
    best.map(|(gates, _)| gates).ok_or_else(|| match wish {
        Wish::Coverage(wished) => format!(
            "a coverage of {wished} cannot be reached: {widest:.3} of the samples have an answer"
        ),
        Wish::Error(wished) => format!(
            "an error of {wished} cannot be reached: with {LEAST} answers and more it is {:.3} at best",
            1.0 - surest
        ),
    })
}

/// Zero and quantiles, rounded down so that the answer they come from passes.
fn steps(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let mut steps = vec![0.0];
    if let Some(last) = values.len().checked_sub(1) {
        steps.extend((0..=STEPS).map(|k| values[last * k / STEPS]));
    }
    for step in &mut steps {
        *step = (*step * THRESHOLD_DIGITS).floor() / THRESHOLD_DIGITS;
    }
    steps.dedup();
    steps
}

/// The answers to every sample, and whether they pass the thresholds, both fitted without it: what
/// is to be expected of data not seen yet. `None` where a part cannot be fitted.
pub fn cross_validate(
    items: &[Item],
    agreement_temperature: f64,
    wish: Wish,
) -> Option<(Vec<Scored>, Given)> {
    // Every part gets its share of every class.
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|n| items[*n].truth);
    let (mut all, mut answers, mut right) = (Vec::new(), 0, 0.0);
    for part in 0..PARTS {
        let pick = |inside: bool| -> Vec<Item> {
            let chosen = order.iter().enumerate().filter(|(k, _)| (k % PARTS == part) == inside);
            chosen.map(|(_, n)| items[*n].clone()).collect()
        };
        let (rest, held_out) = (pick(false), pick(true));
        let fitted = fit(&rest, agreement_temperature, wish).ok()?;
        let judged = scored(&held_out, fitted);
        let now = given(&judged, fitted.gates);
        answers += now.answers;
        right += now.accuracy.unwrap_or(0.0) * now.answers as f64;
        all.extend(judged);
    }
    let given = Given {
        answers,
        coverage: answers as f64 / items.len().max(1) as f64,
        accuracy: (answers > 0).then(|| right / answers as f64),
    };
    Some((all, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` samples of class 0 whose logits are those that make the answer right with the
    /// probability it states at `temperature`.
    fn items(temperature: f32) -> Vec<Item> {
        let levels = [0.55f32, 0.65, 0.75, 0.85, 0.95];
        let of = |p: f32| {
            let logit = (p / (1.0 - p)).ln() * temperature;
            (0..100).map(move |n| {
                let truth = usize::from(n as f32 >= p * 100.0);
                Item { truth, logits: vec![vec![vec![logit, 0.0]; 2]] }
            })
        };
        levels.into_iter().flat_map(of).collect()
    }

    fn at(temperature: f64) -> Fitted {
        Fitted { temperature, ..Fitted::default() }
    }

    #[test]
    fn the_temperature_that_made_the_logits_is_found() {
        for temperature in [0.4, 1.0, 3.0] {
            let items = items(temperature);
            let found = fit_temperature(&items);
            assert!((found / f64::from(temperature) - 1.0).abs() < 0.01, "{found}, {temperature}");
            let ece = crate::metrics::ece(&scored(&items, at(found))).unwrap();
            assert!(ece < 0.005, "{ece}");
        }
    }

    #[test]
    fn thresholds_fulfil_the_wish() {
        let samples = scored(&items(1.0), at(1.0));
        let gates = fit_gates(&samples, Wish::Error(0.11)).unwrap();
        // 0.85 and 0.95 together are wrong in a tenth of all cases; 0.75 more would be too much.
        let now = given(&samples, gates);
        assert_eq!((now.answers, now.accuracy), (200, Some(0.9)));
        let gates = fit_gates(&samples, Wish::Coverage(0.5)).unwrap();
        let now = given(&samples, gates);
        assert_eq!(now.answers, 300);
        assert!(fit_gates(&samples, Wish::Error(0.01)).unwrap_err().contains("0.050 at best"));
        let mut few = samples[..50].to_vec();
        few.extend(vec![Scored { truth: 0, answer: None }; 50]);
        assert!(fit_gates(&few, Wish::Coverage(0.6)).unwrap_err().contains("0.500"));
    }

    #[test]
    fn cross_validation_judges_every_sample_once() {
        let items = items(2.0);
        let (all, given) = cross_validate(&items, 1.0, Wish::Coverage(0.6)).unwrap();
        assert_eq!(all.len(), items.len());
        assert!((given.coverage - 0.6).abs() < 0.05, "{given:?}");
        assert!(given.accuracy.unwrap() > 0.8, "{given:?}");
    }
}
