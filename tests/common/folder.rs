// SPDX-License-Identifier: MPL-2.0

//! Folders with small models whose answers can be worked out by hand.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::onnx::{Attribute, Graph};

/// A model folder that can be spoilt in every way.
pub struct Folder {
    dir: tempfile::TempDir,
    pub toml: String,
}

impl Folder {
    /// `SHA(file)` in the text is replaced by the hash of that file.
    fn new(toml: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut toml = toml.to_owned();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
            toml = toml.replace(&format!("SHA({name})"), &sha256(bytes));
        }
        let folder = Self { dir, toml };
        folder.save();
        folder
    }

    fn save(&self) {
        fs::write(self.file("model.toml"), &self.toml).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// With `from` in the `model.toml` replaced by `to`.
    pub fn edited(mut self, from: &str, to: &str) -> Self {
        assert!(self.toml.contains(from), "{from:?} is not in the model.toml");
        self.toml = self.toml.replacen(from, to, 1);
        self.save();
        self
    }

    /// With another graph under that name, its hash in the `model.toml`.
    pub fn with_graph(self, name: &str, onnx: &[u8]) -> Self {
        let before = sha256(&fs::read(self.file(name)).unwrap());
        fs::write(self.file(name), onnx).unwrap();
        self.edited(&before, &sha256(onnx))
    }

    /// An error's text with this folder's path as DIR.
    pub fn told(&self, error: impl ToString) -> String {
        error.to_string().replace(&self.path().display().to_string(), "DIR")
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Grey 16x16 crops; an embedding is the mean of each quarter, then the same again negated.
pub fn tiny_encoder() -> Graph {
    let mut kernels = vec![1.0 / 64.0; 64];
    kernels.extend([-1.0 / 64.0; 64]);
    Graph::default()
        .input("face", &[1, 1, 16, 16])
        .output("embedding", &[1, 8])
        .output("logits", &[1, 3])
        .constant("kernels", &[2, 1, 8, 8], &kernels)
        .constant("answer", &[8, 3], &[0.5; 24])
        .integers("flat", &[1, 8])
        .node_with(
            "Conv",
            &["face", "kernels"],
            "quarters",
            &[("strides", Attribute::Ints(&[8, 8]))],
        )
        .node("Reshape", &["quarters", "flat"], "embedding")
        .node("MatMul", &["embedding", "answer"], "logits")
}

/// Class k of `long` is value k of the mean synopsis embedding, of `short` twice value k of the
/// mean detail embedding; a moment scores the sum of the first half of its embedding.
pub fn tiny_head() -> Graph {
    head_without_moments().node("MatMul", &["synopsis", "half"], "moments")
}

/// The same, but nothing makes the output `moments`; `movement` is the mean of the detail.
pub fn head_without_moments() -> Graph {
    let pick = |factor: f32| -> Vec<f32> {
        (0..24).map(|i| if i / 3 == i % 3 { factor } else { 0.0 }).collect()
    };
    let drop = ("keepdims", Attribute::Int(0));
    let half = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    Graph::default()
        .input("synopsis", &[0, 4, 8])
        .input("detail", &[0, 2, 2, 8])
        .output("logits", &[0, 3])
        .output("long", &[0, 3])
        .output("short", &[0, 3])
        .output("moments", &[0, 4])
        .constant("pick1", &[8, 3], &pick(1.0))
        .constant("pick2", &[8, 3], &pick(2.0))
        .constant("half", &[8], &half)
        .node_with("ReduceMean", &["synopsis"], "course", &[("axes", Attribute::Ints(&[1])), drop])
        .node("MatMul", &["course", "pick1"], "long")
        .node_with(
            "ReduceMean",
            &["detail"],
            "movement",
            &[("axes", Attribute::Ints(&[1, 2])), ("keepdims", Attribute::Int(0))],
        )
        .node("MatMul", &["movement", "pick2"], "short")
        .node("Add", &["long", "short"], "logits")
}

/// Encoders that no runtime may run, and what is said of them.
pub fn forbidden_encoders() -> [(Vec<u8>, &'static str); 2] {
    let encoder = || Graph::default().input("face", &[1, 1, 16, 16]).output("embedding", &[1, 8]);
    let branch = [("then_branch", Attribute::Graph), ("else_branch", Attribute::Graph)];
    [
        (
            encoder().node_with("If", &["face"], "embedding", &branch).finish(),
            "node `node0` (If) is control flow, which is not accepted",
        ),
        (
            encoder()
                .constant_elsewhere("w", &[256, 8], "encoder.onnx.data")
                .node("Flatten", &["face"], "flat")
                .node("MatMul", &["flat", "w"], "embedding")
                .finish(),
            "the weights `w` are in a second file, which is not accepted; export the network into one",
        ),
    ]
}

pub fn factored() -> Folder {
    let toml = r#"schema = "dfer-model/1"
kind = "factored"
name = "tiny"
classes = ["happy", "sad", "neutral"]

[input]
size = 16
channels = "gray"
mean = [0.5]
std = [0.5]
layout = "NCHW"

[crop]
template = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]
box = [0.1, 0.0, 0.8, 1.0]

[sampling]
rate = 15.0
window = 2.56
synopsis = 4
moments = 2
detail = 2

[calibration]
temperature = 1.5
min-agreement = 0.6
min-confidence = 0.4

[graphs.encoder]
file = "encoder.onnx"
sha256 = "SHA(encoder.onnx)"

[graphs.head]
file = "head.onnx"
sha256 = "SHA(head.onnx)"
"#;
    let files = [("encoder.onnx", tiny_encoder().finish()), ("head.onnx", tiny_head().finish())];
    Folder::new(toml, &files)
}

/// Logit k of three is the mean brightness (0 to 1) of frame k, whatever the layout; six frames.
pub fn tiny_clip(layout: &str) -> Graph {
    let (shape, axes) = match layout {
        "BTCHW" => ([1, 6, 3, 16, 16], [2, 3, 4]),
        _ => ([1, 3, 6, 16, 16], [1, 3, 4]),
    };
    let pick: Vec<f32> = (0..18).map(|i| if i / 3 == i % 3 { 1.0 } else { 0.0 }).collect();
    Graph::default()
        .input("frames", &shape)
        .output("scores", &[1, 3])
        .constant("pick", &[6, 3], &pick)
        .node_with(
            "ReduceMean",
            &["frames"],
            "brightness",
            &[("axes", Attribute::Ints(&axes)), ("keepdims", Attribute::Int(0))],
        )
        .node("MatMul", &["brightness", "pick"], "scores")
}

pub fn clip(layout: &str) -> Folder {
    let toml = r#"schema = "dfer-model/1"
kind = "clip"
name = "plain"
classes = ["happy", "sad", "neutral"]

[input]
size = 16
channels = "rgb"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
layout = "LAYOUT"

[sampling]
frames = 6
rate = 15.0
window = 2.0
synopsis = 4
moments = 1
detail = 2

[graphs.clip]
file = "clip.onnx"
sha256 = "SHA(clip.onnx)"
input = "frames"
output = "scores"
"#;
    Folder::new(&toml.replace("LAYOUT", layout), &[("clip.onnx", tiny_clip(layout).finish())])
}

/// One stride of 8; a cell scores 1 / (1 + exp(-20 (mean - 0.5))) for its mean brightness, and its
/// face is 16 x 24 pixels around its centre, the landmarks 4 pixels to the right of that.
pub fn tiny_detector() -> Graph {
    let geometry: Vec<f32> = (0..14)
        .map(|k| match k {
            2 => 2f32.ln(),
            3 => 3f32.ln(),
            4 | 6 | 8 | 10 | 12 => 0.5,
            _ => 0.0,
        })
        .collect();
    let stride = || [("strides", Attribute::Ints(&[8, 8]))];
    Graph::default()
        .input("image", &[1, 3, 0, 0])
        .output("score_8", &[1, 1, 0, 0])
        .output("geometry_8", &[1, 14, 0, 0])
        .constant("mean", &[1, 3, 8, 8], &[20.0 / 192.0; 192])
        .constant("bias", &[1], &[-10.0])
        .constant("none", &[14, 3, 8, 8], &vec![0.0; 14 * 192])
        .constant("geometry", &[14], &geometry)
        .node_with("Conv", &["image", "mean", "bias"], "logit", &stride())
        .node("Sigmoid", &["logit"], "score_8")
        .node_with("Conv", &["image", "none", "geometry"], "geometry_8", &stride())
}

pub fn detector() -> Folder {
    let toml = r#"schema = "dfer-model/1"
kind = "detector"
name = "spots"
strides = [8]
score-threshold = 0.5

[input]
size = [32, 64]
track-size = 32
channels = "rgb"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]

[graphs.detector]
file = "detector.onnx"
sha256 = "SHA(detector.onnx)"
"#;
    Folder::new(toml, &[("detector.onnx", tiny_detector().finish())])
}
