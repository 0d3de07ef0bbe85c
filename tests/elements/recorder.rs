// SPDX-License-Identifier: MPL-2.0

use std::path::Path;
use std::process::Command;

use gst::prelude::*;
use gst_check::Harness;
use gstdfer::core::Rect;
use gstdfer::core::record::Record;
use gstdfer::core::result::{Expression, Status};
use gstdfer::dferrecorder::{Detail, Format};
use gstdfer::meta::{self, Face, FrameResults};

use crate::init;

const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);

fn recorder(location: &Path) -> gst::Element {
    gst::ElementFactory::make("dferrecorder")
        .property("location", location.to_str().unwrap())
        .build()
        .unwrap()
}

fn harness(element: &gst::Element) -> Harness {
    let mut h = Harness::with_element(element, Some("sink"), Some("src"));
    h.set_src_caps_str("video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1");
    h
}

/// Frame number `seq`, with a face of that label where there is one.
pub fn frame(seq: u64, label: Option<&str>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice([7; 64 * 48]);
    let b = buffer.get_mut().unwrap();
    b.set_pts(FRAME * seq);
    b.set_duration(FRAME);
    let face = |label: &str| {
        let expression = Expression {
            label: Some(label.into()),
            probability: Some(0.75),
            clip_end: Some(seq / 5),
            ..Expression::new(Some(3), Status::Stable)
        };
        Face::new(Rect::new(8.0, 4.0, 20.0, 24.0), expression)
    };
    let faces = label.map(face).into_iter().collect();
    meta::attach(
        b,
        &FrameResults {
            stream: "filter".into(),
            seq,
            faces,
            ignored: 0,
            ..FrameResults::default()
        },
    );
    buffer
}

/// A second of sad, a second of happy, a second without a face.
pub fn story() -> impl Iterator<Item = gst::Buffer> {
    (0..75).map(|i| frame(i, ["sad", "happy"].get(i as usize / 25).copied()))
}

/// Plays the story; the text of the file when end of stream has come out.
pub fn record(format: Format, detail: Detail) -> String {
    init();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let element = recorder(&path);
    element.set_property("format", format);
    element.set_property("detail", detail);
    let mut h = harness(&element);
    for buffer in story() {
        h.push(buffer).unwrap();
    }
    h.push_event(gst::event::Eos::new());
    std::fs::read_to_string(&path).unwrap()
}

pub fn lines(text: &str) -> Vec<Record> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Status, label and frame of every record.
pub fn told(records: &[Record]) -> Vec<(&str, &str, u64)> {
    let of = |r: &Record| r.seq;
    records
        .iter()
        .map(|r| (r.expression.status.as_str(), r.expression.label.as_deref().unwrap_or(""), of(r)))
        .collect()
}

#[test]
fn records_changes_with_times_and_places() {
    let records = lines(&record(Format::Jsonl, Detail::Changes));
    assert_eq!(
        told(&records),
        [("stable", "sad", 0), ("stable", "happy", 25), ("no-face", "", 50)]
    );
    let happy = &records[1];
    assert_eq!((happy.schema.as_str(), happy.stream.as_str()), ("dfer/1", "filter"));
    assert_eq!((happy.pts, happy.running_time), (Some(1_000_000_000), Some(1_000_000_000)));
    assert_eq!((happy.frame, happy.bounds), ([64, 48], Some([8, 4, 20, 24])));
    assert_eq!((records[2].expression.track_id, records[2].bounds), (Some(3), None));
}

#[test]
fn records_decisions_and_frames() {
    assert_eq!(
        lines(&record(Format::Jsonl, Detail::Decisions)).len(),
        11,
        "ten decisions and a loss"
    );
    let frames = lines(&record(Format::Jsonl, Detail::Frames));
    assert_eq!(frames.len(), 75);
    assert_eq!(frames[74].expression, Expression::new(None, Status::NoFace));
}

#[test]
fn buffers_pass_as_they_are() {
    init();
    let dir = tempfile::tempdir().unwrap();
    let mut h = harness(&recorder(&dir.path().join("out")));
    for buffer in story() {
        let pointer = buffer.as_ptr();
        let out = h.push_and_pull(buffer).unwrap();
        assert_eq!(out.as_ptr(), pointer, "the very same buffer");
    }
}

