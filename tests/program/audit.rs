// SPDX-License-Identifier: MPL-2.0

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{dfer, material, stderr, stdout};

/// What the model answers for a file, by evaluating it under a label.
fn answer(root: &Path) -> String {
    let json = root.with_extension("json");
    let output = dfer([
        "evaluate".as_ref(),
        "--layout=class-folders".as_ref(),
        "--faces=frame".as_ref(),
        root.as_os_str(),
        "--json".as_ref(),
        json.as_os_str(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    report["predictions"][0]["answer"].as_str().unwrap().to_owned()
}

#[test]
fn a_wrong_label_is_noisy_and_a_right_one_clean() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    fs::create_dir_all(first.join("fear")).unwrap();
    let picture = first.join("fear/x.png");
    let source =
        "videotestsrc num-buffers=1 pattern=smpte ! video/x-raw,width=64,height=64 ! pngenc";
    material::make(source, &picture);
    let right = answer(&first);
    let wrong = if right == "sad" { "angry" } else { "sad" };

    let root = folder.path().join("set");
    for label in [right.as_str(), wrong] {
        fs::create_dir_all(root.join(label)).unwrap();
        fs::copy(&picture, root.join(label).join("a,b.png")).unwrap();
    }
    let (csv, keys) = (folder.path().join("a.csv"), folder.path().join("keys.jsonl"));
    let output = dfer([
        "audit".as_ref(),
        "--layout=class-folders".as_ref(),
        "--faces=frame".as_ref(),
        "--csv".as_ref(),
        csv.as_os_str(),
        "--export-keys".as_ref(),
        keys.as_os_str(),
        root.as_os_str(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(csv).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with(&format!("\"{wrong}/a,b.png\",{wrong},noisy,")), "{text}");
    assert!(lines[1].contains(&format!(",{right},")), "the other class is suggested: {text}");
    assert!(lines[2].starts_with(&format!("\"{right}/a,b.png\",{right},clean,")), "{text}");
    assert!(stdout(&output).contains("worst first"), "{}", stdout(&output));

    let text = fs::read_to_string(keys).unwrap();
    let keys: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(keys.len(), 1, "only what is clean: {text}");
    assert_eq!(keys[0]["label"], right.as_str());
    let spans = keys[0]["spans"].as_array().unwrap();
    assert!(!spans.is_empty());
    assert!(spans.iter().all(|s| s[0].as_u64() < s[1].as_u64()), "{text}");
}
