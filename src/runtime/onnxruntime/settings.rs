// SPDX-License-Identifier: MPL-2.0

//! What is asked of ONNX Runtime.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// An execution provider: what ONNX Runtime runs a graph with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    TensorRt,
    TensorRtRtx,
    Cuda,
    Cpu,
}

impl Provider {
    /// In the order in which they are tried; the CPU is never chosen unasked.
    pub const GPU: [Self; 3] = [Self::TensorRt, Self::TensorRtRtx, Self::Cuda];

    /// As properties and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TensorRt => "tensorrt",
            Self::TensorRtRtx => "tensorrt-rtx",
            Self::Cuda => "cuda",
            Self::Cpu => "cpu",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the networks compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    Fp32,
    /// Half precision where TensorRT finds it faster.
    Fp16,
}

impl Precision {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
        }
    }
}

/// Elements with equal settings share sessions and queues.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The library or the folder that it lies in; `None` looks in the usual places.
    pub library: Option<PathBuf>,
    /// The only one that may be used; `None` takes the first of [`Provider::GPU`] that works.
    pub provider: Option<Provider>,
    /// Use the CPU when no GPU works.
    pub allow_cpu: bool,
    /// Number of the GPU, as CUDA counts them.
    pub device: u32,
    pub precision: Precision,
    /// Folder for built engines; `None` is [`Settings::default_cache`].
    pub engine_cache: Option<PathBuf>,
    /// Faces in one run at most.
    pub max_batch: usize,
    /// How long a face may wait for others.
    pub batch_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            library: None,
            provider: None,
            allow_cpu: false,
            device: 0,
            precision: Precision::Fp32,
            engine_cache: None,
            max_batch: 16,
            batch_timeout: Duration::from_millis(2),
        }
    }
}

impl Settings {
    /// The providers to try, in that order.
    pub fn candidates(&self) -> Vec<Provider> {
        match self.provider {
            Some(one) => vec![one],
            None if self.allow_cpu => Provider::GPU.into_iter().chain([Provider::Cpu]).collect(),
            None => Provider::GPU.to_vec(),
        }
    }

    /// `gst-plugin-dfer/engines` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`).
    pub fn default_cache() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
        Some(cache.join("gst-plugin-dfer").join("engines"))
    }
}
