// SPDX-License-Identifier: MPL-2.0

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::material::picture;
use crate::{dfer, names, stderr, stdout};

/// Pictures that are no faces, under two labels: whatever the network says of them.
fn set(root: &Path) {
    for n in 0..12 {
        picture(n, &root.join(format!("happy/{n}.png")));
        picture(n + 12, &root.join(format!("sad/{n}.png")));
    }
}

fn run(command: &str, root: &Path, more: &[&OsStr]) -> std::process::Output {
    let options = [command, "--layout=class-folders", "--faces=frame"].map(OsStr::new);
    dfer(options.iter().copied().chain([root.as_os_str()]).chain(more.iter().copied()))
}

fn figures(root: &Path, model: Option<&Path>) -> Value {
    let json = root.with_extension("json");
    let mut more = vec![OsStr::new("--json"), json.as_os_str()];
    more.extend(model.iter().flat_map(|model| [OsStr::new("--model"), model.as_os_str()]));
    let output = run("evaluate", root, &more);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str::<Value>(&fs::read_to_string(json).unwrap()).unwrap()
}

#[test]
fn the_calibrated_model_loads_and_measures_as_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let (root, model) = (folder.path().join("set"), folder.path().join("new/model.toml"));
    set(&root);
    fs::create_dir(folder.path().join("new")).unwrap();
    let results = folder.path().join("answers.jsonl");
    let more = ["-o".as_ref(), model.as_os_str(), "--coverage".as_ref(), "0.5".as_ref()];
    let kept = ["--results".as_ref(), results.as_os_str()];
    let output = run("calibrate", &root, &[&more[..], &kept].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stdout(&output);
    assert_eq!(names(model.parent().unwrap()), ["encoder.onnx", "head.onnx", "model.toml"]);
    let output = dfer(["models".as_ref(), model.as_os_str()]);
    assert!(stdout(&output).contains("loads        yes"), "{}", stderr(&output));

    // ECE before and after are those that an evaluation with either model finds.
    for (name, model) in [("before", None), ("after", Some(model.as_path()))] {
        let line = told.lines().find(|l| l.starts_with(&format!("{name} "))).unwrap();
        let said: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let found = figures(&root, model)["metrics"]["ece"].as_f64().unwrap();
        assert!((said - found).abs() < 1.5e-3, "{name}: {found} was found; {told}");
    }
    let text = fs::read_to_string(&model).unwrap();
    let old = include_str!("../../models/expression/model.toml");
    assert_eq!(text.lines().next(), old.lines().next(), "comments stay");
    assert!(text.contains("sha256 ="), "{text}");

    // The same again from the kept answers, into the same folder.
    let from = ["calibrate".as_ref(), "--from".as_ref(), results.as_os_str()];
    let output = dfer(from.into_iter().chain(more));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), told);
    assert_eq!(fs::read_to_string(&model).unwrap(), text);
}

#[test]
fn what_cannot_be_reached_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (root, target) = (folder.path().join("set"), folder.path().join("new"));
    let model = target.join("model.toml");
    fs::create_dir(&target).unwrap();
    picture(1, &root.join("happy/1.png"));
    let output = run("calibrate", &root, &["-o".as_ref(), model.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("at least 20 are needed"), "{}", stderr(&output));
    // Nobody's face is under a label that is hardly ever right.
    for n in 0..24 {
        picture(n % 8, &root.join(format!("disgust/{n}.png")));
    }
    let error = ["--error".as_ref(), "0".as_ref()];
    let wish = ["-o".as_ref(), model.as_os_str()];
    let output = run("calibrate", &root, &[&wish[..], &error].concat());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}{}", stdout(&output));
    assert!(told.contains("an error of 0 cannot be reached"), "{told}");
    // Another model's graph is not overwritten.
    fs::write(target.join("encoder.onnx"), "something else").unwrap();
    let output = run("calibrate", &root, &["-o".as_ref(), model.as_os_str()]);
    assert!(stderr(&output).contains("is not this model's graph"), "{}", stderr(&output));
    assert_eq!(names(&target), ["encoder.onnx"]);
}
