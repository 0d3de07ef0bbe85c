// SPDX-License-Identifier: MPL-2.0

//! Video and results through GStreamer's muxers and demuxers, and every result found at its time.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstdfer::core::record::Record;
use gstdfer::core::result::{Expression, Status};
use gstdfer::core::types::Rect;
use gstdfer::meta::{self, Face, FrameResults};

use crate::extractor::{from_id3, from_klv};
use crate::init;
use crate::recorder::lines;

const FRAMES: u64 = 125;
const RATE: u64 = 25;

/// Two faces that change their labels, the second one away for a while, and both for longer than a
/// queue holds.
fn results(seq: u64) -> FrameResults {
    let face = |id, label: &str| {
        let expression = Expression {
            label: Some(label.into()),
            probability: Some(0.75),
            clip_end: Some(seq / 5),
            ..Expression::new(Some(id), Status::Stable)
        };
        Face::new(Rect::new(8.0, 4.0, 20.0, 24.0), expression)
    };
    let (silent, mut faces) = ((50..110).contains(&seq), Vec::new());
    if !silent {
        faces.push(face(1, if seq < 33 { "a <b> & c" } else { "sad" }));
    }
    if !silent && !(20..40).contains(&seq) {
        faces.push(face(2, "happy"));
    }
    FrameResults { stream: "filter".into(), seq, faces, ..FrameResults::default() }
}

/// What is to be found: sequence numbers of frames with a change.
const CHANGES: [u64; 6] = [0, 20, 33, 40, 50, 110];

fn run(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &wanted);
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => (),
        Some(gst::MessageView::Error(e)) => panic!("{} ({:?})", e.error(), e.debug()),
        _ => panic!("it hangs"),
    }
}

/// A file with video and results; queues and encoder as anybody would set them.
fn write(muxer: &str, extractor: &str, caps: &str, path: &Path) {
    init();
    let description = format!(
        "videotestsrc name=source num-buffers={FRAMES} ! video/x-raw,format=I420,width=64,height=48,framerate={RATE}/1 \
         ! dferextractor name=x {extractor} {muxer} name=mux ! filesink location={} \
         x.video_src ! queue ! x264enc speed-preset=ultrafast bframes=2 ! h264parse ! mux. \
         x.meta_src ! queue ! {caps} ! mux.",
        path.display()
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    let next = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut() {
            let seq = next.fetch_add(1, Ordering::Relaxed);
            meta::attach(buffer.make_mut(), &results(seq));
        }
        gst::PadProbeReturn::Ok
    });
    run(&pipeline);
}

/// One buffer of a demuxed stream.
struct Found {
    /// Running time.
    start: u64,
    duration: Option<u64>,
    data: Vec<u8>,
}

/// The streams of a file: the pictures' times in the order of showing, the other stream, its caps.
fn read(demuxer: &str, path: &Path) -> (Vec<u64>, Vec<Found>, String) {
    let description = format!(
        "filesrc location={} ! {demuxer} name=demux \
         demux. ! video/x-h264 ! queue ! appsink name=video sync=false async=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = gst::ElementFactory::make("appsink").name("meta").build().unwrap();
    sink.set_property("sync", false);
    sink.set_property("async", false);
    pipeline.add(&sink).unwrap();
    let demux = pipeline.by_name("demux").unwrap();
    demux.connect_pad_added({
        let sink = sink.downgrade();
        move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            if !caps.to_string().starts_with("video/")
                && let Some(sink) = sink.upgrade()
            {
                pad.link(&sink.static_pad("sink").unwrap()).unwrap();
            }
        }
    });
    let [video, meta] = ["video", "meta"]
        .map(|name| pipeline.by_name(name).unwrap().downcast::<gst_app::AppSink>().unwrap());
    let collect = |sink: &gst_app::AppSink| {
        let found = Arc::new(Mutex::new((Vec::new(), String::new())));
        let samples = found.clone();
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let buffer = sample.buffer().unwrap();
            let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
            let mut samples = samples.lock().unwrap();
            samples.0.push(Found {
                start: segment.to_running_time(buffer.pts()).unwrap().nseconds(),
                duration: buffer.duration().map(gst::ClockTime::nseconds),
                data: buffer.map_readable().unwrap().to_vec(),
            });
            samples.1 = sample.caps().unwrap().to_string();
            Ok(gst::FlowSuccess::Ok)
        });
        sink.set_callbacks(callbacks.build());
        found
    };
    let (video, meta) = (collect(&video), collect(&meta));
    run(&pipeline);
    let mut times: Vec<_> = video.lock().unwrap().0.iter().map(|found| found.start).collect();
    times.sort_unstable();
    let (found, caps) = std::mem::take(&mut *meta.lock().unwrap());
    (times, found, caps)
}

/// That every record is at the time of its picture, and that none is missing.
fn assert_records(times: &[u64], found: &[Found], reader: impl Fn(&[u8]) -> String) {
    assert_eq!(times.len() as u64, FRAMES);
    let mut at = Vec::new();
    for buffer in found {
        for record in lines(&reader(&buffer.data)) {
            // To a millisecond, as containers round.
            let picture = times[record.seq as usize];
            assert!(buffer.start.abs_diff(picture) <= 1_000_000, "{record:?} at {}", buffer.start);
            check(&record);
            at.push(record.seq);
        }
    }
    at.dedup();
    assert_eq!(at, CHANGES);
}

