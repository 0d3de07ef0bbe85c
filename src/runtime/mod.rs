// SPDX-License-Identifier: MPL-2.0

//! Running the networks.
//!
//! [`models`] is the way in: it opens what `model.toml` describes ([`contract`], [`package`]) or
//! what is built in, loads it with a [`graph::Backend`] and shares it within the process.

pub mod batch;
mod built_in;
mod checks;
pub mod clip;
pub mod contract;
pub mod detector;
pub mod factored;
pub mod fake;
pub mod graph;
pub mod info;
pub mod models;
#[cfg(feature = "tensorrt")]
pub mod onnxruntime;
pub mod package;
mod pixels;
mod schema;
#[cfg(target_arch = "x86_64")]
mod simd;
#[cfg(target_arch = "x86_64")]
mod strided;
pub mod tract;
#[cfg(target_arch = "x86_64")]
mod winograd;
pub mod worker;
