// SPDX-License-Identifier: MPL-2.0

//! The sizes that a network wants its crops in, one after another.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstdfer::core::Error;
use gstdfer::core::analyst::Networks;
use gstdfer::core::networks::{Clip, ClipAnswer, ExpressionNetwork, ExpressionSpec, Feature};
use gstdfer::core::pixels::Picture;

use crate::studio::*;

/// Wants its crops twice and half as large as usual in turn, and notes of each whether it is of one colour.
struct Watching {
    network: Arc<dyn ExpressionNetwork>,
    spec: ExpressionSpec,
    plain: Arc<Mutex<Vec<bool>>>,
}

impl ExpressionNetwork for Watching {
    fn spec(&self) -> &ExpressionSpec {
        &self.spec
    }

    fn encode(&self, crop: Picture) -> Result<Feature, Error> {
        self.plain.lock().unwrap().push(crop.quality().contrast < 4.0);
        self.network.encode(crop)
    }

    fn moments(&self, clips: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        self.network.moments(clips)
    }

    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        self.network.answer(clips)
    }
}

/// Of the crops of two seconds, in order: whether nothing but the face is to be seen.
fn seen(source: &str) -> Vec<bool> {
    let Networks { detector, expression } = by_brightness();
    let plain = Arc::default();
    let mut spec = expression.spec().clone();
    spec.crop.scales = vec![2.0, 0.5];
    let watching = Watching { network: expression, spec, plain: Arc::clone(&plain) };
    let element = filter("sync", Networks { detector, expression: Arc::new(watching) });
    element.set_property_from_str("face-source", source);
    let mut h = harness(&element);
    for i in 0..60 {
        // A little more than half of the frame.
        analysed(&mut h, frame(i, &[(75, 55, 170, 130, 180)]));
    }
    drop(h);
    std::mem::take(&mut *plain.lock().unwrap())
}

#[test]
fn crops_are_enlarged_in_turn() {
    for source in ["frame", "detector"] {
        let seen = seen(source);
        assert!(seen.len() >= 27, "{source}: {} crops", seen.len());
        // A fifth of a second is three crops; the first stretch may have begun before the face was found, the
        // last goes on.
        let stretches: Vec<_> = seen.chunk_by(|a, b| a == b).map(<[bool]>::len).collect();
        let whole = &stretches[1..stretches.len() - 1];
        assert!(whole.len() >= 7 && whole.iter().all(|n| *n == 3), "{source}: {seen:?}");
    }
}
