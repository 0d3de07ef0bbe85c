// SPDX-License-Identifier: MPL-2.0

//! Graphs that break the contract.

use crate::common::folder;
use crate::common::onnx::Graph;
use crate::{load, refused};

/// Refused because of that graph.
#[track_caller]
fn graph_refused(file: &str, onnx: &[u8], want: &str) {
    let folder = folder::factored().with_graph(file, onnx);
    refused(&folder, &format!("model DIR/{file} does not fit: {want}"));
}

#[test]
fn graphs_that_do_not_fit() {
    let encoder = || Graph::default().input("face", &[1, 1, 16, 16]);
    graph_refused(
        "encoder.onnx",
        b"not a graph at all",
        "this is not an ONNX file, or one that was cut short",
    );
    let whole = folder::tiny_encoder().finish();
    graph_refused(
        "encoder.onnx",
        &whole[..whole.len() / 2],
        "this is not an ONNX file, or one that was cut short",
    );
    graph_refused(
        "encoder.onnx",
        &encoder().output("vector", &[1, 8]).node("Flatten", &["face"], "vector").finish(),
        "the graph has no output `embedding`, its outputs are [\"vector\"]",
    );
    graph_refused(
        "encoder.onnx",
        &Graph::default()
            .input("image", &[1, 1, 16, 16])
            .output("embedding", &[1, 256])
            .node("Flatten", &["image"], "embedding")
            .finish(),
        "the graph has no input `face`, its inputs are [\"image\"]",
    );
    graph_refused(
        "encoder.onnx",
        &encoder()
            .input("age", &[1])
            .output("embedding", &[1, 256])
            .node("Flatten", &["face"], "embedding")
            .finish(),
        "the graph has the inputs [\"face\", \"age\"], [\"face\"] are wanted",
    );
    graph_refused(
        "encoder.onnx",
        &Graph::default()
            .input("face", &[1, 3, 48, 48])
            .output("embedding", &[1, 6912])
            .node("Flatten", &["face"], "embedding")
            .finish(),
        "input `face` is 1,3,48,48,F32 in the graph, 1,1,16,16,F32 is wanted",
    );
    graph_refused(
        "encoder.onnx",
        &Graph::default()
            .input("face", &[1, 256])
            .output("embedding", &[1, 256])
            .node("Relu", &["face"], "embedding")
            .finish(),
        "input `face` is 1,256,F32 in the graph, 1,1,16,16,F32 is wanted",
    );
    graph_refused(
        "encoder.onnx",
        &encoder()
            .output("embedding", &[1, 1, 16, 16])
            .node("Relu", &["face"], "embedding")
            .finish(),
        "output `embedding` has the shape [1, 1, 16, 16], [1, 1] is wanted",
    );
    // Embeddings of a width that the head does not take.
    let folder = folder::factored().with_graph(
        "encoder.onnx",
        &encoder().output("embedding", &[1, 256]).node("Flatten", &["face"], "embedding").finish(),
    );
    refused(
        &folder,
        "model DIR/head.onnx does not fit: input `synopsis` is synopsis_0,4,8,F32 in the graph, 2,4,256,F32 \
         is wanted",
    );
}

#[test]
fn heads_that_break_the_rules() {
    let foreknowing = folder::head_without_moments().constant("spread", &[8, 4], &[1.0; 32]).node(
        "MatMul",
        &["movement", "spread"],
        "moments",
    );
    graph_refused(
        "head.onnx",
        &foreknowing.finish(),
        "output `moments` depends on `detail`; it may depend on `synopsis` only",
    );
    let fixed = Graph::default()
        .input("synopsis", &[1, 4, 8])
        .input("detail", &[1, 2, 2, 8])
        .output("logits", &[1, 3])
        .node("Flatten", &["synopsis"], "logits")
        .finish();
    graph_refused(
        "head.onnx",
        &fixed,
        "input `synopsis` is 1,4,8,F32 in the graph, 2,4,8,F32 is wanted",
    );
}

#[test]
fn what_no_graph_may_hold() {
    for (onnx, want) in folder::forbidden_encoders() {
        graph_refused("encoder.onnx", &onnx, want);
    }
}

/// What a hostile or broken file can hold must not end the process.
#[test]
fn graphs_that_upset_the_runtime() {
    let encoder = || Graph::default().input("face", &[1, 1, 16, 16]).output("embedding", &[1, 8]);
    for onnx in [
        // An output that no node makes.
        encoder().finish(),
        // An operator that nobody has heard of.
        encoder().node("Frobnicate", &["face"], "embedding").finish(),
        // Shapes that do not go together.
        encoder()
            .constant("w", &[3, 5], &[0.0; 15])
            .node("MatMul", &["face", "w"], "embedding")
            .finish(),
        // A circle.
        encoder()
            .node("Add", &["face", "b"], "embedding")
            .node("Relu", &["embedding"], "b")
            .finish(),
        // More than any memory holds.
        encoder()
            .integers("shape", &[1 << 40])
            .node("ConstantOfShape", &["shape"], "w")
            .node("Add", &["face", "w"], "embedding")
            .finish(),
        // A size that is a riddle.
        Graph::default().input(&"(".repeat(200_000), &[0]).output("embedding", &[1, 8]).finish(),
        // A constant that does not hold what its shape promises.
        encoder()
            .constant("w", &[1 << 20, 1 << 20], &[0.0; 4])
            .node("Add", &["face", "w"], "embedding")
            .finish(),
    ] {
        let folder = folder::factored().with_graph("encoder.onnx", &onnx);
        let told = folder.told(load(folder.path()).unwrap_err());
        assert!(told.starts_with("model DIR/encoder.onnx does not fit: "), "{told}");
        assert!(told.len() < 500 && !told.contains('\n'), "{told}");
    }
}

#[test]
fn answers_that_are_no_numbers() {
    let onnx = Graph::default()
        .input("face", &[1, 1, 16, 16])
        .output("embedding", &[1, 256])
        .constant("zero", &[1], &[0.0])
        .node("Flatten", &["face"], "flat")
        .node("Div", &["flat", "zero"], "embedding")
        .finish();
    let folder = folder::factored().with_graph("encoder.onnx", &onnx);
    refused(
        &folder,
        "network DIR/encoder.onnx failed: 256 of 256 values of output `embedding` are not finite numbers",
    );
}
