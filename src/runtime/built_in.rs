// SPDX-License-Identifier: MPL-2.0

//! The models that are part of the library, so that everything works without any file.

/// A model inside the library.
pub struct BuiltIn {
    /// Names it in errors.
    pub label: &'static str,
    pub toml: &'static str,
    /// File names as in the `model.toml`, and what they hold.
    pub files: &'static [(&'static str, &'static [u8])],
}

pub static DETECTOR: BuiltIn = BuiltIn {
    label: "built-in face detector",
    toml: include_str!("../../models/face/model.toml"),
    files: &[("detector.onnx", include_bytes!("../../models/face/detector.onnx"))],
};

pub static EXPRESSION: BuiltIn = BuiltIn {
    label: "built-in expression network",
    toml: include_str!("../../models/expression/model.toml"),
    files: &[
        ("encoder.onnx", include_bytes!("../../models/expression/encoder.onnx")),
        ("head.onnx", include_bytes!("../../models/expression/head.onnx")),
    ],
};
