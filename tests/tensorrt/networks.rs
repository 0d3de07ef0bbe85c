// SPDX-License-Identifier: MPL-2.0

//! Networks through ONNX Runtime and through tract.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gstdfer::core::networks::{Clip, Detection, ExpressionNetwork, Feature};
use gstdfer::core::pixels::{Channels, Picture};
use gstdfer::runtime::graph::{Backend, Fact};
use gstdfer::runtime::models;
use gstdfer::runtime::onnxruntime::{OnnxRuntime, Precision, Provider, Settings};
use gstdfer::runtime::tract::Tract;

use crate::common::folder::{self, Folder};
use crate::library;

fn settings() -> Option<Settings> {
    let library = Some(library()?);
    Some(Settings { library, provider: Some(Provider::Cpu), ..Settings::default() })
}

fn open(settings: &Settings) -> Arc<dyn Backend> {
    OnnxRuntime::open(settings).unwrap()
}

fn refused(settings: &Settings) -> String {
    OnnxRuntime::open(settings).err().expect("it is not usable").to_string()
}

fn count(backend: &Arc<dyn Backend>, name: &str) -> u64 {
    match backend.facts().into_iter().find(|(n, _)| *n == name) {
        Some((_, Fact::Count(count))) => count,
        other => panic!("{name}: {other:?}"),
    }
}

/// Pictures that differ from each other, the same in every run.
fn noise(channels: Channels, width: usize, height: usize, seed: u32) -> Picture {
    let state = AtomicU32::new(seed.wrapping_mul(2_654_435_761).max(1));
    let value = || {
        let next =
            state.load(Ordering::Relaxed).wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.store(next, Ordering::Relaxed);
        (next >> 24) as u8
    };
    let data = (0..width * height * channels.count()).map(|_| value()).collect();
    Picture::new(channels, width, height, data).unwrap()
}

fn values(feature: &Feature) -> &[f32] {
    match feature {
        Feature::Embedding(values) => values,
        Feature::Picture(_) => panic!("an embedding is wanted"),
    }
}

#[track_caller]
fn assert_near(found: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(found.len(), want.len());
    for (a, b) in found.iter().zip(want) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} is not {b}");
    }
}

/// A clip of frames 0, 1, 2, ... of these, as many as the network wants.
fn clip<'a>(network: &dyn ExpressionNetwork, frames: &'a [Feature]) -> Clip<'a> {
    let s = network.spec().sampling;
    let at = |i: usize| (i as u64, &frames[i % frames.len()]);
    Clip {
        synopsis: (0..s.synopsis).map(at).collect(),
        detail: (0..s.moments).map(|m| (0..s.detail).map(|d| at(m * 3 + d)).collect()).collect(),
    }
}

#[test]
fn the_built_in_networks_answer_as_in_tract() {
    let Some(settings) = settings() else { return };
    let (ours, theirs): (_, Arc<dyn Backend>) = (open(&settings), Arc::new(Tract));
    let networks = [&ours, &theirs].map(|b| models::expression(b, None, 5).unwrap());
    let spec = networks[0].spec().clone();
    let frames = networks.each_ref().map(|network| -> Vec<Feature> {
        let crop = |seed| noise(spec.channels, spec.size, spec.size, seed);
        (0..8).map(|seed| network.encode(crop(seed)).unwrap()).collect()
    });
    for (a, b) in frames[0].iter().zip(&frames[1]) {
        assert_near(values(a), values(b), 1e-4);
    }
    // The same embeddings into both heads; more clips than one run of the head takes.
    let clips: Vec<_> = (0..7).map(|i| clip(&*networks[0], &frames[1][i..])).collect();
    let [moments, want] = networks.each_ref().map(|n| n.moments(&clips).unwrap());
    moments.iter().zip(&want).for_each(|(a, b)| assert_near(a, b, 1e-4));
    let [answers, want] = networks.each_ref().map(|n| n.answer(&clips).unwrap());
    for (a, b) in answers.iter().zip(&want) {
        assert_near(&a.fused, &b.fused, 1e-4);
        assert_near(a.long.as_deref().unwrap(), b.long.as_deref().unwrap(), 1e-4);
        assert_near(a.short.as_deref().unwrap(), b.short.as_deref().unwrap(), 1e-4);
    }
    let detectors = [&ours, &theirs].map(|b| models::detector(b, None).unwrap());
    let (width, height) = detectors[0].spec().frame_size;
    let picture = noise(detectors[0].spec().channels, width, height, 9);
    // Anything that looks a little like a face, so that there is something to compare; of two
    // equally bad ones either may come first.
    let [found, want] = detectors.map(|d| d.detect(&picture, 1e-3).unwrap());
    assert!(found.len() > 3 && found.len().abs_diff(want.len()) <= 1, "{found:?}");
    for a in found.iter().filter(|a| a.score > 2e-3) {
        let same = |b: &Detection| (a.score - b.score).abs() < 1e-4 && a.rect.iou(&b.rect) > 0.99;
        assert!(want.iter().any(same), "{a:?} is not in {want:?}");
    }
}

