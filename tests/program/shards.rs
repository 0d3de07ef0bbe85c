// SPDX-License-Identifier: MPL-2.0

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::material::{picture, video};
use crate::{dfer, names, stderr, stdout};

fn set(root: &Path, samples: u32) {
    for n in 0..samples {
        picture(n, &root.join(format!("{}/{n:02}.png", ["happy", "sad"][n as usize % 2])));
    }
}

fn evaluate(more: &[&OsStr]) -> std::process::Output {
    let options = ["evaluate", "--layout=class-folders", "--faces=frame"].map(OsStr::new);
    dfer(options.iter().chain(more))
}

/// The report, without the rate at which it was made.
fn report(path: &Path) -> Value {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    value.as_object_mut().unwrap().remove("samples-per-second");
    value
}

#[test]
fn merged_shards_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let root = path("set");
    set(&root, 10);
    fs::write(root.join("sad/empty.png"), "").unwrap();
    let all = path("all.json");
    let output = evaluate(&[root.as_os_str(), "--json".as_ref(), all.as_os_str()]);
    assert_eq!(output.status.code(), Some(1), "one sample cannot be read");
    let parts: Vec<PathBuf> = (1..=3).map(|n| path(&format!("{n}.jsonl"))).collect();
    for (n, part) in parts.iter().enumerate() {
        let shard = format!("--shard={}/3", n + 1);
        evaluate(&[root.as_os_str(), shard.as_ref(), "--results".as_ref(), part.as_os_str()]);
    }
    let merged = path("merged.jsonl");
    let merge = |parts: &[PathBuf]| {
        let mut arguments = vec![OsStr::new("merge"), "-o".as_ref(), merged.as_os_str()];
        arguments.extend(parts.iter().map(|part| part.as_os_str()));
        dfer(arguments)
    };
    let output = merge(&parts[1..]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no file is of shard 1/3"), "{}", stderr(&output));
    let output = merge(&[parts[2].clone(), parts[0].clone(), parts[1].clone()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("11 of 11 samples"), "{}", stderr(&output));
    let joined = path("joined.json");
    let json = ["--json".as_ref(), joined.as_os_str()];
    let output =
        dfer(["evaluate".as_ref(), "--from".as_ref(), merged.as_os_str()].iter().chain(&json));
    assert_eq!(output.status.code(), Some(1), "the unreadable sample is remembered");
    assert_eq!(report(&joined), report(&all));
    // An audit takes the same answers.
    let output = dfer(["audit".as_ref(), "--from".as_ref(), merged.as_os_str()]);
    assert!(stdout(&output).starts_with("10 samples; clips agree"), "{}", stderr(&output));

    // What does not belong together stays apart.
    let output = merge(&[parts[0].clone(), parts[0].clone()]);
    assert!(stderr(&output).contains("is given twice"), "{}", stderr(&output));
    let other = path("other.jsonl");
    let shard = ["--shard=2/3".as_ref(), "--ignore=sad".as_ref(), "--results".as_ref()];
    evaluate(&[&[root.as_os_str()], &shard[..], &[other.as_os_str()]].concat());
    let output = merge(&[parts[0].clone(), other]);
    assert!(stderr(&output).contains("the number of samples differs"), "{}", stderr(&output));
}

#[test]
fn an_interrupted_evaluation_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (root, results) = (folder.path().join("set"), folder.path().join("r.jsonl"));
    set(&root, 40);
    let mut child = Command::new(env!("CARGO_BIN_EXE_dfer"))
        .args(["evaluate", "--layout=class-folders", "--faces=frame", "--jobs=1", "--results"])
        .args([results.as_os_str(), root.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = || fs::read_to_string(&results).map_or(0, |text| text.lines().count());
    while lines() < 4 {
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be interrupted");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let done = lines() - 1;
    assert!((3..40).contains(&done), "{done}");
    let told = stderr(&output);
    assert!(
        told.contains(&format!("interrupted; {} samples were not looked at", 40 - done)),
        "{told}"
    );
    assert!(stdout(&output).starts_with(&format!("{done} samples, ")), "{}", stdout(&output));

    let again = |more: &[&OsStr]| {
        let fixed = [root.as_os_str(), "--results".as_ref(), results.as_os_str()];
        evaluate(&[&fixed, more].concat())
    };
    let output = again(&[]);
    assert!(stderr(&output).contains("exists already; --resume goes on"), "{}", stderr(&output));
    let output = again(&["--resume".as_ref(), "--rate=15".as_ref()]);
    assert!(stderr(&output).contains("--rate differs"), "{}", stderr(&output));
    // As a crash leaves it: the last line is torn.
    let mut text = fs::read_to_string(&results).unwrap();
    text.truncate(text.len() - 20);
    fs::write(&results, text).unwrap();
    let output = again(&["--resume".as_ref()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("40 samples, 40 answered"), "{}", stdout(&output));
    assert_eq!(lines(), 41);
    // Now there is nothing left to do; and other samples are noticed.
    let output = again(&["--resume".as_ref()]);
    assert!(stdout(&output).starts_with("40 samples, 40 answered, 0 unreadable\n"));
    fs::rename(root.join("sad/01.png"), root.join("sad/x.png")).unwrap();
    let output = again(&["--resume".as_ref()]);
    assert!(stderr(&output).contains("is not what the data set has"), "{}", stderr(&output));
}

#[test]
fn analyze_takes_lists_and_shards_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let videos = ["a.avi", "b c.avi", "d\n.avi"];
    videos.iter().for_each(|name| video(15, &path(name)));
    let list = path("list");
    let mut bytes = Vec::new();
    for name in videos {
        bytes.extend(path(name).as_os_str().as_encoded_bytes());
        bytes.push(0);
    }
    fs::write(&list, bytes).unwrap();
    let analyze = |more: &[&OsStr]| {
        let fixed = ["analyze".as_ref(), "--faces=frame".as_ref(), "--inputs".as_ref()];
        dfer([&fixed[..], &[list.as_os_str()], more].concat())
    };
    let parts = [path("1.jsonl"), path("2.jsonl")];
    for (n, part) in parts.iter().enumerate() {
        let shard = format!("--shard={}/2", n + 1);
        let output = analyze(&[shard.as_ref(), "-o".as_ref(), part.as_os_str()]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let whole = path("whole.jsonl");
    let merge = ["merge".as_ref(), "-o".as_ref(), whole.as_os_str()];
    let output = dfer(merge.iter().copied().chain(parts.iter().map(|p| p.as_os_str())));
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = |path: &Path| -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(lines(&whole), [lines(&parts[0]), lines(&parts[1])].concat());
    let of = |name: &str| lines(&whole).iter().filter(|line| line.contains(name)).count();
    assert!(of("\"a.avi\"") > 0 && of("b c.avi") > 0 && of("d\\n.avi") > 0);

    let out = path("out");
    fs::create_dir(&out).unwrap();
    let first = [path("a.avi")].map(|p| p.into_os_string());
    let output = dfer(["analyze".as_ref(), first[0].as_os_str(), "-o".as_ref(), out.as_os_str()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = analyze(&["--resume".as_ref(), "-o".as_ref(), out.as_os_str()]);
    let told = stderr(&output);
    assert!(told.contains("1 of 3 inputs are done already") && !told.contains("\na.avi"), "{told}");
    assert_eq!(names(&out).len(), 3);
}