#[test]
fn what_is_written_is_readable_at_any_time_and_counted() {
    init();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let element = recorder(&path);
    element.set_property("detail", Detail::Frames);
    let mut h = harness(&element);
    for buffer in story().take(30) {
        h.push(buffer).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        // A reader may look in the middle of a write; what has its line's end is whole.
        lines(&text[..text.rfind('\n').map_or(0, |end| end + 1)]);
    }
    h.push_event(gst::event::Eos::new());
    assert!(std::fs::read_to_string(&path).unwrap().ends_with('\n'));
    // Also for an application that asks when all is over.
    element.set_state(gst::State::Null).unwrap();
    let stats: gst::Structure = element.property("stats");
    let size = std::fs::metadata(&path).unwrap().len();
    for (name, value) in
        [("buffers", 30), ("analysed", 30), ("records", 30), ("bytes", size), ("waiting", 0)]
    {
        assert_eq!(stats.get::<u64>(name), Ok(value), "{name}");
    }
}

#[test]
fn stopping_without_end_of_stream_loses_nothing() {
    init();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    for append in [false, true, false] {
        let element = recorder(&path);
        element.set_property("append", append);
        let mut h = harness(&element);
        for buffer in story() {
            h.push(buffer).unwrap();
        }
        drop(h);
        element.set_state(gst::State::Null).unwrap();
        let expected = if append { 6 } else { 3 };
        assert_eq!(lines(&std::fs::read_to_string(&path).unwrap()).len(), expected);
    }
}

#[test]
fn a_seek_closes_what_is_open() {
    init();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let element = recorder(&path);
    element.set_property("format", Format::Srt);
    let mut h = harness(&element);
    for buffer in story().take(10) {
        h.push(buffer).unwrap();
    }
    h.push_event(gst::event::FlushStart::new());
    h.push_event(gst::event::FlushStop::new(true));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "1\n00:00:00,000 --> 00:00:00,400\n#3 sad 75 %\n\n");
}

/// Parses cues with GStreamer's own parser.
fn cues(format: Format, suffix: &str) -> Vec<(u64, u64, String)> {
    let text = record(format, Detail::Changes);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("out.{suffix}"));
    std::fs::write(&path, text).unwrap();
    let description =
        format!("filesrc location={} ! subparse ! appsink name=sink sync=false", path.display());
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Bin>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut cues = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let text = String::from_utf8(buffer.map_readable().unwrap().to_vec()).unwrap();
        let start = buffer.pts().unwrap();
        cues.push((start.mseconds(), (start + buffer.duration().unwrap()).mseconds(), text));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    cues
}

#[test]
fn cues_play_in_gstreamer() {
    for (format, suffix) in [(Format::Srt, "srt"), (Format::Webvtt, "vtt")] {
        let cues = cues(format, suffix);
        let expected = [(0, 1000, "#3 sad 75 %"), (1000, 2000, "#3 happy 75 %")];
        assert_eq!(
            cues,
            expected.map(|(start, end, text)| (start, end, text.to_owned())),
            "{suffix}"
        );
    }
}

/// Errors on the bus after trying to start.
fn errors_at_start(element: &gst::Element) -> Vec<String> {
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    element.set_state(gst::State::Null).unwrap();
    let errors = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Error]));
    errors
        .map(|m| match m.view() {
            gst::MessageView::Error(e) => e.error().to_string(),
            _ => unreachable!(),
        })
        .collect()
}

#[test]
fn impossible_places_give_one_clear_error() {
    init();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let errors = errors_at_start(&recorder(dir.path()));
    assert!(
        errors.len() == 1 && errors[0].contains(path) && errors[0].contains("directory"),
        "{errors:?}"
    );
    let missing = dir.path().join("missing/out");
    let errors = errors_at_start(&recorder(&missing));
    assert!(errors.len() == 1 && errors[0].contains(missing.to_str().unwrap()), "{errors:?}");
    let errors = errors_at_start(&gst::ElementFactory::make("dferrecorder").build().unwrap());
    assert!(errors.len() == 1 && errors[0].contains("location"), "{errors:?}");
    let element = recorder(&dir.path().join("out"));
    element.set_property("append", true);
    element.set_property("format", Format::Onvif);
    let errors = errors_at_start(&element);
    assert!(errors.len() == 1 && errors[0].contains("onvif"), "{errors:?}");
    element.set_property("append", false);
    element.set_property("aggregate-only", true);
    let errors = errors_at_start(&element);
    assert!(errors.len() == 1 && errors[0].contains("aggregate-only"), "{errors:?}");
}