/// Networks of others, with a fixed batch, with a free one, and from whole clips.
#[test]
fn other_networks_answer_as_in_tract() {
    let Some(settings) = settings() else { return };
    let (ours, theirs): (_, Arc<dyn Backend>) = (open(&settings), Arc::new(Tract));
    let folders: [Folder; 2] = [folder::factored(), folder::clip("BTCHW")];
    for folder in &folders {
        let networks =
            [&ours, &theirs].map(|b| models::expression(b, Some(folder.path()), 2).unwrap());
        let spec = networks[0].spec().clone();
        let frames = networks.each_ref().map(|network| -> Vec<Feature> {
            let crop = |seed| noise(spec.channels, spec.size, spec.size, seed);
            (0..6).map(|seed| network.encode(crop(seed)).unwrap()).collect()
        });
        let answers = [0, 1].map(|k: usize| {
            let clips: Vec<_> = (0..3).map(|i| clip(&*networks[k], &frames[k][i..])).collect();
            networks[k].answer(&clips).unwrap()
        });
        for (a, b) in answers[0].iter().zip(&answers[1]) {
            assert_near(&a.fused, &b.fused, 1e-5);
        }
    }
}

#[test]
fn graphs_that_do_not_fit_are_refused() {
    let Some(settings) = settings() else { return };
    let backend = open(&settings);
    let told = |folder: &Folder| {
        folder.told(models::expression(&backend, Some(folder.path()), 1).err().unwrap())
    };
    let cut = {
        let folder = folder::factored();
        let bytes = std::fs::read(folder.file("encoder.onnx")).unwrap();
        folder.with_graph("encoder.onnx", &bytes[..bytes.len() / 2])
    };
    assert!(told(&cut).contains("DIR/encoder.onnx"), "{}", told(&cut));
    for (onnx, want) in folder::forbidden_encoders() {
        let folder = folder::factored().with_graph("encoder.onnx", &onnx);
        assert_eq!(told(&folder), format!("model DIR/encoder.onnx does not fit: {want}"));
    }
    let size = folder::factored().edited("size = 16", "size = 32");
    assert_eq!(
        told(&size),
        "model DIR/encoder.onnx does not fit: input `face` has the shape [1, 1, 16, 16] in the \
         graph (-1 is any), [1, 1, 32, 32] is wanted"
    );
    let output = folder::clip("BTCHW").edited("output = \"scores\"", "output = \"answer\"");
    assert_eq!(
        told(&output),
        "model DIR/clip.onnx does not fit: the graph has no output `answer`, its outputs are [\"scores\"]"
    );
}

/// Threads that use one network at once get their own answers, and share runs.
#[test]
fn streams_share_runs() {
    let Some(settings) = settings() else { return };
    let settings =
        Settings { max_batch: 8, batch_timeout: std::time::Duration::from_millis(20), ..settings };
    let backend = open(&settings);
    let network = models::expression(&backend, None, 3).unwrap();
    let again = models::expression(&open(&settings), None, 3).unwrap();
    assert!(std::ptr::addr_eq(Arc::as_ptr(&network), Arc::as_ptr(&again)), "one session for all");
    let spec = network.spec().clone();
    let crop = |seed| noise(spec.channels, spec.size, spec.size, seed);
    let alone: Vec<Feature> = (0..8).map(|seed| network.encode(crop(seed)).unwrap()).collect();
    let (runs, sets) = (count(&backend, "batches"), count(&backend, "batched"));
    std::thread::scope(|scope| {
        for (seed, want) in alone.iter().enumerate() {
            let (network, crop) = (&network, &crop);
            scope.spawn(move || {
                for _ in 0..10 {
                    let found = network.encode(crop(seed as u32)).unwrap();
                    assert_near(values(&found), values(want), 1e-4);
                }
            });
        }
    });
    let (runs, sets) = (count(&backend, "batches") - runs, count(&backend, "batched") - sets);
    println!("{sets} faces in {runs} runs");
    assert_eq!(sets, 80);
    // The shipped encoder takes batches; eight callers fill one in turn.
    assert!(runs <= 40, "{sets} faces took {runs} runs");
}

#[test]
fn what_does_not_work_says_why() {
    let Some(settings) = settings() else { return };
    for (provider, name) in [
        (Provider::TensorRt, "tensorrt"),
        (Provider::TensorRtRtx, "tensorrt-rtx"),
        (Provider::Cuda, "cuda"),
    ] {
        let one = Settings { provider: Some(provider), device: 99, ..settings.clone() };
        let told = refused(&one);
        assert!(
            told.starts_with("ONNX Runtime is not usable: no execution provider works"),
            "{told}"
        );
        assert!(told.contains(&format!("{name}: ")) && told.contains("allow-cpu=true"), "{told}");
    }
    let half =
        Settings { provider: Some(Provider::Cuda), precision: Precision::Fp16, ..settings.clone() };
    assert!(refused(&half).contains("precision=fp16 is for tensorrt"), "{}", refused(&half));
    // One library in a process.
    open(&settings);
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("libonnxruntime.so");
    std::fs::write(&path, "another one").unwrap();
    let told = refused(&Settings { library: Some(path), ..settings.clone() });
    assert!(told.contains("already uses"), "{told}");
    let told = refused(&Settings { library: Some(other.path().join("none")), ..settings });
    assert!(told.contains("there is no such file"), "{told}");
}
