// SPDX-License-Identifier: MPL-2.0

//! `dfertrtfilter` and its runtime with ONNX Runtime's CPU library, against tract.
//!
//! The library is the one that `ORT_DYLIB_PATH` names, else the package `onnxruntime` in
//! `target/onnxruntime-venv`, where `scripts/test` installs it. Without either the tests say so and
//! pass, unless `DFER_REQUIRE_ONNXRUNTIME` is set.

#[path = "../common/mod.rs"]
mod common;
mod element;
mod networks;

use std::path::PathBuf;

use gstdfer::runtime::onnxruntime::Provider;

/// The CPU, unless `DFER_TEST_PROVIDER` names another provider: `scripts/gpu-check` does.
pub fn provider() -> Provider {
    let name = std::env::var("DFER_TEST_PROVIDER").unwrap_or_else(|_| "cpu".to_owned());
    let all = Provider::GPU.into_iter().chain([Provider::Cpu]);
    all.into_iter().find(|provider| provider.name() == name).expect("a provider's name")
}

/// The library for the property `library`, or `None` after saying why not.
pub fn library() -> Option<PathBuf> {
    let named = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let installed = || {
        let target = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        Some(target.join("onnxruntime-venv")).filter(|path| path.is_dir())
    };
    let found = named.or_else(installed);
    if found.is_none() {
        println!(
            "skipped: no ONNX Runtime; scripts/test installs one, ORT_DYLIB_PATH may name one"
        );
        let required = std::env::var_os("DFER_REQUIRE_ONNXRUNTIME").is_some();
        assert!(!required, "ONNX Runtime is required and not there");
    }
    found
}
