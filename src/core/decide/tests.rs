// SPDX-License-Identifier: MPL-2.0

//! What a change of expression does to the window.

use std::sync::Arc;

use super::*;
use crate::core::networks::{CropSpec, SamplingSpec};
use crate::core::pixels::{Channels, Picture};

/// Classes by what most frames of the synopsis show; a frame shows one of the two.
struct Majority(ExpressionSpec);

impl Majority {
    fn new() -> Self {
        Self(ExpressionSpec {
            model: "majority".into(),
            classes: ["happy", "sad"].map(Arc::from).to_vec(),
            size: 16,
            channels: Channels::Gray,
            crop: CropSpec::upright(),
            sampling: SamplingSpec {
                rate: 15.0,
                window: 2_560_000_000,
                synopsis: 16,
                moments: 0,
                detail: 0,
            },
            temperature: 1.0,
            agreement_temperature: 1.0,
            min_agreement: 0.8,
            min_confidence: 0.6,
        })
    }
}

impl ExpressionNetwork for Majority {
    fn spec(&self) -> &ExpressionSpec {
        &self.0
    }

    fn encode(&self, _: Picture) -> Result<Feature, Error> {
        unreachable!("the history is made by hand")
    }

    fn moments(&self, _: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        unreachable!("there are no key moments")
    }

    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        let one = |clip: &Clip<'_>| {
            let happy: f32 = clip
                .synopsis
                .iter()
                .map(|(_, feature)| match feature {
                    Feature::Embedding(e) => e[0],
                    Feature::Picture(p) => f32::from(p.data[0]) / 255.0,
                })
                .sum();
            ClipAnswer { fused: vec![happy - 8.0, 8.0 - happy], long: None, short: None }
        };
        Ok(clips.iter().map(one).collect())
    }
}

/// Fifteen frames a second: `before` happy ones, then `after` sad ones.
fn remembered(before: u64, after: u64, feature: impl Fn(bool) -> Feature) -> History {
    let mut history = History::new(2_560_000_000, 15.0);
    for i in 0..before + after {
        history.push(i * SECOND / 15, feature(i < before));
    }
    history
}

fn embedding(happy: bool) -> Feature {
    Feature::Embedding(Box::new([if happy { 1.0 } else { 0.0 }]))
}

fn top(verdict: &Verdict) -> &str {
    verdict.probabilities.top().unwrap().0
}

#[test]
fn a_change_ends_the_window() {
    let mut history = remembered(26, 12, embedding);
    let verdict = decide(&Majority::new(), &mut history, 5).unwrap();
    assert_eq!((top(&verdict), verdict.frames), ("sad", 13));
    assert_eq!(verdict.t - verdict.start, RECENT);
    assert!(verdict.probabilities.top().unwrap().1 > 0.99);
    assert_eq!(history.frames().first().map(|(t, _)| *t), Some(verdict.start));
}

#[test]
fn what_is_short_or_unsure_does_not() {
    // A quarter of a second of another expression is not most of the newest part.
    let mut history = remembered(34, 4, embedding);
    let verdict = decide(&Majority::new(), &mut history, 5).unwrap();
    assert_eq!((top(&verdict), verdict.frames), ("happy", 38));
    assert_eq!(history.frames().len(), 38);
    // A window that is hardly longer than its newest part.
    let mut history = remembered(13, 1, embedding);
    assert_eq!(decide(&Majority::new(), &mut history, 5).unwrap().frames, 14);
}

#[test]
fn whole_clips_of_pixels_are_not_looked_at_twice() {
    let picture = |happy| {
        let value = if happy { 255 } else { 0 };
        Feature::Picture(Picture::new(Channels::Gray, 1, 1, vec![value]).unwrap())
    };
    let mut history = remembered(26, 12, picture);
    let verdict = decide(&Majority::new(), &mut history, 5).unwrap();
    assert_eq!((top(&verdict), verdict.frames), ("happy", 38));
}
