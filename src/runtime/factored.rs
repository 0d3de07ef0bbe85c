// SPDX-License-Identifier: MPL-2.0

//! An expression network in two graphs: every frame is encoded once, and clips are selections of
//! the encoded frames that a small temporal head looks at.

use ndarray::{ArrayD, Axis};

use super::contract::Kind;
use super::graph::{Backend, Network};
use super::package::Package;
use super::pixels::Normal;
use crate::core::networks::{Clip, ClipAnswer, ExpressionNetwork, ExpressionSpec, Feature};
use crate::core::pixels::Picture;
use crate::core::{Error, Ns};

/// An encoder and a head, the head for a fixed number of clips at a time.
pub struct Factored {
    spec: ExpressionSpec,
    normal: Normal,
    encoder: Network,
    /// The head without what its other outputs need.
    moments: Network,
    head: Network,
    /// Clips in one run of the head.
    batch: usize,
    /// Length of an embedding.
    width: usize,
}

impl Factored {
    /// Loads both graphs, the head for `clips` clips at a time.
    pub fn load(backend: &dyn Backend, package: &Package, clips: usize) -> Result<Self, Error> {
        let Kind::Factored(spec) = &package.description.kind else {
            let kind = package.description.kind.name();
            return Err(package.refused(format!("kind is \"{kind}\", \"factored\" is wanted here")));
        };
        let (encoder, head) = (&package.graphs[0], &package.graphs[1]);
        let shape = vec![1, spec.channels.count(), spec.size, spec.size];
        let encoder = Network::load(
            backend,
            &encoder.label,
            &encoder.onnx,
            &[("face", shape)],
            &["embedding"],
        )?;
        let width = encoder.output_shape(0).get(1).copied().unwrap_or(0);
        encoder.expect_output(0, &[1, width])?;

        let (sampling, classes, batch) = (&spec.sampling, spec.classes.len(), clips.max(1));
        let inputs = [
            ("synopsis", vec![batch, sampling.synopsis, width]),
            ("detail", vec![batch, sampling.moments, sampling.detail, width]),
        ];
        let load =
            |outputs: &[&str]| Network::load(backend, &head.label, &head.onnx, &inputs, outputs);
        let answer = load(&["logits", "long", "short"])?;
        for position in 0..3 {
            answer.expect_output(position, &[batch, classes])?;
        }
        let moments = load(&["moments"])?;
        moments.expect_output(0, &[batch, sampling.synopsis])?;
        let spec = spec.clone();
        let normal = package.description.normal.clone();
        let network = Self { spec, normal, encoder, moments, head: answer, batch, width };
        network.check_moments(&head.label)?;
        Ok(network)
    }

    /// Moments are asked for before there is any detail, so they may not depend on it.
    fn check_moments(&self, label: &str) -> Result<(), Error> {
        let synopsis = self.synopsis_input(&[])?;
        let scores = [0.0, 1.0].map(|fill| {
            let detail = ArrayD::from_elem(self.detail_shape(), fill);
            self.moments.run(&[synopsis.view(), detail.view()])
        });
        let [without, with] = scores;
        let (without, with) = (without?.remove(0), with?.remove(0));
        if without.iter().zip(&with).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + a.abs())) {
            return Ok(());
        }
        Err(Error::Model {
            model: label.to_owned(),
            reason: "output `moments` depends on `detail`; it may depend on `synopsis` only"
                .to_owned(),
        })
    }

    fn detail_shape(&self) -> Vec<usize> {
        vec![self.batch, self.spec.sampling.moments, self.spec.sampling.detail, self.width]
    }

    /// batch x synopsis x width; what there are no clips for stays zero.
    fn synopsis_input(&self, clips: &[Clip<'_>]) -> Result<ArrayD<f32>, Error> {
        let shape = vec![self.batch, self.spec.sampling.synopsis, self.width];
        let rows = clips.iter().map(|clip| clip.synopsis.iter());
        self.fill(ArrayD::zeros(shape), rows)
    }

    /// batch x moments x detail x width.
    fn detail_input(&self, clips: &[Clip<'_>]) -> Result<ArrayD<f32>, Error> {
        let rows = clips.iter().map(|clip| clip.detail.iter().flatten());
        self.fill(ArrayD::zeros(self.detail_shape()), rows)
    }

    /// Copies the embeddings of each clip, one after the other, into its part of `input`.
    fn fill<'a>(
        &self,
        mut input: ArrayD<f32>,
        clips: impl Iterator<Item = impl Iterator<Item = &'a (Ns, &'a Feature)>>,
    ) -> Result<ArrayD<f32>, Error> {
        for (mut part, clip) in input.axis_iter_mut(Axis(0)).zip(clips) {
            let part = part.as_slice_mut().expect("a new array is in standard layout");
            let mut slots = part.chunks_exact_mut(self.width);
            for (_, feature) in clip {
                let embedding = match feature {
                    Feature::Embedding(embedding) if embedding.len() == self.width => embedding,
                    _ => {
                        return Err(
                            self.misfit("a frame of the clip was not encoded by this network")
                        );
                    }
                };
                let slot =
                    slots.next().ok_or_else(|| self.misfit("the clip has too many frames"))?;
                slot.copy_from_slice(embedding);
            }
            if slots.next().is_some() {
                return Err(self.misfit("the clip has too few frames"));
            }
        }
        Ok(input)
    }

    fn misfit(&self, reason: &str) -> Error {
        Error::Inference { network: self.spec.model.clone(), reason: reason.to_owned() }
    }
}

