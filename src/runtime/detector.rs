// SPDX-License-Identifier: MPL-2.0

//! The face detector on top of a graph.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{ArrayD, Ix4};
use once_cell::sync::OnceCell;

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

/// A detector with its graph loaded for the window around one face and for whole frames of the model's
/// own size; for frames of another shape when the first of them comes.
pub struct Detector {
    spec: DetectorSpec,
    normal: Normal,
    source: Source,
    /// By width and height of the pictures.
    networks: Mutex<HashMap<(usize, usize), Slot>>,
}

/// A place for a network, filled by the first who needs it; the others wait.
type Slot = Arc<OnceCell<Arc<Network>>>;

/// What the graph is loaded from, for whichever size.
struct Source {
    backend: Arc<dyn Backend>,
    label: String,
    onnx: Cow<'static, [u8]>,
    channels: usize,
    strides: Vec<usize>,
}

impl Source {
    fn load(&self, (width, height): (usize, usize)) -> Result<Network, Error> {
        let shape = vec![1, self.channels, height, width];
        let names: Vec<String> = self
            .strides
            .iter()
            .flat_map(|s| [format!("score_{s}"), format!("geometry_{s}")])
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let inputs = [("image", shape)];
        let network = Network::load(&*self.backend, &self.label, &self.onnx, &inputs, &names)?;
        for (k, stride) in self.strides.iter().enumerate() {
            let (rows, columns) = (height / stride, width / stride);
            network.expect_output(2 * k, &[1, 1, rows, columns])?;
            network.expect_output(2 * k + 1, &[1, GEOMETRY, rows, columns])?;
        }
        Ok(network)
    }
}

impl Detector {
    /// Fails when the package holds no detector or its graph does not fit.
    pub fn load(backend: &Arc<dyn Backend>, package: &Package) -> Result<Self, Error> {
        let Kind::Detector { spec, strides } = &package.description.kind else {
            let kind = package.description.kind.name();
            return Err(package.refused(format!("kind is \"{kind}\", a detector is wanted here")));
        };
        let source = Source {
            backend: backend.clone(),
            label: package.graphs[0].label.clone(),
            onnx: package.graphs[0].onnx.clone(),
            channels: spec.channels.count(),
            strides: strides.clone(),
        };
        let detector = Self {
            spec: spec.clone(),
            normal: package.description.normal.clone(),
            source,
            networks: Mutex::default(),
        };
        detector.network(spec.frame_size)?;
        detector.network((spec.track_size, spec.track_size))?;
        Ok(detector)
    }

    /// The one for pictures of that width and height, loaded now if need be.
    fn network(&self, size: (usize, usize)) -> Result<Arc<Network>, Error> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = networks.entry(size).or_default().clone();
        // Others need not wait for it.
        drop(networks);
        slot.get_or_try_init(|| self.source.load(size).map(Arc::new)).cloned()
    }
}

impl FaceDetector for Detector {
    fn spec(&self) -> &DetectorSpec {
        &self.spec
    }

    fn detect(&self, picture: &Picture, min_score: f32) -> Result<Vec<Detection>, Error> {
        let network = self.network(self.size(picture)?)?;
        let outputs = network.run(&[self.input(picture).view()])?;
        Ok(self.faces(&outputs, min_score))
    }

    fn detect_all(
        &self,
        pictures: &[Picture],
        min_score: f32,
    ) -> Result<Vec<Vec<Detection>>, Error> {
        let Some(first) = pictures.first() else { return Ok(Vec::new()) };
        let inputs = pictures.iter().map(|picture| vec![self.input(picture)]).collect();
        let answers = self.network(self.size(first)?)?.run_all(inputs)?;
        Ok(answers.iter().map(|outputs| self.faces(outputs, min_score)).collect())
    }
}

impl Detector {
    /// Width and height of a picture that the graph is for.
    fn size(&self, picture: &Picture) -> Result<(usize, usize), Error> {
        let (size, spec) = ((picture.width, picture.height), &self.spec);
        let fits = [spec.frame_size, (spec.track_size, spec.track_size)].contains(&size)
            || spec.frame_size_for(size) == size;
        if fits && picture.channels == spec.channels {
            return Ok(size);
        }
        let ((width, height), track, channels) = (spec.frame_size, spec.track_size, spec.channels);
        Err(Error::Picture(format!(
            "the detector takes {channels:?} of {width}x{height}, or as many pixels in another shape, or {track}x{track}, not {:?} of {}x{}",
            picture.channels, picture.width, picture.height
        )))
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
        for (stride, maps) in self.source.strides.iter().zip(outputs.chunks_exact(2)) {
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
