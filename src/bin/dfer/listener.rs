// SPDX-License-Identifier: MPL-2.0

//! The logits behind decisions, which results do not carry.

use std::sync::{Arc, Mutex, PoisonError};

use gstdfer::core::Error;
use gstdfer::core::agreement::{mean, softmax};
use gstdfer::core::networks::{Clip, ClipAnswer, ExpressionNetwork, ExpressionSpec, Feature};
use gstdfer::core::pixels::Picture;
use gstdfer::core::result::Probabilities;

/// A network that remembers what it answered.
pub struct Listener {
    network: Arc<dyn ExpressionNetwork>,
    heard: Mutex<Vec<Heard>>,
}

struct Heard {
    /// What the decision says: the mean of the clips' distributions.
    probabilities: Vec<f32>,
    /// Of each clip.
    logits: Vec<Vec<f32>>,
}

/// Results carry four digits.
const ROUNDED: f32 = 1e-4;

impl Listener {
    pub fn new(network: Arc<dyn ExpressionNetwork>) -> Self {
        Self { network, heard: Mutex::default() }
    }

    /// The clips' logits of the decision that says `probabilities`. Decisions on different faces
    /// that say the same cannot be told apart, and need not be.
    pub fn heard(&self, probabilities: &Probabilities) -> Option<Vec<Vec<f32>>> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = |h: &Heard| {
            let pairs = h.probabilities.iter().zip(&probabilities.0);
            pairs.map(|(a, (_, b))| (a - b).abs()).fold(0.0, f32::max)
        };
        let nearest = heard.iter().map(|h| (gap(h), h)).min_by(|a, b| a.0.total_cmp(&b.0))?;
        (nearest.0 <= ROUNDED).then(|| nearest.1.logits.clone())
    }
}

impl ExpressionNetwork for Listener {
    fn spec(&self) -> &ExpressionSpec {
        self.network.spec()
    }

    fn encode(&self, crop: Picture) -> Result<Feature, Error> {
        self.network.encode(crop)
    }

    fn moments(&self, clips: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        self.network.moments(clips)
    }

    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        let answers = self.network.answer(clips)?;
        let logits: Vec<Vec<f32>> = answers.iter().map(|answer| answer.fused.clone()).collect();
        let temperature = self.spec().temperature;
        let each: Vec<_> = logits.iter().map(|logits| softmax(logits, temperature)).collect();
        let heard = Heard { probabilities: mean(&each), logits };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
        Ok(answers)
    }
}