impl ExpressionNetwork for Factored {
    fn spec(&self) -> &ExpressionSpec {
        &self.spec
    }

    fn encode(&self, crop: Picture) -> Result<Feature, Error> {
        Ok(self.encode_all(vec![crop])?.remove(0))
    }

    fn encode_all(&self, crops: Vec<Picture>) -> Result<Vec<Feature>, Error> {
        let input = |crop: &Picture| {
            check_crop(&self.spec, crop)?;
            let mut input = ArrayD::zeros(vec![1, crop.channels.count(), crop.height, crop.width]);
            let planes = input.as_slice_mut().expect("a new array is in standard layout");
            self.normal.write(crop, planes, crop.width * crop.height);
            Ok(vec![input])
        };
        let inputs = crops.iter().map(input).collect::<Result<_, Error>>()?;
        let feature =
            |outputs: Vec<ArrayD<f32>>| Feature::Embedding(outputs[0].iter().copied().collect());
        Ok(self.encoder.run_all(inputs)?.into_iter().map(feature).collect())
    }

    fn together(&self) -> usize {
        self.encoder.together()
    }

    fn moments(&self, clips: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        let nothing = ArrayD::zeros(self.detail_shape());
        let inputs = clips
            .chunks(self.batch)
            .map(|some| Ok(vec![self.synopsis_input(some)?, nothing.clone()]));
        let answers = self.moments.run_all(inputs.collect::<Result<_, Error>>()?)?;
        let mut all = Vec::with_capacity(clips.len());
        for (some, outputs) in clips.chunks(self.batch).zip(answers) {
            all.extend(rows(&outputs[0]).take(some.len()));
        }
        Ok(all)
    }

    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        let inputs = clips
            .chunks(self.batch)
            .map(|some| Ok(vec![self.synopsis_input(some)?, self.detail_input(some)?]));
        let answers = self.head.run_all(inputs.collect::<Result<_, Error>>()?)?;
        let mut all = Vec::with_capacity(clips.len());
        for (some, outputs) in clips.chunks(self.batch).zip(answers) {
            let streams = rows(&outputs[1]).zip(rows(&outputs[2]));
            all.extend(rows(&outputs[0]).zip(streams).take(some.len()).map(
                |(fused, (long, short))| ClipAnswer { fused, long: Some(long), short: Some(short) },
            ));
        }
        Ok(all)
    }
}

/// Fails unless the crop is what the network wants.
pub(super) fn check_crop(spec: &ExpressionSpec, crop: &Picture) -> Result<(), Error> {
    if crop.channels == spec.channels && crop.width == spec.size && crop.height == spec.size {
        return Ok(());
    }
    Err(Error::Picture(format!(
        "the network takes {:?} of {size}x{size}, not {:?} of {}x{}",
        spec.channels,
        crop.channels,
        crop.width,
        crop.height,
        size = spec.size
    )))
}

fn rows(array: &ArrayD<f32>) -> impl Iterator<Item = Vec<f32>> {
    array.outer_iter().map(|row| row.iter().copied().collect())
}
