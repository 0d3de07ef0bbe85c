// SPDX-License-Identifier: MPL-2.0

//! `dfertrtfilter` on the GPU of this machine: parity with tract, faces a second by batch size, and
//! how many 720p30 streams it holds. `scripts/gpu-check` runs it.
//!
//! `DFER_PROVIDER` names the execution provider (default `auto`; `cpu` tries the harness itself),
//! `DFER_MEDIA` the folder of `demo.mp4` away from the checkout, `DFER_MAX_BATCH` the `max-batch` of
//! the streams (default 64). `DFER_QUICK` leaves out what takes long, to see what a second start costs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use gstdfer::core::crop;
use gstdfer::core::decide::decide;
use gstdfer::core::history::History;
use gstdfer::core::networks::{ExpressionNetwork, FaceDetector, Feature};
use gstdfer::core::pixels::{Colorimetry, FrameView, Matrix, Outside, Picture, PixelFormat, Plane};
use gstdfer::core::types::{Rect, SECOND};
use gstdfer::runtime::graph::Backend;
use gstdfer::runtime::models;
use gstdfer::runtime::onnxruntime::{OnnxRuntime, Precision, Provider, Settings};
use gstdfer::runtime::tract::Tract;

const SIZE: (usize, usize) = (1280, 720);
const FRAME: usize = SIZE.0 * SIZE.1 * 3 / 2;
/// Frames kept of the clip.
const FRAMES: usize = 45;
/// Measured for this long each.
const SPAN: Duration = Duration::from_secs(2);
const LIVE: Duration = Duration::from_secs(7);
/// Of [`LIVE`], not counted: kernels are chosen when they are first used.
const START: Duration = Duration::from_secs(3);

fn main() {
    // Tests ask for nothing but that it builds.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    gst::init().expect("GStreamer starts");
    gstdfer::plugin_register_static().expect("the plugin registers");
    let frames = match frames() {
        Ok(frames) if !frames.is_empty() => frames,
        other => panic!("no frames: {:?}", other.err()),
    };
    let provider = std::env::var("DFER_PROVIDER").unwrap_or_else(|_| "auto".to_owned());
    let chosen = Provider::GPU.into_iter().chain([Provider::Cpu]).find(|p| p.name() == provider);
    let base = Settings { provider: chosen, ..Settings::default() };
    let opened = match OnnxRuntime::open(&base) {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("gpu: {error}");
            std::process::exit(1);
        }
    };
    for (name, fact) in opened.facts() {
        println!("{name}: {fact}");
    }
    let fp16 = opened.provider() == Provider::TensorRt;
    let precisions = [Precision::Fp32, Precision::Fp16].into_iter().take(1 + usize::from(fp16));
    for precision in precisions {
        let settings = Settings { precision, ..base.clone() };
        println!("\n{}:", precision.name());
        parity(&settings, &frames);
        batches(&settings, &frames);
        if std::env::var_os("DFER_QUICK").is_none() {
            streams(&provider, precision, &frames);
        }
    }
}

/// NV12 frames of [`SIZE`].
fn frames() -> Result<Vec<Vec<u8>>, String> {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("media");
    let clip = std::env::var_os("DFER_MEDIA").map_or_else(ours, PathBuf::from).join("demo.mp4");
    let description = format!(
        "filesrc location={} ! decodebin ! videoconvert ! videoscale ! \
         video/x-raw,format=NV12,width={},height={},pixel-aspect-ratio=1/1 ! \
         appsink name=end sync=false",
        clip.display(),
        SIZE.0,
        SIZE.1
    );
    let pipeline = gst::parse::launch(&description).map_err(|e| e.to_string())?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let end = pipeline.by_name("end").and_downcast::<AppSink>().expect("named so");
    pipeline.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
    let mut frames = Vec::new();
    while let (true, Ok(sample)) = (frames.len() < FRAMES, end.pull_sample()) {
        let map = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or("no buffer")?;
        frames.push(map[..FRAME].to_vec());
    }
    pipeline.set_state(gst::State::Null).map_err(|e| e.to_string())?;
    Ok(frames)
}

fn view(frame: &[u8]) -> FrameView<'_> {
    let (luma, chroma) = frame.split_at(SIZE.0 * SIZE.1);
    let planes = [Plane { data: luma, stride: SIZE.0 }, Plane { data: chroma, stride: SIZE.0 }];
    let colorimetry = Colorimetry { matrix: Matrix::Bt709, full_range: false };
    FrameView::new(PixelFormat::Nv12, SIZE.0, SIZE.1, &planes, colorimetry).expect("a valid frame")
}

