// SPDX-License-Identifier: MPL-2.0

//! The runtime against the recipe that made the networks: `models/reference` holds what the recipe
//! computed of the same inputs.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gstdfer::core::analyst::{Analyst, ClipSettings, Cut, Job, MIN_WINDOW, Networks};
use gstdfer::core::networks::{
    Clip, ClipAnswer, CropSpec, Detection, ExpressionNetwork, ExpressionSpec, Feature,
};
use gstdfer::core::pixels::{
    Channels, Colorimetry, FrameView, Matrix, Outside, Picture, PixelFormat, Plane,
};
use gstdfer::core::{Error, Landmarks, Point, Rect, crop};
use gstdfer::runtime::fake::{ScriptedDetector, ScriptedNetwork};
use gstdfer::runtime::graph::{Network, views};
use gstdfer::runtime::tract::Tract;
use ndarray::ArrayD;
use serde_json::Value;

/// Largest difference, relative to values above 1.
const TOLERANCE: f32 = 1e-4;

fn tensors(table: &Value) -> Vec<(&str, ArrayD<f32>)> {
    table
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, tensor)| {
            let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
            let data: Vec<f32> = serde_json::from_value(tensor["data"].clone()).unwrap();
            (name.as_str(), ArrayD::from_shape_vec(shape, data).unwrap())
        })
        .collect()
}

fn read(reference: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/reference");
    serde_json::from_str(&fs::read_to_string(folder.join(reference)).unwrap()).unwrap()
}

#[track_caller]
fn agrees(graph: &str, reference: &str) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let onnx = fs::read(models.join(graph)).unwrap();
    let reference = read(reference);
    let (inputs, wanted) = (tensors(&reference["inputs"]), tensors(&reference["outputs"]));
    let shapes: Vec<_> =
        inputs.iter().map(|(name, array)| (*name, array.shape().to_vec())).collect();
    let outputs: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
    let network = Network::load(&Tract, graph, &onnx, &shapes, &outputs).unwrap();
    let inputs: Vec<_> = inputs.into_iter().map(|(_, array)| array).collect();
    let found = network.run(&views(&inputs)).unwrap();
    assert!(!wanted.is_empty());
    for (found, (name, wanted)) in found.iter().zip(&wanted) {
        assert_eq!(found.shape(), wanted.shape(), "{name}");
        for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
            assert!(
                (a - b).abs() <= TOLERANCE * b.abs().max(1.0),
                "{name}, value {i}: {a} is not {b}"
            );
        }
    }
}

#[test]
fn detector_agrees() {
    agrees("face/detector.onnx", "detector.json");
}

#[test]
fn encoder_agrees() {
    agrees("expression/encoder.onnx", "encoder.json");
}

#[test]
fn head_agrees() {
    agrees("expression/head.onnx", "head.json");
}

/// The picture of `scripts/crop_reference.py`.
fn drawn(width: usize, height: usize) -> Vec<u8> {
    let level = |i: usize| {
        let (x, y) = ((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
        let waves =
            128.0 + 50.0 * (x / 17.0).sin() * (y / 23.0).cos() + 25.0 * ((x + 2.0 * y) / 6.0).sin();
        let disc = (x - 350.0).powi(2) + (y - 190.0).powi(2) < 1600.0;
        let level = if disc { waves + 45.0 } else { waves };
        (level.clamp(0.0, 255.0) + 0.5).floor() as u8
    };
    (0..width * height).map(level).collect()
}

fn points(list: &Value) -> Landmarks {
    let list: [[f32; 2]; 5] = serde_json::from_value(list.clone()).unwrap();
    list.map(|[x, y]| Point::new(x, y))
}

/// Keeps the crops that it is given.
struct Keeper {
    spec: ExpressionSpec,
    crops: Mutex<Vec<Picture>>,
}

impl ExpressionNetwork for Keeper {
    fn spec(&self) -> &ExpressionSpec {
        &self.spec
    }

    fn encode(&self, crop: Picture) -> Result<Feature, Error> {
        self.crops.lock().unwrap().push(crop);
        Ok(Feature::Embedding(Box::new([0.0])))
    }

    fn moments(&self, _: &[Clip<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        unreachable!("one frame makes no decision")
    }

    fn answer(&self, _: &[Clip<'_>]) -> Result<Vec<ClipAnswer>, Error> {
        unreachable!("one frame makes no decision")
    }
}

/// What the encoder is shown of a face is what it was trained on: the whole way from the frame over
/// the patch, the window, its mirror image and the landmarks found there to the crop.
#[test]
fn crops_agree() {
    let reference = read("crop.json");
    let number = |key: &str| reference[key].as_u64().unwrap() as usize;
    let (width, height, size) = (number("width"), number("height"), number("size"));
    let data = drawn(width, height);
    let colorimetry = Colorimetry { matrix: Matrix::Bt601, full_range: true };
    let planes = [Plane { data: &data, stride: width }];
    let frame = FrameView::new(PixelFormat::Gray8, width, height, &planes, colorimetry).unwrap();
    for row in reference["faces"].as_array().unwrap() {
        let [x, y, tall, roll]: [f32; 4] = serde_json::from_value(row["face"].clone()).unwrap();
        let rect = Rect::centered(Point::new(x, y), tall * 0.8, tall);
        let face = Detection { rect, landmarks: points(&row["landmarks"]), score: 0.9 };
        // The detector sees the face where it is in the window, then in the window's mirror image.
        let (looks, side) = (AtomicUsize::new(0), 96);
        let seen = face.mapped(&crop::track_window(&rect, side).inverse());
        let detector = ScriptedDetector::new(move |_: &Picture| {
            match looks.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => vec![seen],
                _ => vec![seen.mirrored(side as f32)],
            }
        });
        let scripted = ScriptedNetwork::new(|_, _| 0);
        let template = points(&reference["template"]);
        let keeper = Arc::new(Keeper {
            spec: ExpressionSpec {
                size,
                crop: CropSpec { template, ..CropSpec::upright() },
                ..scripted.spec().clone()
            },
            crops: Mutex::default(),
        });
        let networks = Networks { detector: Some(Arc::new(detector)), expression: keeper.clone() };
        let patch = Analyst::patch_size(&networks);
        let clips = ClipSettings { clips: 5, decision_interval: 1, min_window: MIN_WINDOW };
        let mut analyst = Analyst::new(networks, clips);
        let map = crop::track_window(&rect, patch);
        let picture = frame.sample(&map, patch, patch, Channels::Rgb, Outside::Edge);
        let cut = Cut::Patch { map, face: rect, must_find: true };
        analyst.run(vec![Job::Face { t: 0, track: 1, picture, cut }]).unwrap();

        let wanted: Vec<u8> = serde_json::from_value(row["crop"].clone()).unwrap();
        let crops = keeper.crops.lock().unwrap();
        let [found] = &crops[..] else { panic!("{} crops", crops.len()) };
        assert_eq!(found.data.len(), wanted.len());
        let off = found.data.iter().zip(&wanted).map(|(a, b)| f64::from(a.abs_diff(*b)));
        let off = off.sum::<f64>() / wanted.len() as f64;
        println!("face of {tall} pixels, rolled by {roll}: {off:.2} levels off on average");
        // Rounded to whole levels twice.
        let slack = row["slack"].as_f64().unwrap() + 0.3;
        assert!(off < slack, "face of {tall} pixels, rolled by {roll}: {off:.2} of {slack:.2}");
    }
}
