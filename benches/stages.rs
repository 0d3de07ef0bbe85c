// SPDX-License-Identifier: MPL-2.0

//! What each stage costs, and what the design promises about it. `scripts/bench` runs it and keeps
//! the table in `docs/performance.md`. Times are CPU times of one thread; ratios are within one run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstdfer::core::crop;
use gstdfer::core::decide::decide;
use gstdfer::core::find;
use gstdfer::core::history::History;
use gstdfer::core::networks::{ExpressionNetwork, FaceDetector};
use gstdfer::core::pixels::{
    Channels, Colorimetry, FrameView, Matrix, Outside, PixelFormat, Plane,
};
use gstdfer::core::refine::{Followed, refine};
use gstdfer::core::types::{Rect, SECOND};
use gstdfer::runtime::graph::Backend;
use gstdfer::runtime::models;
use gstdfer::runtime::tract::Tract;

/// CPU time in milliseconds of one run on this thread, the mean of at least 0.4 s of them. CPU time,
/// because what else runs on the machine then counts for less.
fn cost(mut work: impl FnMut()) -> f64 {
    for _ in 0..5 {
        work();
    }
    let (started, mut runs) = (cpu(), 0);
    loop {
        for _ in 0..20 {
            work();
        }
        runs += 20;
        let spent = cpu() - started;
        if spent >= 0.4 {
            return spent / f64::from(runs) * 1e3;
        }
    }
}

fn row(what: &str, value: String, wanted: &str) {
    println!("| {what} | {value} | {wanted} |");
}

fn ms(value: f64) -> String {
    format!("{value:.2} ms")
}

fn main() {
    // Tests ask for nothing but that it builds.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let backend: Arc<dyn Backend> = Arc::new(Tract);
    let detector = models::detector(&backend, None).expect("the built-in detector loads");
    let network = models::expression(&backend, None, 5).expect("the built-in network loads");
    let single = models::expression(&backend, None, 1).expect("the built-in network loads");

    println!("| what | measured | wanted |\n|---|---|---|");
    stages(&*detector, &*network, &*single);
    gst::init().expect("GStreamer starts");
    gstdfer::plugin_register_static().expect("the plugin registers");
    pipelines();
}

