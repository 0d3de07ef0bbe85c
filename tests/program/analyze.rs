// SPDX-License-Identifier: MPL-2.0

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gstdfer::core::record::Record;

use crate::material::{make, video};
use crate::{demo, dfer, names, stderr, stdout};

fn records(text: &str) -> Vec<Record> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn analyze(arguments: &[&OsStr]) -> std::process::Output {
    dfer([OsStr::new("analyze")].iter().chain(arguments))
}

#[test]
fn records_of_the_demo_go_to_the_standard_output() {
    let output = analyze(&[demo().as_os_str()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let records = records(&stdout(&output));
    assert!(records.iter().all(|r| r.stream == "demo.mp4" && r.frame == [960, 540]));
    let labels: Vec<_> = records.iter().filter_map(|r| r.expression.label.as_deref()).collect();
    for label in ["neutral", "happy", "surprise"] {
        assert!(labels.contains(&label), "{label} is shown in the file; seen: {labels:?}");
    }
    let told = stderr(&output);
    assert!(told.starts_with("demo.mp4: 14."), "{told}");
    assert!(told.contains(" happy ") && !told.contains('\r'), "no progress bar in a pipe: {told}");
}

#[test]
fn failed_inputs_are_named_and_the_others_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (good, sound, random) = (path("good.avi"), path("sound.wav"), path("random.mp4"));
    let (empty, missing, target) = (path("empty.mp4"), path("missing.mp4"), path("all.jsonl"));
    video(20, &good);
    make("audiotestsrc num-buffers=20 ! wavenc", &sound);
    fs::write(&random, (0..5000u32).map(|i| ((i * i) >> 3) as u8).collect::<Vec<_>>()).unwrap();
    fs::write(&empty, "").unwrap();
    let option = OsStr::new("-o");
    let inputs = [&empty, &missing, &sound, &random, &good].map(|p| p.as_os_str());
    let mut arguments = inputs.to_vec();
    arguments.extend([folder.path().as_os_str(), option, target.as_os_str()]);
    let output = analyze(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    let of = |name: &str| {
        let line = |l: &&str| l.starts_with("dfer: ") && l.contains(&format!("{name}: "));
        let lines: Vec<_> = told.lines().filter(line).collect();
        assert_eq!(lines.len(), 1, "one line for {name}: {told}");
        lines[0].to_owned()
    };
    assert!(of("empty.mp4").ends_with("is empty (0 bytes)"));
    assert!(of("missing.mp4").ends_with("there is no such file"));
    assert!(of("sound.wav").contains("has no video"));
    assert!(of("random.mp4").contains("has no video that can be decoded"));
    assert!(told.contains("is a folder"), "{told}");
    assert!(told.contains("good.avi: 1.3 s, 20 frames, no face"), "{told}");
    let left = ["all.jsonl", "empty.mp4", "good.avi", "random.mp4", "sound.wav"];
    assert_eq!(names(folder.path()), left, "nothing unfinished is left");
}

#[test]
fn hostile_names_are_names_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, outputs) = (folder.path().join("in"), folder.path().join("out/"));
    fs::create_dir(&inputs).unwrap();
    let hostile = [
        OsString::from("a b' \" ! fakesink $(touch x);\n\u{1b}[31m.avi"),
        OsString::from("100%41#?.avi"),
        OsString::from_vec(b"\xff\xfe.avi".to_vec()),
        OsString::from("<script>.avi"),
    ];
    let paths: Vec<_> = hostile.iter().map(|name| inputs.join(name)).collect();
    paths.iter().for_each(|path| video(5, path));
    let before = names(&inputs);
    let mut arguments: Vec<_> = paths.iter().map(|p| p.as_os_str()).collect();
    arguments.extend(["--faces", "frame", "-o"].map(OsStr::new));
    let mut target = outputs.as_os_str().to_owned();
    target.push("/");
    arguments.push(&target);
    let output = analyze(&arguments);
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    assert!(!told.contains('\u{1b}'), "a name must not act on the terminal: {told:?}");
    for name in &hostile {
        let mut name = name.clone();
        name.push(".jsonl");
        let text = fs::read_to_string(outputs.join(&name)).unwrap();
        let records = records(&text);
        assert!(!records.is_empty(), "{name:?}");
        let stream = Path::new(&name).file_stem().unwrap().to_string_lossy();
        assert!(records.iter().all(|r| r.stream == stream), "{name:?}: {}", records[0].stream);
    }
    assert_eq!(names(&inputs), before);
    assert_eq!(names(&outputs).len(), hostile.len());
}

