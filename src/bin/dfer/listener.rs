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
    /// Of one decision; several faces may be decided on at once.
    clips: usize,
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
    /// `clips`: how many are compared for a decision.
    pub fn new(network: Arc<dyn ExpressionNetwork>, clips: usize) -> Self {
        Self { network, clips, heard: Mutex::default() }
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

    fn encode_all(&self, crops: Vec<Picture>) -> Result<Vec<Feature>, Error> {
        self.network.encode_all(crops)
    }

    fn together(&self) -> usize {
        self.network.together()
    }

    fn moments(&self, clips: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        self.network.moments(clips)
    }

    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        let answers = self.network.answer(clips)?;
        let temperature = self.spec().temperature;
        let decisions = answers.chunks(self.clips).map(|clips| {
            let logits: Vec<Vec<f32>> = clips.iter().map(|clip| clip.fused.clone()).collect();
            let each: Vec<_> = logits.iter().map(|logits| softmax(logits, temperature)).collect();
            Heard { probabilities: mean(&each), logits }
        });
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).extend(decisions);
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use gstdfer::runtime::fake::ScriptedNetwork;

    use super::*;

    /// Answers the n-th clip with n as the first logit.
    struct Counting(ExpressionSpec);

    impl ExpressionNetwork for Counting {
        fn spec(&self) -> &ExpressionSpec {
            &self.0
        }

        fn encode(&self, _: Picture) -> Result<Feature, Error> {
            Ok(Feature::Embedding([0.0].into()))
        }

        fn moments(&self, _: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
            Ok(Vec::new())
        }

        fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
            let of = |n| ClipAnswer { fused: vec![n as f32, 0.0], long: None, short: None };
            Ok((0..clips.len()).map(of).collect())
        }
    }

    #[test]
    fn decisions_on_several_faces_are_told_apart() {
        let spec = ScriptedNetwork::new(|_, _| 0).spec().clone();
        let classes: Vec<Arc<str>> = vec!["happy".into(), "sad".into()];
        let listener = Listener::new(Arc::new(Counting(spec)), 2);
        let clip = Clip { synopsis: Vec::new(), detail: Vec::new() };
        listener.answer(&[clip.clone(), clip.clone(), clip.clone(), clip]).unwrap();
        // The second face has the third and the fourth clip.
        let second = mean(&[softmax(&[2.0, 0.0], 1.0), softmax(&[3.0, 0.0], 1.0)]);
        let said = Probabilities(classes.into_iter().zip(second).collect());
        assert_eq!(listener.heard(&said), Some(vec![vec![2.0, 0.0], vec![3.0, 0.0]]));
        let other = Probabilities(vec![("happy".into(), 0.3), ("sad".into(), 0.7)]);
        assert_eq!(listener.heard(&other), None);
    }
}