fn stages(
    detector: &dyn FaceDetector,
    network: &dyn ExpressionNetwork,
    single: &dyn ExpressionNetwork,
) {
    let (w, h) = (1280, 720);
    let luma: Vec<u8> = (0..w * h).map(|i| ((i * 7919) >> 5) as u8).collect();
    let chroma = vec![128_u8; w * h / 2];
    let planes = [Plane { data: &luma, stride: w }, Plane { data: &chroma, stride: w }];
    let colorimetry = Colorimetry { matrix: Matrix::Bt709, full_range: false };
    let frame =
        FrameView::new(PixelFormat::Nv12, w, h, &planes, colorimetry).expect("a valid frame");
    let spec = detector.spec().clone();
    let (dw, dh) = spec.frame_size;
    let face = Rect::new(500.0, 200.0, 180.0, 220.0);

    let (fine_w, fine_h) = (dw * find::DETAIL, dh * find::DETAIL);
    let map = crop::letterbox(w, h, fine_w, fine_h);
    let shrink = cost(|| drop(frame.sample(&map, fine_w, fine_h, spec.channels, Outside::Gray)));
    row("720p frame to what is searched", ms(shrink), "");
    let fine = frame.sample(&map, fine_w, fine_h, spec.channels, Outside::Gray);
    let search = cost(|| drop(find::find(detector, &fine)));
    row("search it, nothing doubtful found", ms(search), "");
    let map = crop::letterbox(w, h, dw, dh);
    let picture = frame.sample(&map, dw, dh, spec.channels, Outside::Gray);
    let detect = cost(|| drop(detector.detect(&picture, 0.5)));
    row("detect, whole frame", ms(detect), "<= 5 ms");
    let size = network.spec().size;
    let patch = size * 5 / 2;
    let map = crop::track_window(&face, patch);
    let cut = cost(|| drop(frame.sample(&map, patch, patch, Channels::Rgb, Outside::Edge)));
    row("cut out one face of 720p", ms(cut), "");
    let picture = frame.sample(&map, patch, patch, Channels::Rgb, Outside::Edge);
    let followed = [Followed { patch: &picture, map: &map, face: &face }];
    let refine = cost(|| drop(refine(detector, &followed)));
    row("refine one tracked face, both sides", ms(refine), "");

    let small = crop::boxed(&network.spec().crop.face_box, &face, size);
    let crop = frame.sample(&small, size, size, network.spec().channels, Outside::Edge);
    let encode = cost(|| drop(network.encode(crop.clone())));
    row("encode one frame of a face", ms(encode), "");

    let sampling = network.spec().sampling;
    let mut history = History::new(sampling.window, sampling.rate);
    let step = (SECOND as f64 / sampling.rate) as u64;
    let feature = network.encode(crop.clone()).expect("the encoder runs");
    for i in 0..(sampling.window / step) {
        history.push(i * step, feature.clone());
    }
    let five = cost(|| drop(decide(network, &mut history, 5)));
    let one = cost(|| drop(decide(single, &mut history, 1)));
    row("decide, 5 clips", ms(five), "");
    row("decide, 1 clip", ms(one), "");

    // Between two decisions (0.2 s) a face is cut, refined and encoded three times.
    let frames = 3.0 * (cut + refine + encode);
    row(
        "5-clip agreement against one clip, all work of a decision",
        format!("{:.2} x", (frames + five) / (frames + one)),
        "<= 1.10 x",
    );
    let looks = (sampling.synopsis + sampling.moments * sampling.detail) as f64;
    let rerun = 5.0 * looks * encode + five;
    row(
        "re-running the encoder for every clip, against a decision from what is remembered",
        format!("{:.0} x", rerun / five),
        ">= 20 x",
    );
    row(
        "the same, against a decision and the three frames encoded for it",
        format!("{:.0} x", rerun / (3.0 * encode + five)),
        "",
    );
}

/// CPU seconds of this process so far, all threads.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
    let ticks: f64 =
        fields[11].parse::<f64>().expect("utime") + fields[12].parse::<f64>().expect("stime");
    ticks / 100.0
}

/// The clip as raw video of that size, in memory.
fn decoded(clip: &Path, width: i32, height: i32) -> (gst::Caps, Vec<gst::Buffer>) {
    let description = format!(
        "filesrc name=src ! decodebin ! videoconvert ! videoscale ! \
         video/x-raw,format=NV12,width={width},height={height} ! appsink name=sink sync=false"
    );
    let pipeline = gst::parse::launch(&description)
        .expect("stock elements")
        .downcast::<gst::Pipeline>()
        .expect("a pipeline");
    pipeline.by_name("src").expect("named").set_property("location", clip.to_str());
    let sink = pipeline
        .by_name("sink")
        .expect("named")
        .downcast::<gst_app::AppSink>()
        .expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let mut caps = None;
    let mut buffers = Vec::new();
    while buffers.len() < 240
        && let Ok(sample) = sink.pull_sample()
    {
        caps = sample.caps_owned();
        buffers.extend(sample.buffer_owned());
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    (caps.expect("a picture"), buffers)
}

/// CPU time of a filter over these buffers, per second of video and per buffer, and its decisions.
fn filtered(caps: &gst::Caps, buffers: &[gst::Buffer], setup: &str) -> (f64, f64, gst::Structure) {
    let description = format!(
        "appsrc name=src format=time block=true max-buffers=2 ! dferfilter name=filter {setup} ! fakesink sync=false"
    );
    let pipeline = gst::parse::launch(&description)
        .expect("our elements")
        .downcast::<gst::Pipeline>()
        .expect("a pipeline");
    let src =
        pipeline.by_name("src").expect("named").downcast::<gst_app::AppSrc>().expect("an appsrc");
    src.set_caps(Some(caps));
    pipeline.set_state(gst::State::Playing).expect("it plays");
    src.push_buffer(buffers[0].clone()).expect("it runs");
    std::thread::sleep(Duration::from_millis(300));
    let before = cpu();
    for buffer in &buffers[1..] {
        src.push_buffer(buffer.clone()).expect("it runs");
    }
    src.end_of_stream().expect("it runs");
    let bus = pipeline.bus().expect("a bus");
    let _ = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(120),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    let spent = cpu() - before;
    let stats = pipeline.by_name("filter").expect("named").property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).expect("it stops");
    let span = buffers.last().and_then(|b| b.pts()).unwrap_or_default().seconds_f64()
        - buffers[0].pts().unwrap_or_default().seconds_f64();
    (spent / span, spent / (buffers.len() - 1) as f64 * 1e3, stats)
}

