// SPDX-License-Identifier: MPL-2.0

//! The built-in networks on real footage, and on the clip that is part of this project.
//!
//! The footage is looked for in the folder that the environment variable `DFER_MEDIA` names, else
//! in `../shared/media`; tests of what is not there say so and pass. Every test prints what it
//! measured (`cargo test --test footage -- --nocapture`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gst::prelude::*;
use gst_app::AppSink;
use gstdfer::core::result::{Expression, Status};
use gstdfer::meta;

/// Prints what was measured, and fails the test where it does not meet the expectation.
fn expect(what: &str, met: bool, measured: impl std::fmt::Display) {
    println!("{}: {what}: {measured}", if met { "met" } else { "NOT MET" });
    assert!(met, "{what}: {measured}");
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// One frame of a film.
struct Frame {
    /// Seconds.
    t: f64,
    faces: Vec<Expression>,
}

/// What the filter said of a film.
struct Film {
    frames: Vec<Frame>,
    /// What the recorder wrote of every frame.
    records: Vec<u8>,
}

fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstdfer::plugin_register_static().unwrap();
    });
}

/// The file of that name, or `None` after saying why not.
fn footage(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DFER_MEDIA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/media"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if !path.is_file() {
        println!("skipped: {} is not there; DFER_MEDIA may name its folder", path.display());
        return None;
    }
    Some(path)
}

/// Analyses a film with `mode=sync`; `before` goes between converter and filter.
fn watch(path: &Path, before: &str) -> Film {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records.jsonl");
    let description = format!(
        "filesrc name=file ! decodebin ! videoconvert ! {before} dferfilter name=filter mode=sync ! \
         dferrecorder name=recorder detail=frames ! appsink name=end sync=false max-buffers=4"
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let named = |name| pipeline.by_name(name).unwrap();
    named("file").set_property("location", path.to_str().unwrap());
    named("recorder").set_property("location", file.to_str().unwrap());
    let end = named("end").downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut frames = Vec::new();
    while let Ok(sample) = end.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let results = meta::read(buffer).expect("every buffer has results");
        frames.push(Frame {
            t: buffer.pts().unwrap().nseconds() as f64 / 1e9,
            faces: results.faces.into_iter().map(|f| f.expression).collect(),
        });
    }
    let errors: Vec<_> =
        pipeline.bus().unwrap().iter_filtered(&[gst::MessageType::Error]).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(!frames.is_empty(), "{} has no picture", path.display());
    Film { frames, records: std::fs::read(&file).unwrap() }
}

impl Film {
    fn between(&self, span: Range<f64>) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |f| span.contains(&f.t))
    }

    /// Frames of a span by the status of the largest face, and by the label where it is stable.
    fn shares(&self, span: Range<f64>) -> BTreeMap<String, f64> {
        let all = self.between(span.clone()).count().max(1) as f64;
        let mut shares = BTreeMap::new();
        for frame in self.between(span) {
            *shares.entry(frame.told()).or_default() += 1.0 / all;
        }
        shares
    }

    /// Stable labels of the largest face one after the other.
    fn story(&self) -> Vec<String> {
        let mut labels: Vec<_> =
            self.frames.iter().filter_map(Frame::stable).map(str::to_owned).collect();
        labels.dedup();
        labels
    }

    /// The share of all frames that the commonest track is in.
    fn longest_track(&self) -> f64 {
        let mut ids = BTreeMap::<u64, u32>::new();
        for face in self.frames.iter().flat_map(|f| &f.faces) {
            *ids.entry(face.track_id.unwrap()).or_default() += 1;
        }
        f64::from(ids.values().copied().max().unwrap_or(0)) / self.frames.len() as f64
    }
}

impl Frame {
    /// The stable label of the largest face.
    fn stable(&self) -> Option<&str> {
        let face = self.faces.first().filter(|e| e.status == Status::Stable)?;
        face.label.as_deref()
    }

    fn told(&self) -> String {
        match self.faces.first() {
            None => "no-face".to_owned(),
            Some(_) if self.stable().is_some() => format!("stable {}", self.stable().unwrap()),
            Some(face) => face.status.to_string(),
        }
    }
}

fn show(what: &str, span: Range<f64>, shares: &BTreeMap<String, f64>) {
    let parts: Vec<_> =
        shares.iter().map(|(told, share)| format!("{told} {:.0} %", share * 100.0)).collect();
    println!("{what}, {:.1} to {:.1} s: {}", span.start, span.end, parts.join(", "));
}

/// The share of a span that was told so, printed with the rest.
fn share(film: &Film, name: &str, span: Range<f64>, told: &str) -> f64 {
    let shares = film.shares(span.clone());
    show(name, span, &shares);
    shares.get(told).copied().unwrap_or(0.0)
}

#[test]
fn grief_turns_into_laughter() {
    let name = "sad-to-happy.mp4";
    let Some(path) = footage(name) else { return };
    let film = watch(&path, "");
    println!("{name}: {:?}, one track in {:.0} %", film.story(), film.longest_track() * 100.0);
    let sad = share(&film, name, 1.0..5.0, "stable sad");
    let covered = film.shares(6.0..10.0);
    show(name, 6.0..10.0, &covered);
    let happy = share(&film, name, 11.5..19.5, "stable happy");
    let wrong = covered
        .iter()
        .filter(|(told, _)| {
            told.starts_with("stable") && !told.ends_with("sad") && !told.ends_with("happy")
        })
        .map(|(_, share)| share)
        .fold(0.0, |sum, share| sum + share);
    expect("happy for most of 11.5 to 19.5 s", happy > 0.5, percent(happy));
    expect("sad for most of 1 to 5 s", sad > 0.5, percent(sad));
    expect("no wrong label behind the hand", wrong == 0.0, percent(wrong));
}