/// Crops of the middle of every frame, windows for the detector of the same.
fn cut(
    frames: &[Vec<u8>],
    network: &dyn ExpressionNetwork,
    detector: &dyn FaceDetector,
) -> (Vec<Picture>, Vec<Picture>) {
    let face = Rect::new(SIZE.0 as f32 * 0.4, SIZE.1 as f32 * 0.25, 300.0, 380.0);
    let (spec, seen) = (network.spec(), detector.spec());
    let crop = crop::boxed(&spec.crop.face_box, &face, spec.size);
    let window = crop::track_window(&face, seen.track_size);
    let (side, track) = (spec.size, seen.track_size);
    let both = frames.iter().map(|frame| {
        let frame = view(frame);
        (
            frame.sample(&crop, side, side, spec.channels, Outside::Edge),
            frame.sample(&window, track, track, seen.channels, Outside::Edge),
        )
    });
    both.unzip()
}

fn networks(backend: &Arc<dyn Backend>) -> (Arc<dyn ExpressionNetwork>, Arc<dyn FaceDetector>) {
    let network = models::expression(backend, None, 5).unwrap_or_else(|e| panic!("{e}"));
    let detector = models::detector(backend, None).unwrap_or_else(|e| panic!("{e}"));
    (network, detector)
}

fn open(settings: &Settings) -> Arc<dyn Backend> {
    OnnxRuntime::open(settings).unwrap_or_else(|e| panic!("{e}"))
}

fn parity(settings: &Settings, frames: &[Vec<u8>]) {
    let ours = open(settings);
    let (network, detector) = networks(&ours);
    let theirs: Arc<dyn Backend> = Arc::new(Tract);
    let (want, _) = networks(&theirs);
    let (crops, _) = cut(frames, &*network, &*detector);
    let verdict = |network: &dyn ExpressionNetwork| {
        let features = network.encode_all(crops.clone()).unwrap_or_else(|e| panic!("{e}"));
        let sampling = network.spec().sampling;
        let step = (SECOND as f64 / sampling.rate) as u64;
        let mut history = History::new(sampling.window, sampling.rate);
        features.iter().enumerate().for_each(|(i, f)| history.push(i as u64 * step, f.clone()));
        let verdict = decide(network, &mut history, 5).unwrap_or_else(|e| panic!("{e}"));
        (features, verdict.probabilities)
    };
    let ((a, p), (b, q)) = (verdict(&*network), verdict(&*want));
    let values = |f: &Feature| match f {
        Feature::Embedding(values) => values.to_vec(),
        Feature::Picture(_) => Vec::new(),
    };
    let far =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    let embeddings =
        a.iter().zip(&b).map(|(a, b)| far(&values(a), &values(b))).fold(0f32, f32::max);
    let each = |p: &gstdfer::core::result::Probabilities| -> Vec<f32> {
        p.0.iter().map(|(_, p)| *p).collect()
    };
    let probabilities = far(&each(&p), &each(&q));
    println!(
        "parity with tract: embeddings differ by {embeddings:.1e}, probabilities by \
         {probabilities:.1e} at most ({})",
        if probabilities <= 1e-3 { "within 1e-3" } else { "NOT within 1e-3" }
    );
}

fn batches(settings: &Settings, frames: &[Vec<u8>]) {
    println!("\n| batch | encode, faces a second | refine, faces a second | loaded in |");
    println!("|---|---|---|---|");
    for batch in [1, 8, 32, 64] {
        let started = Instant::now();
        let backend = open(&Settings { max_batch: batch, ..settings.clone() });
        let (network, detector) = networks(&backend);
        let loaded = started.elapsed();
        if std::env::var_os("DFER_QUICK").is_some() {
            println!("| {batch} | | | {:.1} s |", loaded.as_secs_f64());
            continue;
        }
        let (crops, windows) = cut(frames, &*network, &*detector);
        let some =
            |all: &[Picture]| -> Vec<Picture> { all.iter().cycle().take(batch).cloned().collect() };
        let (crops, windows) = (some(&crops), some(&windows));
        let encode = rate(batch, || {
            network.encode_all(crops.clone()).unwrap_or_else(|e| panic!("{e}"));
        });
        let refine = rate(batch, || {
            detector.detect_all(&windows, 0.5).unwrap_or_else(|e| panic!("{e}"));
        });
        println!("| {batch} | {encode:.0} | {refine:.0} | {:.1} s |", loaded.as_secs_f64());
    }
}

/// Faces a second.
fn rate(faces: usize, mut work: impl FnMut()) -> f64 {
    (0..5).for_each(|_| work());
    let (started, mut runs) = (Instant::now(), 0);
    while started.elapsed() < SPAN {
        work();
        runs += 1;
    }
    (runs * faces) as f64 / started.elapsed().as_secs_f64()
}

/// Doubles the number of live streams until one of them is not served in time.
fn streams(provider: &str, precision: Precision, frames: &[Vec<u8>]) {
    println!();
    let mut held = 0;
    for count in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
        let Live { encoded, wanted, dropped, batch, cores, times } =
            live(provider, precision, frames, count);
        println!(
            "{count} streams of 720p30: {encoded} of {wanted} faces encoded, {dropped} jobs \
             dropped; {batch:.1} sets a run; {cores:.1} cores busy; {times}"
        );
        if dropped * 100 > encoded.max(1) || encoded * 100 < wanted * 95 {
            break;
        }
        held = count;
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("holds {held} streams of 720p30 with a face each ({cores} cores)");
}

