// SPDX-License-Identifier: MPL-2.0

//! `dfertrtfilter`: [`crate::dferfilter`] with the networks on an NVIDIA GPU, by ONNX Runtime with
//! TensorRT, TensorRT-RTX or CUDA.
//!
//! The same properties, metadata, messages and records. ONNX Runtime's library is loaded when the
//! element starts; where it or a GPU is missing, starting fails with an error that says what to
//! install. Streams of one process with the same settings share the networks and run in batches.
//!
//! ```text
//! gst-launch-1.0 filesrc location=talk.mp4 ! decodebin ! videoconvert ! \
//!     dfertrtfilter precision=fp16 ! dferoverlay ! videoconvert ! autovideosink
//! ```

mod imp;

use gst::prelude::*;

use crate::filter::DferBase;
use crate::runtime::onnxruntime::{Precision, Provider};

glib::wrapper! {
    pub struct DferTrtFilter(ObjectSubclass<imp::DferTrtFilter>)
        @extends DferBase, gst_base::BaseTransform, gst::Element, gst::Object;
}

/// What ONNX Runtime runs the networks with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferExecutionProvider")]
pub enum ExecutionProvider {
    #[default]
    #[enum_value(
        name = "Auto: the first that works of TensorRT, TensorRT-RTX and CUDA",
        nick = "auto"
    )]
    Auto,
    #[enum_value(name = "TensorRT", nick = "tensorrt")]
    TensorRt,
    #[enum_value(name = "TensorRT-RTX", nick = "tensorrt-rtx")]
    TensorRtRtx,
    #[enum_value(name = "CUDA with cuDNN", nick = "cuda")]
    Cuda,
    #[enum_value(name = "CPU: for tests and comparisons", nick = "cpu")]
    Cpu,
}

impl ExecutionProvider {
    fn chosen(self) -> Option<Provider> {
        match self {
            Self::Auto => None,
            Self::TensorRt => Some(Provider::TensorRt),
            Self::TensorRtRtx => Some(Provider::TensorRtRtx),
            Self::Cuda => Some(Provider::Cuda),
            Self::Cpu => Some(Provider::Cpu),
        }
    }
}

/// What the networks compute in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferPrecision")]
pub enum NetworkPrecision {
    #[default]
    #[enum_value(name = "Single precision", nick = "fp32")]
    Fp32,
    #[enum_value(name = "Half precision where TensorRT finds it faster", nick = "fp16")]
    Fp16,
}

impl From<NetworkPrecision> for Precision {
    fn from(precision: NetworkPrecision) -> Self {
        match precision {
            NetworkPrecision::Fp32 => Self::Fp32,
            NetworkPrecision::Fp16 => Self::Fp16,
        }
    }
}

/// Registers the element.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "dfertrtfilter",
        gst::Rank::NONE,
        DferTrtFilter::static_type(),
    )
}