/// That a record says what was put on its frame.
fn check(record: &Record) {
    let faces = results(record.seq).faces;
    let face = faces.iter().find(|f| f.expression.track_id == record.expression.track_id);
    match face {
        Some(face) => assert_eq!(record.expression, face.expression),
        None => assert_eq!(record.expression.status, Status::NoFace),
    }
}

fn text(data: &[u8]) -> String {
    let text = String::from_utf8(data.to_vec()).unwrap();
    // Demuxers give text as mark-up, and some end it with a zero.
    let text = text.trim_end_matches('\0').replace("&quot;", "\"").replace("&lt;", "<");
    text.replace("&gt;", ">").replace("&apos;", "'").replace("&amp;", "&")
}

/// Cues as (start, end, text), in ms since the first picture.
fn cues(times: &[u64], found: &[Found]) -> Vec<(u64, u64, String)> {
    let ms = |ns: u64| (ns + 500_000) / 1_000_000;
    let of = |f: &Found| {
        let start = f.start - times[0];
        (ms(start), ms(start + f.duration.unwrap()), text(&f.data))
    };
    // MP4 fills the time without text with empty cues.
    found.iter().map(of).filter(|(_, _, text)| !text.is_empty()).collect()
}

/// All cues of the film.
fn expected_cues() -> Vec<(u64, u64, String)> {
    let text = |seq| {
        let line = |f: &Face| {
            let id = f.expression.track_id.unwrap();
            format!("#{id} {} 75 %", f.expression.label.as_ref().unwrap())
        };
        results(seq).faces.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let starts = (0..FRAMES).step_by(5).filter(|seq| !results(*seq).faces.is_empty());
    starts.map(|seq| (seq * 40, (seq + 5) * 40, text(seq))).collect()
}

#[test]
fn subtitles_in_matroska() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mkv");
    write("matroskamux", "", "text/x-raw", &path);
    let (times, found, caps) = read("matroskademux", &path);
    assert!(caps.starts_with("text/x-raw"), "{caps}");
    assert_eq!(cues(&times, &found), expected_cues());
}

#[test]
fn records_in_matroska() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mkv");
    write("matroskamux", "text=records", "text/x-raw", &path);
    let (times, found, _) = read("matroskademux", &path);
    assert_records(&times, &found, text);
}

#[test]
fn subtitles_in_mp4() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    write("mp4mux", "fill=true", "text/x-raw", &path);
    let (times, found, caps) = read("qtdemux", &path);
    assert!(caps.starts_with("text/x-raw"), "{caps}");
    assert_eq!(cues(&times, &found), expected_cues());
}

#[test]
fn records_in_mp4() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    write("mp4mux", "text=records fill=true", "text/x-raw", &path);
    let (times, found, _) = read("qtdemux", &path);
    let found: Vec<_> = found.into_iter().filter(|f| !text(&f.data).is_empty()).collect();
    assert_records(&times, &found, text);
}

#[test]
fn klv_in_a_transport_stream() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.ts");
    write("mpegtsmux", "", "meta/x-klv", &path);
    let (times, found, caps) = read("tsdemux", &path);
    assert!(caps.starts_with("meta/x-klv"), "{caps}");
    assert_records(&times, &found, from_klv);
}

#[test]
fn id3_in_a_transport_stream() {
    init();
    let muxer = gst::ElementFactory::find("mpegtsmux").unwrap();
    if !muxer.can_sink_any_caps(&gst::Caps::builder("meta/x-id3").field("parsed", true).build()) {
        println!("skipped: mpegtsmux takes meta/x-id3 from GStreamer 1.24 on");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.ts");
    write("mpegtsmux", "", "meta/x-id3", &path);
    let (times, found) = read_by_ffmpeg(&path);
    assert_records(&times, &found, from_id3);
}

/// The pictures' times in the order of showing, and the packets of the data stream; tsdemux leaves
/// ID3 as mpegtsmux writes it alone.
fn read_by_ffmpeg(path: &Path) -> (Vec<u64>, Vec<Found>) {
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output = command.args(["-v", "error"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let path = path.to_str().unwrap();
    let times = |stream| {
        let entries = "packet=pts_time";
        let arguments = ["-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0"];
        let text = String::from_utf8(run("ffprobe", &[&arguments[..], &[path]].concat())).unwrap();
        let lines = text.lines().map(|line| line.trim_matches(',')).filter(|l| !l.is_empty());
        let mut times: Vec<_> =
            lines.map(|seconds| (seconds.parse::<f64>().unwrap() * 1e9) as u64).collect();
        times.sort_unstable();
        times
    };
    let data = run("ffmpeg", &["-i", path, "-map", "0:d", "-c", "copy", "-f", "data", "-"]);
    let mut rest = &data[..];
    let found = times("d").into_iter().map(|start| {
        let size = 10 + rest[6..10].iter().fold(0, |n, b| n << 7 | usize::from(*b));
        let (tag, after) = rest.split_at(size);
        rest = after;
        Found { start, duration: None, data: tag.to_vec() }
    });
    let found = found.collect();
    assert!(rest.is_empty());
    (times("v"), found)
}