/// As recorders of several cameras name them.
#[test]
fn files_of_one_name_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let films = ["door/1.avi", "yard/1.avi", "yard/2.avi"];
    for film in films {
        fs::create_dir_all(path(film).parent().unwrap()).unwrap();
        video(8, &path(film));
    }
    let (to, pictures) = (path("o/"), path("v/"));
    let run = |more: &[&str]| {
        let mut all: Vec<_> = films.iter().map(|film| path(film).into_os_string()).collect();
        all.extend(["--faces", "frame"].iter().chain(more).map(OsString::from));
        all.extend(["-o".into(), to.clone().into(), "--overlay".into(), pictures.clone().into()]);
        analyze(&all.iter().map(|a| a.as_os_str()).collect::<Vec<_>>())
    };
    for shard in ["1/2", "2/2"] {
        let output = run(&["--shard", shard]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    for name in ["door/1.avi", "yard/1.avi", "2.avi"] {
        let records = records(&fs::read_to_string(to.join(format!("{name}.jsonl"))).unwrap());
        assert!(records.iter().all(|r| r.stream == name), "{name}: {records:?}");
        assert!(pictures.join(format!("{name}.mp4")).exists());
    }
    let output = run(&["--resume"]);
    assert!(stderr(&output).contains("3 of 3 inputs are done already"), "{}", stderr(&output));
    // One that was still written to has to be seen again.
    video(9, &path("yard/2.avi"));
    let output = run(&["--resume"]);
    assert!(stderr(&output).contains("2 of 3 inputs are done already"), "{}", stderr(&output));
}

#[test]
fn records_are_written_though_nobody_reads_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let (input, target) = (folder.path().join("a.avi"), folder.path().join("a.jsonl"));
    video(5, &input);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfer"));
    command.args([OsStr::new("analyze"), input.as_os_str(), OsStr::new("-o"), target.as_os_str()]);
    assert!(command.stderr(writer).status().unwrap().success());
    assert_eq!(names(folder.path()), ["a.avi", "a.jsonl"]);
    // Nor is it a reason to panic that nobody reads what was asked for.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfer"));
    let output = command.args(["models"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("dfer: the standard output cannot be written"));
}

#[test]
fn earlier_records_outlast_a_run_that_sees_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.jsonl");
    fs::write(&target, "of yesterday").unwrap();
    let missing = folder.path().join("missing.mp4");
    let output = analyze(&[missing.as_os_str(), OsStr::new("-o"), target.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&target).unwrap(), "of yesterday");
    assert_eq!(names(folder.path()), ["a.jsonl"]);
}

/// Telephones film so: the picture lies on its side, and the file says so.
#[test]
fn a_file_is_seen_upright() {
    let folder = tempfile::tempdir().unwrap();
    let (side, turned) = (folder.path().join("side.mp4"), folder.path().join("turned.mp4"));
    make(
        &format!(
            "filesrc location={} ! decodebin ! videoconvert ! videorate ! video/x-raw,framerate=15/1 \
             ! identity eos-after=30 ! videoflip video-direction=90l ! x264enc ! mp4mux",
            demo().display()
        ),
        &side,
    );
    let mut bytes = fs::read(&side).unwrap();
    let track = bytes.windows(4).position(|name| name == b"tkhd").unwrap();
    // The track header's matrix (ISO/IEC 14496-12, 8.3.2), a quarter turn clockwise: a, b, u, c, d.
    let turn = [0i32, 1 << 16, 0, -1 << 16, 0].map(i32::to_be_bytes).concat();
    bytes[track + 44..][..turn.len()].copy_from_slice(&turn);
    fs::write(&turned, bytes).unwrap();
    for (file, frame) in [(&side, [540, 960]), (&turned, [960, 540])] {
        let output = analyze(&[file.as_os_str()]);
        let records = records(&stdout(&output));
        assert!(records.iter().all(|r| r.frame == frame), "{records:?}");
        let found = records.iter().any(|r| r.expression.track_id.is_some());
        assert_eq!(found, file == &turned, "{}", stderr(&output));
    }
}

#[test]
fn a_file_that_was_cut_short_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(demo()).unwrap();
    let cut = folder.path().join("cut.mp4");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let told = stderr(&analyze(&[cut.as_os_str()]));
    assert!(told.contains("cut.mp4: warning: its pictures end after "), "{told}");
    assert!(told.contains(" of 14.0 s"), "{told}");
}

/// `-o *.mp4` would cost a film.
#[test]
fn a_film_is_not_replaced_by_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    ["a.avi", "b.avi"].iter().for_each(|name| video(5, &path(name)));
    let before = fs::read(path("a.avi")).unwrap();
    for (option, target, cause) in [
        ("-o", "a.avi", "a.avi: is no UTF-8 text and would be overwritten"),
        ("--report", "a.avi", "a.avi: is no UTF-8 text and would be overwritten"),
        ("-o", "o.srt", "o.srt: records are JSON lines"),
        ("--overlay", "o.mkv", "o.mkv: the video is an MP4"),
        ("--overlay", "a.avi", "a.avi: the video is an MP4"),
    ] {
        let (input, target) = (path("b.avi"), path(target));
        let output = analyze(&[input.as_os_str(), OsStr::new(option), target.as_os_str()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(cause), "{}", stderr(&output));
    }
    let output = analyze(&[path("b.avi").as_os_str(), path("./b.avi").as_os_str()]);
    let told = stderr(&output);
    assert!(told.contains("b.avi: is the same file as ") && told.matches("no face").count() == 1);
    assert_eq!(fs::read(path("a.avi")).unwrap(), before);
    assert_eq!(names(folder.path()), ["a.avi", "b.avi"]);
}