/// What became of some live streams.
struct Live {
    /// Faces, by all streams.
    encoded: u64,
    /// Faces that streams in time would have had.
    wanted: u64,
    /// Jobs.
    dropped: u64,
    /// Sets of inputs in a run of a graph, in the mean.
    batch: f64,
    /// Processor time by time, the feeding of the frames included.
    cores: f64,
    /// Median and 95th percentile of every stage in the stream where it took longest.
    times: String,
}

fn live(provider: &str, precision: Precision, frames: &[Vec<u8>], count: usize) -> Live {
    let caps = gst_video::VideoInfo::builder(gst_video::VideoFormat::Nv12, 1280, 720)
        .fps(gst::Fraction::new(30, 1))
        .build()
        .and_then(|info| info.to_caps())
        .expect("valid caps");
    let most = std::env::var("DFER_MAX_BATCH").unwrap_or_else(|_| "64".to_owned());
    let pipelines: Vec<gst::Pipeline> = (0..count)
        .map(|_| {
            let description = format!(
                "appsrc name=start is-live=true format=time max-buffers=2 leaky-type=downstream ! \
                 dfertrtfilter name=filter mode=live max-batch={most} \
                 execution-provider={provider} precision={} ! fakesink sync=false",
                precision.name()
            );
            let pipeline = gst::parse::launch(&description).expect("a pipeline");
            let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
            let start = pipeline.by_name("start").and_downcast::<AppSrc>().expect("named so");
            start.set_caps(Some(&caps));
            pipeline.set_state(gst::State::Playing).expect("it starts");
            pipeline
        })
        .collect();
    let (before, busy_before, began) = std::thread::scope(|scope| {
        for pipeline in &pipelines {
            let start = pipeline.by_name("start").and_downcast::<AppSrc>().expect("named so");
            scope.spawn(move || {
                let began = Instant::now();
                // To and fro, so that no cut is seen.
                let all = frames.iter().chain(frames.iter().rev()).cycle();
                for (i, frame) in all.enumerate() {
                    let due = Duration::from_secs(i as u64) / 30;
                    if due > LIVE {
                        break;
                    }
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                    let mut buffer = gst::Buffer::from_slice(frame.clone());
                    let pts = gst::ClockTime::try_from(due).expect("seconds");
                    buffer.get_mut().expect("just made").set_pts(pts);
                    if start.push_buffer(buffer).is_err() {
                        break;
                    }
                }
            });
        }
        std::thread::sleep(START);
        (so_far(&pipelines), busy(), Instant::now())
    });
    let cores = (busy() - busy_before) / began.elapsed().as_secs_f64();
    let after = so_far(&pipelines);
    let since = |i: usize| after[i] - before[i];
    let times = slowest(&pipelines);
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Null).expect("it stops");
    }
    let wanted = count as u64 * (LIVE - START).as_secs() * 15;
    // The streams share their graphs: each counts the runs of all.
    let batch = since(3) as f64 / since(2).max(1) as f64;
    Live { encoded: since(0), wanted, dropped: since(1), batch, cores, times }
}

/// Processor time that this process has taken so far, in seconds.
fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything: user and system time are the 12th and the 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    // In hundredths of a second on every Linux of today.
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn stats(pipeline: &gst::Pipeline) -> gst::Structure {
    pipeline.by_name("filter").expect("named so").property("stats")
}

/// Faces encoded, jobs dropped, runs of graphs and sets in them, over all streams.
fn so_far(pipelines: &[gst::Pipeline]) -> [u64; 4] {
    let each = pipelines.iter().map(|pipeline| {
        let stats = stats(pipeline);
        ["encoded", "dropped", "batches", "batched"].map(|name| stats.get(name).unwrap_or(0))
    });
    each.fold([0; 4], |sum, one| std::array::from_fn(|i| sum[i] + one[i]))
}

/// `stage median/95th percentile` in milliseconds, each of the stream where it is longest.
fn slowest(pipelines: &[gst::Pipeline]) -> String {
    let stats: Vec<_> = pipelines.iter().map(stats).collect();
    let of = |name: &str| {
        let longest = stats.iter().filter_map(|s| s.get::<u64>(name).ok()).max();
        longest.unwrap_or(0) as f64 / 1e6
    };
    let stages = ["detect", "refine", "encode", "decide"];
    let known = stages.iter().filter(|stage| of(&format!("{stage}-p95")) > 0.0);
    let texts = known.map(|stage| {
        let (p50, p95) = (of(&format!("{stage}-p50")), of(&format!("{stage}-p95")));
        format!("{stage} {p50:.1}/{p95:.1} ms")
    });
    texts.collect::<Vec<_>>().join(", ")
}
