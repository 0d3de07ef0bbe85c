// SPDX-License-Identifier: MPL-2.0

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::material::{make, picture, video};
use crate::{dfer, stderr, stdout};

const CLASSES: [&str; 7] = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"];

/// A folder of pictures as a clip of about 1.2 s at 15 frames a second.
fn frames(kind: u32, folder: &Path) {
    let first = folder.join("00001.jpg");
    picture(kind, &first);
    for n in 2..=18 {
        fs::copy(&first, folder.join(format!("{n:05}.jpg"))).unwrap();
    }
}

/// Evaluates footage, cropped unless `more` says otherwise; the output, and what `--json` wrote.
fn evaluate(layout: &str, root: &Path, more: &[&str]) -> (Output, Option<Value>) {
    let target = tempfile::tempdir().unwrap();
    let json = target.path().join("out.json");
    let faces = if more.contains(&"--faces") { &[][..] } else { &["--faces", "frame"] };
    let options = [&["evaluate"], faces, &["--rate", "15", "--layout", layout, "--json"]].concat();
    let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    arguments.extend([json.as_os_str(), root.as_os_str()]);
    arguments.extend(more.iter().map(OsStr::new));
    let output = dfer(arguments);
    let value = fs::read_to_string(&json).ok().map(|text| serde_json::from_str(&text).unwrap());
    (output, value)
}

fn predictions(report: &Value) -> &Vec<Value> {
    report["predictions"].as_array().unwrap()
}

/// The shipped detector, asking for a score that it gives nobody.
fn detector_that_finds_nobody() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/face");
    fs::copy(shipped.join("detector.onnx"), folder.path().join("detector.onnx")).unwrap();
    let toml = fs::read_to_string(shipped.join("model.toml")).unwrap();
    let line = toml.lines().find(|line| line.starts_with("score-threshold")).unwrap();
    fs::write(folder.path().join("model.toml"), toml.replace(line, "score-threshold = 1.0"))
        .unwrap();
    folder
}

#[test]
fn where_no_face_is_found_the_likeliest_is_taken_for_it() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("neutral")).unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("media/demo.mp4");
    let first_frame = "decodebin ! videoconvert ! jpegenc snapshot=true";
    make(
        &format!("filesrc location={} ! {first_frame}", demo.display()),
        &root.path().join("neutral/face.jpg"),
    );
    let detector = detector_that_finds_nobody();
    let model = detector.path().to_str().unwrap();
    for (more, answered) in [
        (vec![], "1 samples, 1 answered, 0 unreadable"),
        (vec!["--detector-model", model], "1 samples, 1 answered (1 of them on a doubtful face)"),
    ] {
        let more = [&["--faces", "detector"], &more[..]].concat();
        let (output, report) = evaluate("class-folders", root.path(), &more);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).starts_with(answered), "{}", stdout(&output));
        let report = report.unwrap();
        assert_eq!(predictions(&report)[0]["answer"], "neutral");
        assert_eq!(predictions(&report)[0]["doubtful"] == true, more.len() > 2);
    }
}

