// SPDX-License-Identifier: MPL-2.0

//! What the method asks of a face detector and of an expression network.

use std::sync::Arc;

use super::error::Error;
use super::pixels::{Affine, Channels, Picture};
use super::types::{Landmarks, Ns, Point, Rect, SECOND};

/// A face as a detector sees it, in pixels of the picture it was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Hairline to chin.
    pub rect: Rect,
    pub landmarks: Landmarks,
    /// Probability of being a face, 0 to 1.
    pub score: f32,
}

impl Detection {
    /// In the coordinates that `map` leads to.
    pub fn mapped(&self, map: &Affine) -> Self {
        let (rect, landmarks) = (map.apply_rect(&self.rect), map.apply_all(&self.landmarks));
        Self { rect, landmarks, score: self.score }
    }

    /// In the mirror image of a picture of that width: left and right change places.
    pub fn mirrored(&self, width: f32) -> Self {
        let [eye_left, eye_right, nose, mouth_left, mouth_right] =
            self.landmarks.map(|p| Point::new(width - p.x, p.y));
        let rect = Rect { x: width - self.rect.x - self.rect.w, ..self.rect };
        let landmarks = [eye_right, eye_left, nose, mouth_right, mouth_left];
        Self { rect, landmarks, score: self.score }
    }

    /// Half way between two views of a face.
    pub fn mean(&self, other: &Self) -> Self {
        let (a, b) = (&self.rect, &other.rect);
        let half = |a: f32, b: f32| (a + b) / 2.0;
        let rect = Rect::new(half(a.x, b.x), half(a.y, b.y), half(a.w, b.w), half(a.h, b.h));
        let landmarks = std::array::from_fn(|k| {
            let (p, q) = (self.landmarks[k], other.landmarks[k]);
            Point::new(half(p.x, q.x), half(p.y, q.y))
        });
        Self { rect, landmarks, score: half(self.score, other.score) }
    }
}

/// What a face detector wants to be given.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorSpec {
    /// Name and the first 12 hex digits of the graph's SHA-256, `name@hash`.
    pub model: String,
    /// Width and height of the picture of a whole frame, in pixels, that the model was made for;
    /// [`Self::frame_size_for`] fits the frame's shape.
    pub frame_size: (usize, usize),
    /// Width and height of every picture are multiples of this, in pixels.
    pub multiple: usize,
    /// Width and height of the window around a face that is being tracked, in pixels.
    pub track_size: usize,
    pub channels: Channels,
    /// A face begins here, 0 to 1.
    pub score_threshold: f32,
}

impl DetectorSpec {
    /// Width and height, in pixels, of the picture that shows a whole frame of `frame` (width, height)
    /// largest, at the cost of `frame_size` and a fifteenth of it at most: upright for an upright frame.
    /// The answer to such a picture's own size is that size.
    pub fn frame_size_for(&self, frame: (usize, usize)) -> (usize, usize) {
        let most = self.frame_size.0 * self.frame_size.1 * 16 / 15;
        let mut best = ((0.0, 0), self.frame_size);
        for width in (self.multiple..=most / self.multiple).step_by(self.multiple) {
            let room = most / width / self.multiple * self.multiple;
            let height =
                (width * frame.1).div_ceil(frame.0).next_multiple_of(self.multiple).min(room);
            let scale = (width as f64 / frame.0 as f64).min(height as f64 / frame.1 as f64);
            // Of two that show it alike, the smaller.
            let worth = (scale, most - width * height);
            if worth > best.0 {
                best = (worth, (width, height));
            }
        }
        best.1
    }
}

/// Finds faces.
pub trait FaceDetector: Send + Sync {
    fn spec(&self) -> &DetectorSpec;

    /// Faces in a picture of a [`DetectorSpec::frame_size_for`] or of `track_size` x `track_size`, best
    /// first, each found once, none below `min_score`.
    fn detect(&self, picture: &Picture, min_score: f32) -> Result<Vec<Detection>, Error>;

    /// The same for several pictures of one size, in their order; at once where that is faster.
    fn detect_all(
        &self,
        pictures: &[Picture],
        min_score: f32,
    ) -> Result<Vec<Vec<Detection>>, Error> {
        pictures.iter().map(|picture| self.detect(picture, min_score)).collect()
    }
}

/// How the face is cut out for the encoder; unit coordinates of the square crop.
#[derive(Debug, Clone, PartialEq)]
pub struct CropSpec {
    /// Where the landmarks come to lie.
    pub template: Landmarks,
    /// Where the face box comes to lie when there are no landmarks.
    pub face_box: Rect,
    /// The crop is enlarged about its middle by each of these in turn, [`CropSpec::TURN`] at a time, so that a
    /// clip shows a face that keeps still in more than one way. Not empty, all above 0.
    pub scales: Vec<f32>,
}