#[test]
fn an_input_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.mp4");
    video(5, &input);
    let before = fs::read(&input).unwrap();
    for option in ["-o", "--overlay"] {
        let output = analyze(&[input.as_os_str(), OsStr::new(option), input.as_os_str()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("is an input and would be overwritten"));
    }
    assert_eq!(fs::read(&input).unwrap(), before);
    assert_eq!(names(folder.path()), ["a.mp4"]);
}

#[test]
fn overlay_is_a_video_with_the_same_frames() {
    let folder = tempfile::tempdir().unwrap();
    let (input, seen) = (folder.path().join("a.avi"), folder.path().join("seen.mp4"));
    video(30, &input);
    let made = analyze(&[input.as_os_str(), OsStr::new("--overlay"), seen.as_os_str()]);
    assert!(made.status.success(), "{}", stderr(&made));
    let again = analyze(&[seen.as_os_str()]);
    assert!(stderr(&again).contains(": 2.0 s, 30 frames"), "{}", stderr(&again));
}

#[test]
fn an_interrupt_keeps_what_was_seen() {
    interrupted(&["-INT"]);
    // As GNU timeout does it.
    interrupted(&["-TERM", "-TERM"]);
}

/// Whatever an early signal meets, what an earlier run left stays or is replaced by something whole.
#[test]
fn an_early_interrupt_empties_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let left = ["o.jsonl", "o.mp4", "o.html"].map(|name| folder.path().join(name));
    for delay in [20, 60, 120, 200, 300] {
        left.iter().for_each(|file| fs::write(file, "of yesterday").unwrap());
        let mut child = Command::new(env!("CARGO_BIN_EXE_dfer"))
            .args([OsStr::new("analyze"), demo().as_os_str(), OsStr::new("-o")])
            .args([left[0].as_os_str(), OsStr::new("--overlay"), left[1].as_os_str()])
            .args([OsStr::new("--report"), left[2].as_os_str()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        child.wait().unwrap();
        let lengths = left.each_ref().map(|file| fs::metadata(file).unwrap().len());
        let same = lengths.map(|length| length == 12);
        let whole = lengths[0] > 0 && lengths[1] > 100 && lengths[2] > 100;
        assert!(same.iter().all(|s| *s) || whole, "{lengths:?}");
    }
}

fn interrupted(signals: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (records_to, video_to) = (folder.path().join("r.jsonl"), folder.path().join("v.mp4"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_dfer"))
        .args([OsStr::new("analyze"), demo().as_os_str(), OsStr::new("--detail")])
        .args([OsStr::new("frames"), OsStr::new("-o"), records_to.as_os_str()])
        .args([OsStr::new("--overlay"), video_to.as_os_str()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let part = folder.path().join(format!(".r.jsonl.{}.part", child.id()));
    while fs::metadata(&part).map_or(0, |m| m.len()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "ended before the first record");
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    for signal in signals {
        assert!(Command::new("kill").args([signal, &*id]).status().unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let seen = records(&fs::read_to_string(&records_to).unwrap()).len();
    assert!((1..400).contains(&seen), "{seen} records");
    assert_eq!(names(folder.path()), ["r.jsonl", "v.mp4"]);
    let again = analyze(&[video_to.as_os_str()]);
    assert!(again.status.success(), "the video is whole: {}", stderr(&again));
}

#[test]
fn the_report_shows_every_face_and_needs_nothing_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("<img src=x> & more.mp4");
    fs::copy(demo(), &named).unwrap();
    let (missing, page) = (folder.path().join("missing.mp4"), folder.path().join("out.html"));
    let option = OsStr::new("--report");
    let inputs = [named.as_os_str(), missing.as_os_str()];
    let output = analyze(&[inputs[0], inputs[1], option, page.as_os_str()]);
    assert_eq!(output.status.code(), Some(1), "one input is missing");
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("&lt;img src=x&gt; &amp; more.mp4"));
    assert!(html.contains("there is no such file"));
    for outside in ["<img", "<script", "http:", "https:", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    let faces = html.matches("<h3>Face ").count();
    assert!(faces > 0);
    for part in ["<svg ", "class=\"agreement\"", "<details>", "class=\"key\""] {
        assert!(html.matches(part).count() >= faces, "{part}");
    }
    // A row for every stretch that the plot has.
    let spans = html.matches("<rect ").count();
    let rows = html.matches("<tr><td>").count();
    assert!(rows > spans, "{rows} rows for {spans} stretches and the decisions");
    let decided = html.matches(">happy</th>").count();
    assert!(decided > 0, "probabilities are there on demand");
}

#[test]
fn faces_are_on_the_page_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("out.html");
    let report = [OsStr::new("--report"), page.as_os_str(), OsStr::new("--with-pictures")];
    let output = analyze(&[&[demo().as_os_str()], &report[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains("CRITICAL"), "{}", stderr(&output));
    let html = fs::read_to_string(&page).unwrap();
    let shown = html.matches("<img src=\"data:image/jpeg;base64,/9j/").count();
    assert!(shown >= 3, "neutral, happy and surprise are shown: {shown}");
    assert!(html.contains("alt=\"Face: happy, "), "a picture says what it shows");
}
