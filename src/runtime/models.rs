// SPDX-License-Identifier: MPL-2.0

//! Opening and sharing models: each is loaded once per process, whoever asks for it, and freed
//! when nobody uses it any more.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use once_cell::sync::OnceCell;

use super::built_in::{BuiltIn, DETECTOR, EXPRESSION};
use super::clip::ClipNetwork;
use super::contract::Kind;
use super::detector::Detector;
use super::factored::Factored;
use super::graph::Backend;
use super::info::ModelInfo;
use super::package::Package;
use crate::core::Error;
use crate::core::networks::{
    Clip, ClipAnswer, Detection, DetectorSpec, ExpressionNetwork, ExpressionSpec, FaceDetector,
    Feature,
};
use crate::core::pixels::Picture;

/// The face detector of that path (a `model.toml` or its folder), or the built-in one.
pub fn detector(
    backend: &Arc<dyn Backend>,
    path: Option<&Path>,
) -> Result<Arc<dyn FaceDetector>, Error> {
    static LOADED: Shared<dyn FaceDetector> = LazyLock::new(Mutex::default);
    let package = open(path, &DETECTOR)?;
    let key = (backend.name().to_owned(), package.content.clone(), 0);
    Ok(shared(&LOADED, key, || Ok(Box::new(Detector::load(backend, &package)?)))?)
}

/// The expression network of that path (a `model.toml` or its folder), or the built-in one, made
/// ready for `clips` clips at a time. Other numbers of clips work, but less fast.
pub fn expression(
    backend: &Arc<dyn Backend>,
    path: Option<&Path>,
    clips: usize,
) -> Result<Arc<dyn ExpressionNetwork>, Error> {
    static LOADED: Shared<dyn ExpressionNetwork> = LazyLock::new(Mutex::default);
    let package = open(path, &EXPRESSION)?;
    let key = (backend.name().to_owned(), package.content.clone(), clips);
    let load = || -> Result<Box<dyn ExpressionNetwork>, Error> {
        match &package.description.kind {
            Kind::Factored(_) => Ok(Box::new(Factored::load(&**backend, &package, clips)?)),
            Kind::Clip { .. } => Ok(Box::new(ClipNetwork::load(&**backend, &package)?)),
            Kind::Detector { .. } => Err(not_expression(&package)),
        }
    };
    Ok(shared(&LOADED, key, load)?)
}

/// What the model of that path is, or the built-in expression network. Reads and verifies every
/// file of it; whether a backend can run it is told by loading it.
pub fn describe(path: Option<&Path>) -> Result<ModelInfo, Error> {
    Ok(ModelInfo::new(&open(path, &EXPRESSION)?))
}

/// The expression model of that path (a `model.toml` or its folder), or the built-in one, read and
/// verified, not loaded.
pub fn open_expression(path: Option<&Path>) -> Result<Package, Error> {
    let package = open(path, &EXPRESSION)?;
    match package.description.kind.expression() {
        Some(_) => Ok(package),
        None => Err(not_expression(&package)),
    }
}

fn not_expression(package: &Package) -> Error {
    package.refused(
        "kind is \"detector\", an expression model (\"factored\" or \"clip\") is wanted here"
            .to_owned(),
    )
}

/// What the built-in face detector is.
pub fn describe_detector() -> Result<ModelInfo, Error> {
    Ok(ModelInfo::new(&open(None, &DETECTOR)?))
}

fn open(path: Option<&Path>, built_in: &BuiltIn) -> Result<Package, Error> {
    match path {
        Some(path) => Package::open(path),
        None => Package::built_in(built_in),
    }
}

/// Backend, content of the package, clips.
type Key = (String, String, usize);
type Shared<N> = LazyLock<Mutex<HashMap<Key, Weak<Slot<N>>>>>;

/// A place for a network, filled by the first who needs it; the others wait.
struct Slot<N: ?Sized>(OnceCell<Box<N>>);

/// The network of that key, loaded now if nobody has it. After a failure the next one tries again.
fn shared<N: ?Sized>(
    all: &Shared<N>,
    key: Key,
    load: impl FnOnce() -> Result<Box<N>, Error>,
) -> Result<Arc<Slot<N>>, Error> {
    let slot = {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, slot| slot.strong_count() > 0);
        all.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let slot = Arc::new(Slot(OnceCell::new()));
            all.insert(key, Arc::downgrade(&slot));
            slot
        })
    };
    // Outside the lock: other models may be opened meanwhile.
    slot.0.get_or_try_init(load)?;
    Ok(slot)
}

impl<N: ?Sized> Slot<N> {
    fn network(&self) -> &N {
        self.0.get().expect("`shared` hands out filled slots only")
    }
}

impl FaceDetector for Slot<dyn FaceDetector> {
    fn spec(&self) -> &DetectorSpec {
        self.network().spec()
    }

    fn detect(&self, picture: &Picture, min_score: f32) -> Result<Vec<Detection>, Error> {
        self.network().detect(picture, min_score)
    }

    fn detect_all(
        &self,
        pictures: &[Picture],
        min_score: f32,
    ) -> Result<Vec<Vec<Detection>>, Error> {
        self.network().detect_all(pictures, min_score)
    }
}

impl ExpressionNetwork for Slot<dyn ExpressionNetwork> {
    fn spec(&self) -> &ExpressionSpec {
        self.network().spec()
    }

    fn encode(&self, crop: Picture) -> Result<Feature, Error> {
        self.network().encode(crop)
    }

    fn encode_all(&self, crops: Vec<Picture>) -> Result<Vec<Feature>, Error> {
        self.network().encode_all(crops)
    }

    fn together(&self) -> usize {
        self.network().together()
    }

    fn moments(&self, clips: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        self.network().moments(clips)
    }

    fn answer(&self, clips: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        self.network().answer(clips)
    }
}
