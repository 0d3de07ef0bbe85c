// SPDX-License-Identifier: MPL-2.0

//! Scripted networks, for tests of what is built on top of networks.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::core::Error;
use crate::core::analyst::Networks;
use crate::core::networks::{
    Clip, ClipAnswer, CropSpec, Detection, DetectorSpec, ExpressionNetwork, ExpressionSpec,
    FaceDetector, Feature, SamplingSpec,
};
use crate::core::pixels::{Channels, Picture};
use crate::core::types::Ns;

/// The seven classes in the project's order.
pub const CLASSES: [&str; 7] = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"];

/// A door that a network waits at.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everything through that waits or will come.
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let closed = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_while(closed, |open| !*open));
    }
}

/// Calls a function for every picture.
pub struct ScriptedDetector<F> {
    spec: DetectorSpec,
    find: F,
}

impl<F: Fn(&Picture) -> Vec<Detection> + Send + Sync> ScriptedDetector<F> {
    /// `find` is given a whole frame of 16:9 as 320x192 RGB, a tracked face's window as 96x96.
    pub fn new(find: F) -> Self {
        let spec = DetectorSpec {
            model: "scripted-face@000000000000".into(),
            frame_size: (320, 192),
            multiple: 32,
            track_size: 96,
            channels: Channels::Rgb,
            score_threshold: 0.5,
        };
        Self { spec, find }
    }
}

impl<F: Fn(&Picture) -> Vec<Detection> + Send + Sync> FaceDetector for ScriptedDetector<F> {
    fn spec(&self) -> &DetectorSpec {
        &self.spec
    }

    fn detect(&self, picture: &Picture, min_score: f32) -> Result<Vec<Detection>, Error> {
        let mut found = (self.find)(picture);
        found.retain(|d| d.score >= min_score);
        Ok(found)
    }
}

/// Answers every clip with what a function says of its last synopsis frame's time and brightness.
pub struct ScriptedNetwork<F> {
    spec: ExpressionSpec,
    answer: F,
    gate: Option<Gate>,
}

impl<F: Fn(Ns, f32) -> usize + Send + Sync> ScriptedNetwork<F> {
    /// `answer` gets the time of the clip's last frame and its mean brightness (0 to 255), and
    /// says which class it is.
    pub fn new(answer: F) -> Self {
        let spec = ExpressionSpec {
            model: "scripted@000000000000".into(),
            classes: CLASSES.iter().map(|c| Arc::from(*c)).collect(),
            size: 16,
            channels: Channels::Gray,
            crop: CropSpec::upright(),
            sampling: SamplingSpec {
                rate: 15.0,
                window: 2_560_000_000,
                synopsis: 16,
                moments: 4,
                detail: 4,
            },
            temperature: 1.0,
            agreement_temperature: 1.0,
            min_agreement: 0.6,
            min_confidence: 0.4,
        };
        Self { spec, answer, gate: None }
    }

    /// Every encoding waits at the gate.
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }
}

impl<F: Fn(Ns, f32) -> usize + Send + Sync> ExpressionNetwork for ScriptedNetwork<F> {
    fn spec(&self) -> &ExpressionSpec {
        &self.spec
    }

    fn encode(&self, crop: Picture) -> Result<Feature, Error> {
        if let Some(gate) = &self.gate {
            gate.wait();
        }
        Ok(Feature::Embedding(Box::new([crop.quality().mean])))
    }

    fn moments(&self, clips: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        Ok(clips.iter().map(|c| (0..c.synopsis.len()).map(|i| i as f32).collect()).collect())
    }

    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        let one = |clip: &Clip<'_>| {
            let mut fused = vec![0.0; CLASSES.len()];
            if let Some((t, Feature::Embedding(mean))) = clip.synopsis.last() {
                fused[(self.answer)(*t, mean[0]) % CLASSES.len()] = 6.0;
            }
            ClipAnswer { fused, long: None, short: None }
        };
        Ok(clips.iter().map(one).collect())
    }
}

/// Networks that see a face where a scripted detector does, and the same expression in every clip.
pub fn networks(
    find: impl Fn(&Picture) -> Vec<Detection> + Send + Sync + 'static,
    answer: impl Fn(Ns, f32) -> usize + Send + Sync + 'static,
) -> Networks {
    Networks {
        detector: Some(Arc::new(ScriptedDetector::new(find))),
        expression: Arc::new(ScriptedNetwork::new(answer)),
    }
}