#[test]
fn a_small_or_square_picture_without_a_face_is_taken_for_one() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("sad")).unwrap();
    for (width, height) in [(48, 48), (128, 48), (136, 48), (200, 200)] {
        let size = format!("video/x-raw,width={width},height={height}");
        let file = root.path().join(format!("sad/{width}.png"));
        make(&format!("videotestsrc num-buffers=1 ! {size} ! pngenc"), &file);
    }
    let (output, report) = evaluate("class-folders", root.path(), &["--faces", "detector"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let wanted = "4 samples, 3 answered (3 of them on a doubtful face), 0 unreadable";
    assert!(stdout(&output).starts_with(wanted), "{}", stdout(&output));
    let report = report.unwrap();
    for row in predictions(&report) {
        let large = row["sample"].as_str().unwrap().contains("136");
        assert_eq!(row["answer"].is_null(), large, "{row}");
    }
}

#[test]
fn class_folders_take_pictures_videos_and_folders_of_pictures() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    for kind in 0..3 {
        picture(kind, &path(&format!("Happiness/{kind}.png")));
        picture(kind + 3, &path(&format!("sad/{kind}.jpg")));
    }
    video(20, &path("sad/a video.avi"));
    frames(11, &path("ANGER/clip"));
    fs::create_dir(path("contempt")).unwrap();
    picture(0, &path("contempt/x.jpg"));
    let odd = path("ANGER").join(OsStr::from_bytes(b"\xff ' \"\n.jpg"));
    fs::copy(path("contempt/x.jpg"), odd).unwrap();

    let (output, report) = evaluate("class-folders", root.path(), &["--ignore", "Contempt"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = report.unwrap();
    let rows = predictions(&report);
    assert_eq!(rows.len(), 9);

    // The figures once more, another way: from the predictions by name.
    let mut pairs: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for row in rows {
        let of = |name: &str| row[name].as_str().unwrap();
        *pairs.entry((of("label"), of("answer"))).or_default() += 1.0;
        let p: Vec<f64> = serde_json::from_value(row["probabilities"].clone()).unwrap();
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-3, "{row}");
        let most = p.iter().copied().fold(0.0, f64::max);
        let answer = CLASSES.iter().position(|c| *c == of("answer")).unwrap();
        assert_eq!(p[answer], most);
    }
    let right: f64 = CLASSES.iter().filter_map(|c| pairs.get(&(*c, *c))).sum();
    let recall = |class: &str| {
        let all: f64 = pairs.iter().filter(|((l, _), _)| *l == class).map(|(_, n)| n).sum();
        pairs.get(&(class, class)).copied().unwrap_or(0.0) / all
    };
    let uar = ["happy", "sad", "angry"].map(recall).iter().sum::<f64>() / 3.0;
    let close = |name: &str, value: f64| {
        let found = report["metrics"][name].as_f64().unwrap();
        assert!((found - value).abs() < 1e-12, "{name}: {found}, not {value}");
    };
    close("war", right / 9.0);
    close("uar", uar);
    assert!(stdout(&output).starts_with("9 samples, 9 answered, 0 unreadable"));
}

#[test]
fn unreadable_samples_are_named_and_the_rest_counts() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    picture(0, &path("happy/good.jpg"));
    let whole = fs::read(path("happy/good.jpg")).unwrap();
    fs::write(path("happy/short.jpg"), &whole[..20]).unwrap();
    fs::write(path("happy/empty.jpg"), "").unwrap();
    fs::write(path("happy/text.mp4"), "no video\n").unwrap();
    fs::create_dir(path("happy/no pictures")).unwrap();
    symlink("loop.jpg", path("happy/loop.jpg")).unwrap();
    symlink("..", path("happy/up")).unwrap();
    let (output, report) = evaluate("class-folders", root.path(), &["--jobs", "2"]);
    assert_eq!(output.status.code(), Some(1));
    let report = report.unwrap();
    assert_eq!(predictions(&report).len(), 1);
    let failed: Vec<_> = report["errors"].as_array().unwrap().iter().collect();
    let names: Vec<_> = failed.iter().map(|e| e["sample"].as_str().unwrap()).collect();
    let expected = ["empty.jpg", "loop.jpg", "no pictures", "short.jpg", "text.mp4", "up"];
    assert_eq!(names, expected.map(|name| format!("happy/{name}")));
    let told = stderr(&output);
    assert!(told.contains("6 samples could not be read"), "{told}");
    for name in names {
        assert!(told.contains(&format!("dfer: {name}: ")), "{name}: {told}");
    }
}

#[test]
fn unknown_classes_and_wrong_trees_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let refused = |layout: &str, cause: &str| {
        let (output, report) = evaluate(layout, root.path(), &[]);
        assert_eq!((output.status.code(), report), (Some(1), None));
        assert!(stderr(&output).contains(cause), "{}", stderr(&output));
    };
    refused("class-folders", "has no folders");
    refused("dfew", "Clip/clip_224x224 is missing");
    refused("ferv39k", "4_setups/All_scenes/test_All.csv is missing");
    picture(0, &root.path().join("bored/x.jpg"));
    refused("class-folders", "class \"bored\" is unknown; the model knows happy, sad");
}

