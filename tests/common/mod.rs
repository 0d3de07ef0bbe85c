// SPDX-License-Identifier: MPL-2.0

//! What several tests share. Each uses a part of it.
#![allow(dead_code)]

pub mod folder;
pub mod onnx;
