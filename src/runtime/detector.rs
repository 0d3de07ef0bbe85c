// SPDX-License-Identifier: MPL-2.0

//! The face detector on top of a graph.

use ndarray::{ArrayD, Ix4};

use super::contract::Kind;
use super::graph::{Backend, Network};
use super::package::Package;
use super::pixels::Normal;
use crate::core::Error;
use crate::core::detection::{GEOMETRY, Maps, merge};
use crate::core::networks::{Detection, DetectorSpec, FaceDetector};
use crate::core::pixels::Picture;

/// Boxes that overlap by more are one face.
const MAX_IOU: f32 = 0.4;
/// A cell has a say in where a face lies at this part of the score that a face needs.
const VOTE: f32 = 0.5;

/// A detector with its graph loaded twice: for whole frames and for the window around one face.
pub struct Detector {
    spec: DetectorSpec,
    strides: Vec<usize>,
    normal: Normal,
    frame: Network,
    track: Network,
}

impl Detector {
    /// Fails when the package holds no detector or its graph does not fit.
    pub fn load(backend: &dyn Backend, package: &Package) -> Result<Self, Error> {
        let Kind::Detector { spec, strides } = &package.description.kind else {
            let kind = package.description.kind.name();
            return Err(package.refused(format!("kind is \"{kind}\", a detector is wanted here")));
        };
        let load = |(width, height): (usize, usize)| -> Result<Network, Error> {
            let shape = vec![1, spec.channels.count(), height, width];
            let names: Vec<String> = strides
                .iter()
                .flat_map(|s| [format!("score_{s}"), format!("geometry_{s}")])
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let graph = &package.graphs[0];
            let network =
                Network::load(backend, &graph.label, &graph.onnx, &[("image", shape)], &names)?;
            for (k, stride) in strides.iter().enumerate() {
                let (rows, columns) = (height / stride, width / stride);
                network.expect_output(2 * k, &[1, 1, rows, columns])?;
                network.expect_output(2 * k + 1, &[1, GEOMETRY, rows, columns])?;
            }
            Ok(network)
        };
        Ok(Self {
            spec: spec.clone(),
            strides: strides.clone(),
            normal: package.description.normal.clone(),
            frame: load(spec.frame_size)?,
            track: load((spec.track_size, spec.track_size))?,
        })
    }
}

impl FaceDetector for Detector {
    fn spec(&self) -> &DetectorSpec {
        &self.spec
    }

    fn detect(&self, picture: &Picture, min_score: f32) -> Result<Vec<Detection>, Error> {
        let outputs = self.network(picture)?.run(&[self.input(picture).view()])?;
        Ok(self.faces(&outputs, min_score))
    }

    fn detect_all(
        &self,
        pictures: &[Picture],
        min_score: f32,
    ) -> Result<Vec<Vec<Detection>>, Error> {
        let Some(first) = pictures.first() else { return Ok(Vec::new()) };
        let inputs = pictures.iter().map(|picture| vec![self.input(picture)]).collect();
        let answers = self.network(first)?.run_all(inputs)?;
        Ok(answers.iter().map(|outputs| self.faces(outputs, min_score)).collect())
    }
}

impl Detector {
    /// The one for pictures of this size.
    fn network(&self, picture: &Picture) -> Result<&Network, Error> {
        let (size, track) = ((picture.width, picture.height), self.spec.track_size);
        let network = match size {
            _ if picture.channels != self.spec.channels => None,
            _ if size == self.spec.frame_size => Some(&self.frame),
            _ if size == (track, track) => Some(&self.track),
            _ => None,
        };
        network.ok_or_else(|| {
            let ((width, height), channels) = (self.spec.frame_size, self.spec.channels);
            Error::Picture(format!(
                "the detector takes {channels:?} of {width}x{height} or {track}x{track}, not {:?} of {}x{}",
                picture.channels, picture.width, picture.height
            ))
        })
    }

    fn input(&self, picture: &Picture) -> ArrayD<f32> {
        let mut input =
            ArrayD::zeros(vec![1, picture.channels.count(), picture.height, picture.width]);
        let planes = input.as_slice_mut().expect("a new array is in standard layout");
        self.normal.write(picture, planes, picture.width * picture.height);
        input
    }

    fn faces(&self, outputs: &[ArrayD<f32>], min_score: f32) -> Vec<Detection> {
        let mut found = Vec::new();
        for (stride, maps) in self.strides.iter().zip(outputs.chunks_exact(2)) {
            let [score, geometry] = [&maps[0], &maps[1]].map(|map| {
                map.view().into_dimensionality::<Ix4>().expect("the shapes were checked at load")
            });
            Maps {
                stride: *stride,
                score: score.slice(ndarray::s![0, 0, .., ..]),
                geometry: geometry.slice(ndarray::s![0, .., .., ..]),
            }
            .decode(min_score * VOTE, &mut found);
        }
        merge(found, MAX_IOU, min_score)
    }
}