#[test]
fn dfew_has_five_folds() {
    let root = tempfile::tempdir().unwrap();
    let lists = root.path().join("EmoLabel_DataSplit/test(single-labeled)");
    fs::create_dir_all(&lists).unwrap();
    for fold in 1..=5 {
        frames(fold, &root.path().join(format!("Clip/clip_224x224/{fold:05}")));
        let list = format!("video_name,label\n{fold},{}\n", fold + 2);
        fs::write(lists.join(format!("set_{fold}.csv")), list).unwrap();
    }
    let (output, report) = evaluate("dfew", root.path(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = report.unwrap();
    let labels: Vec<_> =
        predictions(&report).iter().map(|p| p["label"].as_str().unwrap()).collect();
    assert_eq!(labels, CLASSES[2..]);
    assert_eq!(report["folds"].as_array().unwrap().len(), 5);
    assert!(stdout(&output).contains("mean of the folds"));

    fs::write(lists.join("set_3.csv"), "video_name,label\n3,8\n").unwrap();
    let (output, _) = evaluate("dfew", root.path(), &[]);
    assert!(stderr(&output).contains("set_3.csv: line 2 is not"), "{}", stderr(&output));
}

#[test]
fn ferv39k_has_classes_by_name_and_stays_inside() {
    let root = tempfile::tempdir().unwrap();
    let list = root.path().join("4_setups/All_scenes/test_All.csv");
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    for name in ["Action/Happy/0267", "Crime/Fear/0001"] {
        frames(1, &root.path().join("2_ClipsforFaceCrop").join(name));
    }
    let lines = "Action/Happy/0267 Happy\nCrime/Fear/0001 Fear\nCrime/Fear/0002 Fear\n";
    fs::write(&list, lines).unwrap();
    let (output, report) = evaluate("ferv39k", root.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "a clip is missing");
    let report = report.unwrap();
    assert_eq!(predictions(&report).len(), 2);
    assert_eq!(report["errors"][0]["sample"], "Crime/Fear/0002");

    fs::write(&list, "../../etc Happy\n").unwrap();
    let (output, _) = evaluate("ferv39k", root.path(), &[]);
    assert!(stderr(&output).contains("leads out of the data set"), "{}", stderr(&output));
}

#[test]
fn footage_without_faces_or_frames_counts_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::create_dir(path("sad")).unwrap();
    video(20, &path("sad/nobody's \" \n.avi"));
    // A video without any frame.
    make(
        "videotestsrc num-buffers=0 ! video/x-raw,width=64,height=64 ! jpegenc ! matroskamux",
        &path("sad/void.mkv"),
    );
    let json = path("out.json");
    let fixed = ["evaluate", "--layout", "class-folders", "--json"].map(OsStr::new);
    let output = dfer(fixed.into_iter().chain([json.as_os_str(), root.path().as_os_str()]));
    assert_eq!(output.status.code(), Some(1), "one cannot be read");
    let report: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let rows = predictions(&report);
    assert_eq!(rows.len(), 1, "{report}");
    assert_eq!(rows[0]["sample"], "sad/nobody's \" \\n.avi");
    assert_eq!((&rows[0]["answer"], &report["metrics"]["answered"]), (&Value::Null, &0.into()));
    assert_eq!(report["metrics"]["war"], 0.0, "no answer is a wrong one");
    assert_eq!(report["errors"][0]["sample"], "sad/void.mkv");
}

#[test]
fn pictures_of_all_kinds_are_answered() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join("happy").join(name);
    fs::create_dir(root.path().join("happy")).unwrap();
    let kinds = ["jpegenc", "pngenc", "avenc_bmp", "avenc_tiff", "webpenc", "pnmenc"];
    for encoder in kinds {
        make(
            &format!(
                "videotestsrc num-buffers=1 ! video/x-raw,width=320,height=240 ! videoconvert ! {encoder}"
            ),
            &path(encoder),
        );
    }
    let (output, report) = evaluate("class-folders", root.path(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(report.unwrap()["metrics"]["answered"], kinds.len());
    // What is a picture, but not known as one, is no film of which nothing could be said.
    make("videotestsrc num-buffers=1 ! jpegenc ! avimux", &path("one.avi"));
    let (output, report) = evaluate("class-folders", root.path(), &["--ignore", "sat"]);
    assert!(stderr(&output).contains("one.avi: holds one picture"), "{}", stderr(&output));
    assert!(stderr(&output).contains("--ignore sat: no sample is of this class"));
    assert_eq!(report.unwrap()["metrics"]["answered"], kinds.len());
}

/// A clip takes 0.8 s; the last picture of a shorter folder stays.
#[test]
fn short_folders_of_pictures_are_answered() {
    let root = tempfile::tempdir().unwrap();
    for (n, pictures) in [(0, 1), (1, 8)] {
        let first = root.path().join(format!("happy/{n}/1.jpg"));
        picture(n, &first);
        (2..=pictures).for_each(|k| _ = fs::copy(&first, first.with_file_name(format!("{k}.jpg"))));
    }
    let (output, report) = evaluate("class-folders", root.path(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(report.unwrap()["metrics"]["answered"], 2);
}

#[test]
fn what_is_read_is_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    picture(0, &root.path().join("happy/0.png"));
    let results = root.path().join("r.jsonl");
    let options = ["--layout", "class-folders", "--faces", "frame"].map(OsStr::new);
    let to = |option| [OsStr::new(option), results.as_os_str()];
    let footage = [&options[..], &[root.path().as_os_str()]].concat();
    let run = |more: &[&[&OsStr]; 3]| {
        dfer([&[OsStr::new("evaluate")], more.concat().as_slice()].concat())
    };
    assert!(run(&[&footage, &to("--results"), &[]]).status.success());
    let before = fs::read(&results).unwrap();
    let output = run(&[&to("--from"), &to("--json"), &[]]);
    assert!(stderr(&output).contains("r.jsonl: is an input and would be overwritten"));
    let output = run(&[&footage, &to("--results"), &to("--json")]);
    assert!(stderr(&output).contains("r.jsonl: would be written twice"), "{}", stderr(&output));
    assert_eq!(fs::read(&results).unwrap(), before);
}

#[test]
fn a_list_chooses_samples() {
    let root = tempfile::tempdir().unwrap();
    for n in 0..4 {
        picture(n, &root.path().join(format!("happy/{n}.png")));
    }
    let list = root.path().join("list.txt");
    let whole = root.path().join("happy/3.png");
    fs::write(&list, format!("happy/1.png\n{}\n", whole.display())).unwrap();
    let more = ["--inputs", list.to_str().unwrap()];
    let (output, report) = evaluate("class-folders", root.path(), &more);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = report.unwrap();
    let names: Vec<_> =
        predictions(&report).iter().map(|p| p["sample"].as_str().unwrap()).collect();
    assert_eq!(names, ["happy/1.png", "happy/3.png"]);
    fs::write(&list, "happy/7.png\n").unwrap();
    let (output, _) = evaluate("class-folders", root.path(), &more);
    assert!(stderr(&output).contains("happy/7.png: is listed, but is no sample"));
}