/// How a window of a face's history becomes network input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingSpec {
    /// Encoded frames a second at most.
    pub rate: f64,
    /// Length of the window.
    pub window: Ns,
    /// Frames of the uniform first look.
    pub synopsis: usize,
    /// Key moments looked at again; 0 turns key re-sampling off.
    pub moments: usize,
    /// Consecutive frames around each key moment.
    pub detail: usize,
}

/// What an expression network is and wants to be given.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpressionSpec {
    /// Name and the first 12 hex digits of the SHA-256 over the graphs, `name@hash`.
    pub model: String,
    /// In the order of the network's output.
    pub classes: Vec<Arc<str>>,
    /// Side of the square crop, in pixels.
    pub size: usize,
    pub channels: Channels,
    pub crop: CropSpec,
    pub sampling: SamplingSpec,
    /// Logits are divided by this before the soft-max.
    pub temperature: f32,
    /// As `temperature`, for the distributions that [agreement](super::agreement) compares. Sharper than
    /// calibrated probabilities are: flat distributions agree whatever they say.
    pub agreement_temperature: f32,
    /// Agreement under which a result is `uncertain`, 0 to 1.
    pub min_agreement: f32,
    /// Probability under which a result is `uncertain`, 0 to 1.
    pub min_confidence: f32,
}

/// What is remembered of one frame of a face.
#[derive(Debug, Clone, PartialEq)]
pub enum Feature {
    /// Output of a frame encoder.
    Embedding(Box<[f32]>),
    /// The crop itself, for networks that take whole clips of pixels.
    Picture(Picture),
}

/// One clip: the uniform look and the dense looks around its key moments, in order of time.
#[derive(Debug, Clone)]
pub struct Clip<'a> {
    /// `synopsis` frames with their times.
    pub synopsis: Vec<(Ns, &'a Feature)>,
    /// `moments` groups of `detail` frames with their times.
    pub detail: Vec<Vec<(Ns, &'a Feature)>>,
}

/// Logits for one clip, one per class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipAnswer {
    pub fused: Vec<f32>,
    /// Of the long-term stream alone, where the network has one.
    pub long: Option<Vec<f32>>,
    /// Of the short-term stream alone, where the network has one.
    pub short: Option<Vec<f32>>,
}

/// Recognises the expression in clips of a face.
pub trait ExpressionNetwork: Send + Sync {
    fn spec(&self) -> &ExpressionSpec;

    /// What to remember of a crop of `size` x `size`.
    fn encode(&self, crop: Picture) -> Result<Feature, Error>;

    /// The same for several crops, in their order; at once where that is faster.
    fn encode_all(&self, crops: Vec<Picture>) -> Result<Vec<Feature>, Error> {
        crops.into_iter().map(|crop| self.encode(crop)).collect()
    }

    /// Faces that are worth handing over at once; 1 where it gains nothing.
    fn together(&self) -> usize {
        1
    }

    /// A score for every synopsis frame of every clip: the higher, the more of the key expression
    /// the moment holds. Only `synopsis` of the clips is read.
    fn moments(&self, clips: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error>;

    /// The answer for every clip.
    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error>;
}

impl CropSpec {
    /// How long a scale holds.
    pub const TURN: Ns = SECOND / 5;

    /// By how much the crop of a frame of that time is enlarged.
    pub fn scale_at(&self, t: Ns) -> f32 {
        self.scales[(t / Self::TURN % self.scales.len() as u64) as usize]
    }

    /// Upright face that fills the crop from hairline to chin.
    pub fn upright() -> Self {
        Self {
            template: [
                Point::new(0.31, 0.40),
                Point::new(0.69, 0.40),
                Point::new(0.50, 0.60),
                Point::new(0.34, 0.77),
                Point::new(0.66, 0.77),
            ],
            face_box: Rect::new(0.08, 0.02, 0.84, 0.96),
            scales: vec![1.0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_take_turns() {
        let spec = CropSpec { scales: vec![1.0, 1.1, 0.9], ..CropSpec::upright() };
        let at = [0, 199, 200, 400, 599, 600, 800].map(|ms| spec.scale_at(ms * SECOND / 1000));
        assert_eq!(at, [1.0, 1.0, 1.1, 0.9, 0.9, 1.0, 1.1]);
        assert_eq!(CropSpec::upright().scale_at(Ns::MAX), 1.0);
    }

    #[test]
    fn a_frame_is_shown_in_its_own_shape() {
        let spec = DetectorSpec {
            model: String::new(),
            frame_size: (320, 192),
            multiple: 32,
            track_size: 96,
            channels: Channels::Rgb,
            score_threshold: 0.5,
        };
        for (frame, picture) in [
            ((1920, 1080), (320, 192)),
            ((640, 480), (288, 224)),
            ((176, 144), (288, 224)),
            ((500, 500), (256, 256)),
            ((1080, 1920), (192, 320)),
            ((2560, 1080), (384, 160)),
            ((100_000, 10), (2048, 32)),
            ((1, 10_000), (32, 2048)),
        ] {
            assert_eq!(spec.frame_size_for(frame), picture, "{frame:?}");
            assert_eq!(spec.frame_size_for(picture), picture);
        }
    }
}
