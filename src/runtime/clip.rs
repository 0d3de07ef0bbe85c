// SPDX-License-Identifier: MPL-2.0

//! An expression network in one graph that takes the pixels of a whole clip, so that anybody's
//! network can be used. Costs one pass per clip.

use ndarray::ArrayD;

use super::contract::{ClipInput, ClipLayout, Kind};
use super::factored::check_crop;
use super::graph::{Backend, Network};
use super::package::Package;
use super::pixels::Normal;
use crate::core::networks::{Clip, ClipAnswer, ExpressionNetwork, ExpressionSpec, Feature};
use crate::core::pixels::Picture;
use crate::core::{Error, Ns};

/// A network from pixels to logits.
pub struct ClipNetwork {
    spec: ExpressionSpec,
    clip: ClipInput,
    normal: Normal,
    network: Network,
}

impl ClipNetwork {
    /// Fails when the package holds no clip network or its graph does not fit.
    pub fn load(backend: &dyn Backend, package: &Package) -> Result<Self, Error> {
        let Kind::Clip { spec, clip } = &package.description.kind else {
            let kind = package.description.kind.name();
            return Err(package.refused(format!("kind is \"{kind}\", \"clip\" is wanted here")));
        };
        let graph = &package.graphs[0];
        let input = (clip.input.as_str(), clip.shape(spec));
        let network = Network::load(backend, &graph.label, &graph.onnx, &[input], &[&clip.output])?;
        network.expect_output(0, &[1, spec.classes.len()])?;
        let normal = package.description.normal.clone();
        Ok(Self { spec: spec.clone(), clip: clip.clone(), normal, network })
    }

    fn picture<'a>(&self, feature: &'a Feature) -> Result<&'a Picture, Error> {
        match feature {
            Feature::Picture(picture) => {
                check_crop(&self.spec, picture)?;
                Ok(picture)
            }
            Feature::Embedding(_) => {
                Err(self.misfit("a frame of the clip was encoded by another network"))
            }
        }
    }

    /// The frames of both looks in order of time, as the network takes them.
    fn input(&self, clip: &Clip<'_>) -> Result<ArrayD<f32>, Error> {
        let mut frames: Vec<(Ns, &Feature)> =
            clip.synopsis.iter().chain(clip.detail.iter().flatten()).copied().collect();
        if frames.len() != self.clip.frames {
            let (has, takes) = (frames.len(), self.clip.frames);
            return Err(
                self.misfit(&format!("the clip has {has} frames, the network takes {takes}"))
            );
        }
        frames.sort_by_key(|(time, _)| *time);
        let (plane, channels) = (self.spec.size * self.spec.size, self.spec.channels.count());
        let (frame_step, channel_step) = match self.clip.layout {
            ClipLayout::TimeFirst => (channels * plane, plane),
            ClipLayout::ChannelsFirst => (plane, frames.len() * plane),
        };
        let mut input = ArrayD::zeros(self.clip.shape(&self.spec));
        let values = input.as_slice_mut().expect("a new array is in standard layout");
        for (t, (_, feature)) in frames.iter().enumerate() {
            self.normal.write(self.picture(feature)?, &mut values[t * frame_step..], channel_step);
        }
        Ok(input)
    }

    fn misfit(&self, reason: &str) -> Error {
        Error::Inference { network: self.spec.model.clone(), reason: reason.to_owned() }
    }
}

impl ExpressionNetwork for ClipNetwork {
    fn spec(&self) -> &ExpressionSpec {
        &self.spec
    }

    fn encode(&self, crop: Picture) -> Result<Feature, Error> {
        check_crop(&self.spec, &crop)?;
        Ok(Feature::Picture(crop))
    }

    /// Such a network does not say which moments matter, and asking it would cost a pass each. A
    /// face that shows an expression looks unlike the average of its own clip: the score is the
    /// mean absolute difference of a crop from the clip's mean crop, 0 to 1.
    fn moments(&self, clips: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        clips.iter().map(|clip| self.unlikeness(clip)).collect()
    }

    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        let set = |clip| Ok(vec![self.input(clip)?]);
        let sets = clips.iter().map(set).collect::<Result<Vec<_>, Error>>()?;
        let answer = |mut outputs: Vec<ArrayD<f32>>| {
            let fused = outputs.remove(0).iter().copied().collect();
            ClipAnswer { fused, long: None, short: None }
        };
        Ok(self.network.run_all(sets)?.into_iter().map(answer).collect())
    }
}

impl ClipNetwork {
    fn unlikeness(&self, clip: &Clip<'_>) -> Result<Vec<f32>, Error> {
        let crops: Vec<&Picture> =
            clip.synopsis.iter().map(|(_, f)| self.picture(f)).collect::<Result<_, _>>()?;
        let mut sum = vec![0u32; self.spec.size * self.spec.size * self.spec.channels.count()];
        for crop in &crops {
            sum.iter_mut().zip(&crop.data).for_each(|(sum, v)| *sum += u32::from(*v));
        }
        // In whole numbers, so that the order of the additions does not matter.
        let count = crops.len() as u32;
        let from_mean = |crop: &&Picture| {
            let values = crop.data.iter().zip(&sum);
            let total: u64 =
                values.map(|(v, sum)| u64::from((u32::from(*v) * count).abs_diff(*sum))).sum();
            (total as f64 / (255.0 * f64::from(count) * sum.len() as f64)) as f32
        };
        Ok(crops.iter().map(from_mean).collect())
    }
}