#[test]
fn aggregates_say_nothing_of_single_faces() {
    init();
    let dir = tempfile::tempdir().unwrap();
    for (min_group, told) in [(1, true), (2, false)] {
        let path = dir.path().join("out");
        let element = recorder(&path);
        element.set_property("aggregate-only", true);
        element.set_property("min-group", min_group as u32);
        let mut h = harness(&element);
        for buffer in story() {
            h.push(buffer).unwrap();
        }
        h.push_event(gst::event::Eos::new());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("track-id") && !text.contains("box"), "{text}");
        assert_eq!(text.contains("\"labels\":{\"happy\":1}"), told, "{text}");
        assert_eq!(text.lines().count(), if told { 3 } else { 2 }, "{text}");
    }
}

/// Writes until it fails; the errors on the bus.
fn until_failure(element: &gst::Element) -> Vec<glib::Error> {
    let mut h = harness(element);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let failed =
        (0..100_000).find(|i| h.push(frame(*i, Some("sad"))) == Err(gst::FlowError::Error));
    assert!(failed.is_some());
    h.push_event(gst::event::Eos::new());
    drop(h);
    element.set_state(gst::State::Null).unwrap();
    let errors = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Error]));
    errors
        .map(|m| match m.view() {
            gst::MessageView::Error(e) => e.error(),
            _ => unreachable!(),
        })
        .collect()
}

#[test]
fn a_full_disk_gives_one_clear_error() {
    init();
    let element = recorder(Path::new("/dev/full"));
    element.set_property("detail", Detail::Frames);
    let errors = until_failure(&element);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].matches(gst::ResourceError::NoSpaceLeft));
    assert!(errors[0].to_string().contains("/dev/full"), "{errors:?}");
}

/// What `a_file_that_cannot_grow_keeps_whole_lines` runs under a limit of the file size.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn child_with_limited_file_size() {
    let Some(path) = std::env::var_os("DFER_TEST_LIMITED") else { return };
    init();
    let path = Path::new(&path);
    for format in [Format::Jsonl, Format::Onvif] {
        let element = recorder(path);
        element.set_property("detail", Detail::Frames);
        element.set_property("format", format);
        let errors = until_failure(&element);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().contains(path.to_str().unwrap()), "{errors:?}");
        let text = std::fs::read_to_string(path).unwrap();
        assert!((10_000..=16_384).contains(&text.len()), "{}", text.len());
        if format == Format::Jsonl {
            assert!(text.ends_with('\n'));
            assert!(lines(&text).len() > 30);
        } else {
            assert!(text.ends_with("</tt:VideoAnalytics>\n</tt:MetadataStream>\n"));
        }
    }
}

#[test]
fn a_file_that_cannot_grow_keeps_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    // 32 blocks of 512 bytes; without the signal, writing beyond is an error.
    let script = "trap '' XFSZ; ulimit -f 32; exec \"$0\" --ignored --exact recorder::child_with_limited_file_size";
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("DFER_TEST_LIMITED", dir.path().join("out"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

/// Runs a source through the recorder with results put on by a probe.
fn utc_from(source: &str) -> Vec<Option<String>> {
    init();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let description = format!(
        "{source} name=source num-buffers=3 ! video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1 \
         ! dferrecorder detail=frames location={} ! fakesink",
        path.display()
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Bin>().unwrap();
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        if let Some(buffer) = info.buffer_mut() {
            meta::attach(buffer.make_mut(), &FrameResults::default());
        }
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos]).unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    lines(&std::fs::read_to_string(&path).unwrap()).into_iter().map(|r| r.utc).collect()
}

#[test]
fn wall_clock_time_only_where_it_is_known() {
    assert_eq!(utc_from("videotestsrc"), [None, None, None]);
    let live = utc_from("videotestsrc is-live=true");
    let now = glib::DateTime::now_utc().unwrap();
    let times: Vec<_> = live
        .iter()
        .map(|t| glib::DateTime::from_iso8601(t.as_ref().unwrap(), None).unwrap())
        .collect();
    assert!(times.is_sorted() && now.difference(&times[0]).as_seconds().abs() < 20, "{live:?}");
}

#[test]
fn a_stream_without_results_is_warned_about() {
    init();
    let dir = tempfile::tempdir().unwrap();
    let element = recorder(&dir.path().join("out"));
    let mut h = harness(&element);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    h.push(gst::Buffer::from_slice([7; 64 * 48])).unwrap();
    h.push_event(gst::event::Eos::new());
    let warning = bus.pop_filtered(&[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else { unreachable!() };
    assert!(warning.error().to_string().contains("dferfilter"), "{warning:?}");
}
