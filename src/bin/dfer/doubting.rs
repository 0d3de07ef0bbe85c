// SPDX-License-Identifier: MPL-2.0

//! A detector that is content with less.

use std::sync::Arc;

use gstdfer::core::error::Error;
use gstdfer::core::networks::{Detection, DetectorSpec, FaceDetector};
use gstdfer::core::pixels::Picture;

/// Times the score of a face.
const ENOUGH: f32 = 0.5;

/// The same detector, which takes for a face what scores half of what it asks for otherwise.
pub struct Doubting {
    detector: Arc<dyn FaceDetector>,
    spec: DetectorSpec,
}

impl Doubting {
    pub fn new(detector: Arc<dyn FaceDetector>) -> Self {
        let spec = detector.spec();
        let score_threshold = ENOUGH * spec.score_threshold;
        Self { spec: DetectorSpec { score_threshold, ..spec.clone() }, detector }
    }
}

impl FaceDetector for Doubting {
    fn spec(&self) -> &DetectorSpec {
        &self.spec
    }

    fn detect(&self, picture: &Picture, min_score: f32) -> Result<Vec<Detection>, Error> {
        self.detector.detect(picture, min_score)
    }

    fn detect_all(&self, pictures: &[Picture], least: f32) -> Result<Vec<Vec<Detection>>, Error> {
        self.detector.detect_all(pictures, least)
    }
}
