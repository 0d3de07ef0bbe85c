// SPDX-License-Identifier: MPL-2.0

//! The built-in networks against the framework that they were trained with: `models/reference`
//! holds inputs and outputs as that framework computed them.

use std::fs;
use std::path::Path;

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

#[track_caller]
fn agrees(graph: &str, reference: &str) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let onnx = fs::read(models.join(graph)).unwrap();
    let text = fs::read_to_string(models.join("reference").join(reference)).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
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
