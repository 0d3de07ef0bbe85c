// SPDX-License-Identifier: MPL-2.0

use std::path::Path;

use crate::{dfer, stderr, stdout};

#[test]
fn built_in_models_are_described_and_load() {
    let output = dfer(["models"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("happy, sad, neutral, angry, surprise, disgust, fear"), "{text}");
    assert_eq!(text.matches("loads        yes").count(), 2, "{text}");

    let output = dfer(["models", "--json"]);
    let infos: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&infos[0]["kind"], &infos[1]["kind"]), (&"factored".into(), &"detector".into()));
}

#[test]
fn a_model_by_path_is_described() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/face");
    let output = dfer([&folder]);
    assert_eq!(output.status.code(), Some(2), "a path is no sub-command");
    let output = dfer(["models".as_ref(), folder.as_os_str()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("kind         detector"));
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("model.toml");
    std::fs::write(&toml, "schema = \"dfer-model/9\"\n").unwrap();
    for path in [folder.path().join("missing"), toml] {
        let output = dfer(["models".as_ref(), path.as_os_str()]);
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        assert!(told.starts_with("dfer: ") && told.contains(&*path.to_string_lossy()), "{told}");
        assert!(stdout(&output).is_empty());
    }
}

/// Without the library the report says where it was looked for and what to do.
#[cfg(feature = "tensorrt")]
#[test]
fn providers_are_listed() {
    let run = |library: &str, json: bool| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dfer"));
        command.args(["models", "--providers"]).args(json.then_some("--json"));
        command.env("ORT_DYLIB_PATH", library).output().unwrap()
    };
    let output = run("/nowhere/libonnxruntime.so", false);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for words in
        ["none that is 1.23", "not /nowhere/libonnxruntime.so: there is no such file", "pip"]
    {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/onnxruntime-venv");
    if !installed.is_dir() {
        println!("skipped: {} is not there; scripts/test makes it", installed.display());
        return;
    }
    let output = run(installed.to_str().unwrap(), true);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(
        report["library"]["loads"][0].as_str().unwrap().contains("onnxruntime-venv"),
        "{report}"
    );
    let providers = report["providers"].as_array().unwrap();
    let names: Vec<_> = providers.iter().map(|p| p["provider"].as_str().unwrap()).collect();
    assert_eq!(names, ["tensorrt", "tensorrt-rtx", "cuda", "cpu"]);
    assert_eq!(providers[3]["works-on"], "CPU");
    let told = |p: &serde_json::Value| p["works-on"].is_string() != p["failure"].is_string();
    assert!(providers.iter().all(told), "{report}");
}
