// SPDX-License-Identifier: MPL-2.0

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

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

/// Answers to samples as `dfer evaluate --results` writes them: label, probabilities, agreement.
fn results(samples: &[(&str, [f64; 3], Option<f64>)]) -> String {
    let header = json!({
        "schema": "dfer-results/1", "model": "m@1", "temperature": 1.0, "detector": null,
        "classes": ["happy", "sad", "<b>odd"], "layout": "class-folders", "split": "test",
        "faces": "frame", "rate": 25, "samples": samples.len(), "shard": "1/1", "logits": false,
    });
    let mut text = format!("{header}\n");
    for (n, (label, probabilities, agreement)) in samples.iter().enumerate() {
        let answer = json!({"probabilities": probabilities, "agreement": agreement});
        let seen = json!({"answer": answer, "keys": [{"t": 400_000_000}, {"t": 2_000_000_000}]});
        let name = format!("{label}/<img src=x>{n}.png");
        text += &format!("{}\n", json!({"n": n, "sample": name, "label": label, "seen": seen}));
    }
    text
}

#[test]
fn the_page_tells_all_that_was_found_and_needs_nothing_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (folder.path().join("r.jsonl"), folder.path().join("out.html"));
    let samples = [
        ("happy", [0.9, 0.1, 0.0], Some(0.99)),
        ("happy", [0.1, 0.2, 0.7], Some(0.97)),
        ("happy", [0.4, 0.3, 0.3], Some(0.31)),
        ("sad", [0.1, 0.9, 0.0], Some(0.98)),
        ("<b>odd", [0.8, 0.1, 0.1], Some(0.95)),
    ];
    fs::write(&file, results(&samples)).unwrap();
    let run = |more: &[&str]| {
        let fixed = ["audit".as_ref(), "--from".as_ref(), file.as_os_str(), "--report".as_ref()];
        dfer(fixed.into_iter().chain([page.as_os_str()]).chain(more.iter().map(OsStr::new)))
    };
    let output = run(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let html = fs::read_to_string(&page).unwrap();
    for outside in ["<img", "<script", "<b>odd", "http:", "https:", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    for told in [
        "5 samples: 2 noisy, 1 hard, 2 clean",
        "&lt;b&gt;odd/&lt;img src=x&gt;4.png",
        "0.3 s to 0.5 s, 1.9 s to 2.1 s",
        "Suggested labels",
    ] {
        assert!(html.contains(told), "{told} is missing: {html}");
    }
    // Behind both plots there is a table; nobody is shown.
    assert_eq!(html.matches("<svg ").count(), 2);
    assert_eq!(html.matches("role=\"img\" aria-label=").count(), 2);
    assert_eq!(html.matches("as a table</summary>").count(), 2);
    let row = "<th scope=\"row\">happy</th><td class=\"number\">1</td><td class=\"number\">1</td>";
    assert!(html.contains(row), "noise of the class: {html}");
    assert_eq!(run(&["--with-pictures"]).status.code(), Some(2), "there is no footage to show");
}

#[test]
fn pictures_are_shown_only_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    // One of the two labels is not what the network says.
    for label in ["sad", "disgust"] {
        material::picture(0, &root.join(label).join("x.png"));
    }
    let page = folder.path().join("out.html");
    let fixed =
        ["audit", "--layout=class-folders", "--faces=frame", "--min-agreement=0", "--report"];
    for (more, pictured) in [(None, false), (Some("--with-pictures"), true)] {
        let files = [page.as_os_str(), root.as_os_str()];
        let fixed = fixed.iter().map(OsStr::new).chain(files);
        let output = dfer(fixed.chain(more.map(OsStr::new)));
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!stderr(&output).contains("CRITICAL"), "{}", stderr(&output));
        let html = fs::read_to_string(&page).unwrap();
        let shown = html.contains("<img src=\"data:image/jpeg;base64,/9j/");
        assert_eq!(shown, pictured);
    }
}

/// FER+'s pictures, where they are; those of the test split.
fn ferplus() -> Option<PathBuf> {
    let zip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ferplus/ferplus.zip");
    zip.is_file().then_some(zip)
}

/// Unpacks files by name.
fn unpack(zip: &Path, names: &[&str], folder: &Path) {
    let mut unzip = Command::new("unzip");
    unzip.args(["-q", "-o"]).arg(zip).args(names).arg("-d").arg(folder);
    assert!(unzip.status().unwrap().success());
}

/// Area under the ROC curve: how often something wrong has a higher score than something right.
fn area(scores: &[(f64, bool)]) -> f64 {
    let of = |wanted: bool| scores.iter().filter(move |(_, wrong)| *wrong == wanted);
    let mut sum = 0.0;
    for (wrong, _) in of(true) {
        for (right, _) in of(false) {
            sum += if wrong > right {
                1.0
            } else if wrong == right {
                0.5
            } else {
                0.0
            };
        }
    }
    sum / (of(true).count() * of(false).count()) as f64
}

#[test]
fn flipped_labels_stand_out() {
    let Some(zip) = ferplus() else {
        println!("skipped: ../shared/data/ferplus is not there");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    unpack(&zip, &["labels.csv"], folder.path());
    // Pictures on which nearly all taggers agree: on such the network does well.
    let classes = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"];
    let table = fs::read_to_string(folder.path().join("labels.csv")).unwrap();
    let clear: Vec<(&str, usize)> = table
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let votes: Vec<u32> = cells.get(2..)?.iter().filter_map(|v| v.parse().ok()).collect();
            let class = votes.iter().position(|v| *v >= 9)?;
            (cells[1] == "test" && class < classes.len()).then(|| (cells[0], class))
        })
        .collect();
    let mut chosen = Vec::new();
    for class in 0..classes.len() {
        chosen.extend(clear.iter().filter(|(_, c)| *c == class).take(30));
    }
    assert!(chosen.len() > 100, "{} pictures", chosen.len());
    let member =
        |name: &str| if name.contains('/') { name.to_owned() } else { format!("test/{name}") };
    let members: Vec<String> = chosen.iter().map(|(name, _)| member(name)).collect();
    unpack(&zip, &members.iter().map(String::as_str).collect::<Vec<_>>(), folder.path());
    let root = folder.path().join("set");
    let mut flipped = BTreeMap::new();
    for (n, ((_, class), member)) in chosen.iter().zip(&members).enumerate() {
        // Every fifth gets one of the other labels.
        let wrong = n % 5 == 0;
        let label = if wrong { (class + 1 + n / 5 % 6) % 7 } else { *class };
        let name = format!("{}/{n}.jpg", classes[label]);
        fs::create_dir_all(root.join(classes[label])).unwrap();
        fs::copy(folder.path().join(member), root.join(&name)).unwrap();
        flipped.insert(name, wrong);
    }
    let csv = folder.path().join("a.csv");
    let fixed = ["audit", "--layout=class-folders", "--faces=frame", "--csv"].map(OsStr::new);
    let output = dfer(fixed.into_iter().chain([csv.as_os_str(), root.as_os_str()]));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(csv).unwrap();
    let mut caught = 0;
    let scores: Vec<(f64, bool)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let wrong = flipped[cells[0]];
            caught += usize::from(wrong && cells[2] == "noisy");
            (cells[3].parse().unwrap_or(0.0), wrong)
        })
        .collect();
    assert_eq!(scores.len(), chosen.len());
    let (all, area) = (flipped.values().filter(|wrong| **wrong).count(), area(&scores));
    println!("audit: area under the ROC curve {area:.3}; {caught} of {all} flipped labels noisy");
    assert!(area >= 0.8, "{area}");
}
