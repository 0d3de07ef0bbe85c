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
