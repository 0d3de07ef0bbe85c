// SPDX-License-Identifier: MPL-2.0

//! Prediction agreement: how far several clips of the same face say the same.
//!
//! The paper (RDFER, arXiv 2502.16129) uses the agreement of several clips in training, to tell
//! clean, hard and noisy samples apart. Using it at run time as confidence is this project's.

/// Soft-max of `logits / temperature`; sums to 1.
pub fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f32> = logits.iter().map(|l| ((l - top) / temperature).exp()).collect();
    let sum: f32 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

/// Index of the largest value, the first of equals; 0 for an empty slice.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = i;
        }
    }
    best
}

/// The mean of several distributions over the same classes; empty for none.
pub fn mean(distributions: &[Vec<f32>]) -> Vec<f32> {
    let Some(first) = distributions.first() else { return Vec::new() };
    let mut sum = vec![0.0; first.len()];
    for d in distributions {
        for (s, p) in sum.iter_mut().zip(d) {
            *s += p;
        }
    }
    sum.into_iter().map(|s| s / distributions.len() as f32).collect()
}

/// 1 − mean pairwise Jensen–Shannon divergence (base 2) of the clips' distributions, 0 to 1.
/// A single clip agrees with itself: 1.
pub fn agreement(distributions: &[Vec<f32>]) -> f32 {
    let mut sum = 0.0;
    let mut pairs = 0;
    for (i, p) in distributions.iter().enumerate() {
        for q in &distributions[i + 1..] {
            sum += jensen_shannon(p, q);
            pairs += 1;
        }
    }
    if pairs == 0 { 1.0 } else { (1.0 - sum / pairs as f64).clamp(0.0, 1.0) as f32 }
}

/// Jensen–Shannon divergence in bits, 0 to 1 (Lin, 1991).
fn jensen_shannon(p: &[f32], q: &[f32]) -> f64 {
    let part = |x: f64, m: f64| if x > 0.0 { x * (x / m).log2() } else { 0.0 };
    p.iter()
        .zip(q)
        .map(|(&p, &q)| {
            let (p, q) = (f64::from(p), f64::from(q));
            let m = (p + q) / 2.0;
            (part(p, m) + part(q, m)) / 2.0
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f32, b: f32) {
        assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    }

    #[test]
    fn identical_clips_agree_fully_and_disjoint_ones_not_at_all() {
        let p = vec![0.7, 0.2, 0.1];
        close(agreement(&[p.clone(), p.clone(), p]), 1.0);
        close(agreement(&[vec![1.0, 0.0], vec![0.0, 1.0]]), 0.0);
    }

    #[test]
    fn by_hand() {
        // Three one-hot clips, two of them equal: divergences 0, 1, 1; agreement 1 - 2/3.
        let (a, b) = (vec![1.0, 0.0], vec![0.0, 1.0]);
        close(agreement(&[a.clone(), a, b]), 1.0 / 3.0);
        // JSD([1,0],[.5,.5]) = H(.75,.25) - (0 + 1) / 2 = 0.8112781 - 0.5.
        close(agreement(&[vec![1.0, 0.0], vec![0.5, 0.5]]), 1.0 - 0.311_278);
    }

    /// Values printed by `scripts/agreement_reference.py` (NumPy, float64).
    #[test]
    fn against_numpy() {
        let three = [
            vec![0.10, 0.20, 0.05, 0.40, 0.05, 0.10, 0.10],
            vec![0.05, 0.15, 0.10, 0.50, 0.05, 0.05, 0.10],
            vec![0.60, 0.05, 0.05, 0.10, 0.10, 0.05, 0.05],
        ];
        close(agreement(&three), 0.789_782);
        close(agreement(&three[..2]), 0.975_015_7);
    }

    #[test]
    fn one_clip_agrees_with_itself() {
        close(agreement(&[vec![0.4, 0.6]]), 1.0);
    }

    #[test]
    fn softmax_of_huge_logits_stays_finite() {
        let p = softmax(&[1e30, 0.0, -1e30], 1.0);
        assert_eq!(p, [1.0, 0.0, 0.0]);
        let even = softmax(&[3.0, 3.0], 2.0);
        close(even[0], 0.5);
    }
}