#[test]
fn a_smile_begins() {
    let name = "neutral-to-happy.mp4";
    let Some(path) = footage(name) else { return };
    let film = watch(&path, "");
    share(&film, name, 0.0..3.0, "");
    let last = film.frames.last().unwrap();
    let e = last.faces.first().expect("a face to the end");
    println!("{name}: ends {} with {:?}", last.told(), e.probabilities);
    expect("the smile ends happy", last.stable() == Some("happy"), last.told());
}

#[test]
fn after_the_cut_there_is_nobody() {
    let name = "face-then-none.mov";
    let Some(path) = footage(name) else { return };
    let film = watch(&path, "");
    share(&film, name, 0.0..2.3, "");
    let before = film.between(0.3..2.2).filter(|f| f.faces.len() == 1).count();
    let last = film.frames.iter().rfind(|f| !f.faces.is_empty()).map(|f| f.t);
    println!("{name}: the last frame with a face is at {last:?} s");
    let before = before as f64 / film.between(0.3..2.2).count() as f64;
    expect("a face before the cut", before >= 0.9, percent(before));
    let last = last.unwrap_or(0.0);
    expect("nobody a second after the cut", last < 3.3, format!("a face until {last:.2} s"));
}

#[test]
fn nobody_is_nobody() {
    let name = "no-face.mp4";
    let Some(path) = footage(name) else { return };
    let film = watch(&path, "");
    let wrong: Vec<f64> = film.frames.iter().filter(|f| !f.faces.is_empty()).map(|f| f.t).collect();
    let measured =
        format!("{} of {} frames with a face: {wrong:.1?}", wrong.len(), film.frames.len());
    expect("nobody where nobody is", wrong.is_empty(), measured);
}

#[test]
fn one_man_is_one_track() {
    let name = "carphone-qcif.mp4";
    let Some(path) = footage(name) else { return };
    let film = watch(&path, "");
    share(&film, name, 0.0..5.0, "");
    let track = film.longest_track();
    expect("one track for the man in the car", track >= 0.9, percent(track));
}

#[test]
fn twice_the_same_bytes() {
    for name in ["neutral-to-happy.mp4", "carphone-qcif.mp4"] {
        let Some(path) = footage(name) else { return };
        let first = watch(&path, "").records;
        assert!(!first.is_empty());
        assert!(first == watch(&path, "").records, "{name}: records differ");
    }
}

#[test]
fn the_frame_rate_does_not_matter() {
    let name = "sad-to-happy.mp4";
    let Some(path) = footage(name) else { return };
    let stories: Vec<_> = [15, 30, 60]
        .into_iter()
        .map(|rate| {
            let film = watch(&path, &format!("videorate ! video/x-raw,framerate={rate}/1 !"));
            println!("{name} at {rate} frames a second: {:?}", film.story());
            film.story()
        })
        .collect();
    let same = stories.iter().all(|s| *s == stories[0]);
    expect("the same labels at any frame rate", same, format!("{stories:?}"));
}

/// The clip that the project made itself: what it shows is written down.
#[test]
fn the_demo_clip() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("media");
    let text = std::fs::read_to_string(folder.join("demo.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&text).unwrap();
    let film = watch(&folder.join(truth["file"].as_str().unwrap()), "");
    println!("demo: {:?}, one track in {:.1} %", film.story(), film.longest_track() * 100.0);
    let spans: Vec<(f64, f64, &str)> = truth["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            (s["start"].as_f64().unwrap(), s["end"].as_f64().unwrap(), s["label"].as_str().unwrap())
        })
        .collect();
    for (start, end, label) in &spans {
        // Part of what is shown is still what was before: a decision needs a second.
        share(&film, &format!("demo, {label}"), *start..end + 0.6, "");
    }
    let right = |f: &&Frame| {
        let told = f.stable().unwrap();
        spans.iter().any(|(start, end, label)| *label == told && f.t >= *start && f.t < end + 1.5)
    };
    let stable: Vec<_> = film.frames.iter().filter(|f| f.stable().is_some()).collect();
    let good = stable.iter().copied().filter(right).count();
    let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
    let (clear, right) = (share(stable.len(), film.frames.len()), share(good, stable.len()));
    expect("the demo's labels are right", right >= 0.8, percent(right));
    expect("the demo is stable for half of it", clear >= 0.5, percent(clear));
    let story = film.story();
    let all = ["neutral", "happy", "surprise", "sad"].iter().all(|l| story.iter().any(|s| s == l));
    expect("the demo shows neutral, happy, surprise and sad", all, format!("{story:?}"));
    // The board covers the face for longer than the default track-timeout.
    let ids: BTreeSet<_> =
        film.frames.iter().flat_map(|f| &f.faces).filter_map(|e| e.track_id).collect();
    expect("a head, and once again after the board", (1..=2).contains(&ids.len()), ids.len());
    let crowd = film.frames.iter().map(|f| f.faces.len()).max();
    expect("never two heads in the demo", crowd == Some(1), format!("{crowd:?}"));
}