/// Four heads in 720p: the clip in every quarter, each a second and a half ahead of the one before.
fn four(clip: &Path) -> (gst::Caps, Vec<gst::Buffer>) {
    let (caps, _) = decoded(clip, 1280, 720);
    let (_, quarters) = decoded(clip, 640, 360);
    let pixels: Vec<_> =
        quarters.iter().map(|b| b.map_readable().expect("system memory")).collect();
    let buffers = quarters.iter().enumerate().map(|(i, quarter)| {
        let mut data = vec![0; 1280 * 720 * 3 / 2];
        for k in 0..4 {
            let from = &pixels[(i + k * 45) % pixels.len()];
            let (left, top) = (k % 2 * 640, k / 2 * 360);
            // Luma, then chroma of half the rows; NV12 has rows of equal length in both.
            for (start, from, rows, top) in
                [(0, &from[..], 360, top), (1280 * 720, &from[640 * 360..], 180, top / 2)]
            {
                for (y, row) in from.chunks_exact(640).take(rows).enumerate() {
                    data[start + (top + y) * 1280 + left..][..640].copy_from_slice(row);
                }
            }
        }
        let mut buffer = gst::Buffer::from_mut_slice(data);
        buffer.get_mut().expect("ours alone").set_pts(quarter.pts());
        buffer
    });
    (caps, buffers.collect())
}

fn pipelines() {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("media/demo.mp4");
    let (caps, buffers) = decoded(&clip, 1280, 720);
    let (share, _, stats) = filtered(&caps, &buffers, "mode=sync");
    row(
        "one face, 720p30, detection included: share of one core",
        format!("{:.0} %", share * 100.0),
        "<= 35 %",
    );
    row("... decisions in that run", stats.get::<u64>("decided").unwrap_or(0).to_string(), "");

    let (caps, buffers) = four(&clip);
    let (share, _, stats) = filtered(&caps, &buffers, "mode=sync");
    row("four faces, 720p30: share of one core", format!("{:.0} %", share * 100.0), "<= 200 %");
    row("... decisions in that run", stats.get::<u64>("decided").unwrap_or(0).to_string(), "");

    let (caps, buffers) = decoded(&clip, 1920, 1080);
    let mut empty = gst::Buffer::with_size(buffers[0].size()).expect("memory");
    {
        let empty = empty.get_mut().expect("ours alone");
        let mut map = empty.map_writable().expect("writable");
        for (i, v) in map.iter_mut().enumerate() {
            *v = ((i * 31) >> 11) as u8;
        }
    }
    let quiet: Vec<gst::Buffer> = buffers
        .iter()
        .map(|b| {
            let mut copy = empty.clone();
            copy.make_mut().set_pts(b.pts());
            copy
        })
        .collect();
    let (_, per_buffer, _) = filtered(&caps, &quiet, "mode=sync detect-interval=10000000000");
    row("1080p buffer without a face, outside detection, CPU", ms(per_buffer), "<= 0.2 ms");
}
