// SPDX-License-Identifier: MPL-2.0

//! `dfertrtfilter` on footage, against `dferfilter`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gst::prelude::*;
use gst_app::AppSink;
use gstdfer::core::Rect;
use gstdfer::core::pixels::{Channels, Picture};
use gstdfer::core::result::Expression;
use gstdfer::meta;
use gstdfer::runtime::graph::Backend;
use gstdfer::runtime::models;
use gstdfer::runtime::onnxruntime::{OnnxRuntime, Provider, Settings};
use gstdfer::runtime::tract::Tract;

use crate::{library, provider};

fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstdfer::plugin_register_static().unwrap();
    });
}

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

/// What a filter said of a film.
struct Film {
    /// Width and height.
    size: (usize, usize),
    /// Faces of every buffer: where, and what.
    frames: Vec<Vec<(Rect, Expression)>>,
    stats: gst::Structure,
}

/// A film through a pipeline, buffer by buffer; its elements by name.
fn play(
    path: &Path,
    between: &str,
    library: Option<&Path>,
    mut each: impl FnMut(&gst::Sample),
) -> gst::Bin {
    init();
    let description = format!(
        "filesrc name=file ! decodebin ! videoconvert ! {between} ! \
         appsink name=end sync=false max-buffers=4"
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let named = |name| pipeline.by_name(name).unwrap();
    named("file").set_property("location", path.to_str().unwrap());
    if let Some(library) = library {
        named("filter").set_property("library", library.to_str().unwrap());
    }
    let end = named("end").downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut buffers = 0;
    while let Ok(sample) = end.pull_sample() {
        each(&sample);
        buffers += 1;
    }
    let errors: Vec<_> =
        pipeline.bus().unwrap().iter_filtered(&[gst::MessageType::Error]).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(buffers > 0, "{} has no picture", path.display());
    pipeline.upcast()
}

/// `filter` is to have an element named `filter`.
fn watch(path: &Path, filter: &str, library: Option<&Path>) -> Film {
    let (mut size, mut frames) = ((0, 0), Vec::new());
    let bin = play(path, filter, library, |sample| {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        size = (info.width() as usize, info.height() as usize);
        let results = meta::read(sample.buffer().unwrap()).expect("every buffer has results");
        frames.push(results.faces.into_iter().map(|f| (f.rect.unwrap(), f.expression)).collect());
    });
    let stats = bin.by_name("filter").unwrap().property("stats");
    Film { size, frames, stats }
}

/// The element under test, with the provider.
fn ours() -> String {
    match provider() {
        Provider::Cpu => "dfertrtfilter allow-cpu=true".to_owned(),
        gpu => format!("dfertrtfilter execution-provider={gpu}"),
    }
}

/// By how much probabilities may differ where the networks see the same.
const TOLERANCE: f32 = 1e-3;

/// Differences of the probabilities of two films that have the same faces, one per answer.
fn differences(found: &Film, want: &Film) -> Vec<f32> {
    let faces = |film: &Film| -> Vec<Expression> {
        film.frames.iter().flatten().map(|(_, e)| e.clone()).collect()
    };
    let both = faces(found).into_iter().zip(faces(want));
    let both = both.filter_map(|(a, b)| Some((a.probabilities?, b.probabilities?)));
    both.map(|(a, b)| {
        let each = a.0.iter().zip(&b.0).map(|((_, a), (_, b))| (a - b).abs());
        each.fold(0f32, f32::max)
    })
    .collect()
}

fn worst(differences: &[f32]) -> f32 {
    differences.iter().copied().fold(0.0, f32::max)
}

/// The face cut out of the film in one place, so that the networks see the same pictures to the
/// last bit: the same statuses and labels on every frame, and probabilities within [`TOLERANCE`].
fn same_answers(path: &Path, library: &Path, film: &Film) {
    let mut boxes: Vec<Rect> = film.frames.iter().flatten().map(|(rect, _)| *rect).collect();
    boxes.sort_by(|a, b| a.x.total_cmp(&b.x));
    let face = boxes[boxes.len() / 2];
    let (right, bottom) =
        (film.size.0 as f32 - face.x - face.w, film.size.1 as f32 - face.y - face.h);
    // Even numbers, as chroma has half the size.
    let [left, top, right, bottom] =
        [face.x, face.y, right, bottom].map(|edge| edge.max(0.0) as u32 / 2 * 2);
    let cut = format!("videocrop left={left} top={top} right={right} bottom={bottom}");
    let run = |filter: &str, library| {
        watch(path, &format!("{cut} ! {filter} name=filter mode=sync face-source=frame"), library)
    };
    let want = run("dferfilter", None);
    let found = run(&ours(), Some(library));
    assert_eq!(found.frames.len(), want.frames.len());
    for (i, (a, b)) in found.frames.iter().zip(&want.frames).enumerate() {
        let told = |faces: &[(Rect, Expression)]| -> Vec<_> {
            let face =
                |(_, e): &(Rect, Expression)| (e.status, e.label.clone(), e.key_times.clone());
            faces.iter().map(face).collect()
        };
        assert_eq!(told(a), told(b), "frame {i}");
    }
    let differences = differences(&found, &want);
    let name = path.file_name().unwrap().display();
    let worst = worst(&differences);
    println!("{name}: {} answers differ by {worst:.1e} at most", differences.len());
    assert!(!differences.is_empty() && worst <= TOLERANCE, "{name}: {worst}");
}

/// The same faces in every picture of the film: scores within [`TOLERANCE`], boxes that coincide.
fn same_faces(path: &Path, library: &Path) {
    let settings = Settings {
        library: Some(library.to_owned()),
        provider: Some(provider()),
        ..Settings::default()
    };
    let (ours, theirs): (Arc<dyn Backend>, Arc<dyn Backend>) =
        (OnnxRuntime::open(&settings).unwrap(), Arc::new(Tract));
    let [ours, theirs] = [ours, theirs].map(|backend| models::detector(&backend, None).unwrap());
    let spec = ours.spec().clone();
    let (width, height) = spec.frame_size;
    let between = format!(
        "videoscale ! video/x-raw,format=RGB,width={width},height={height},pixel-aspect-ratio=1/1"
    );
    let (mut faces, mut worst) = (0, 0f32);
    play(path, &between, None, |sample| {
        // Rows of a multiple of four bytes have no padding.
        let data = sample.buffer().unwrap().map_readable().unwrap().to_vec();
        let picture = Picture::new(Channels::Rgb, width, height, data).unwrap();
        let [found, want] =
            [&ours, &theirs].map(|d| d.detect(&picture, spec.score_threshold).unwrap());
        assert_eq!(found.len(), want.len(), "{found:?} is not {want:?}");
        for (a, b) in found.iter().zip(&want) {
            assert!(a.rect.iou(&b.rect) > 0.999, "{a:?} is not {b:?}");
            worst = worst.max((a.score - b.score).abs());
            faces += 1;
        }
    });
    let name = path.file_name().unwrap().display();
    println!("{name}: scores of {faces} faces differ by {worst:.1e} at most");
    assert!(faces > 0 && worst <= TOLERANCE, "{name}: {faces} faces, {worst}");
}

/// Both elements as they are used, detector and tracker included. Where a face is found depends on
/// where it was found before, and a window that lies a hundredth of a pixel elsewhere has some
/// pixels of another value: the answers stay close, not equal.
fn close_in_use(path: &Path, library: &Path, want: &Film) {
    let found = watch(path, &format!("{} name=filter mode=sync", ours()), Some(library));
    assert_eq!(found.frames.len(), want.frames.len());
    let pairs = found.frames.iter().zip(&want.frames);
    let label = |faces: &[(Rect, Expression)]| faces.first().and_then(|(_, e)| e.raw_label.clone());
    let same = pairs.filter(|(a, b)| a.len() == b.len() && label(a) == label(b)).count();
    let share = same as f64 / want.frames.len() as f64;
    let name = path.file_name().unwrap().display();
    let differences = differences(&found, want);
    let mean = differences.iter().sum::<f32>() / differences.len().max(1) as f32;
    println!(
        "{name}: {:.1} % of the frames say the same; probabilities differ by {mean:.1e} in the \
         mean, {:.1e} at most",
        share * 100.0,
        worst(&differences)
    );
    assert!(share >= 0.9 && mean <= 0.03, "{name}");
}

fn parity(path: &Path, library: &Path) {
    let want = watch(path, "dferfilter name=filter mode=sync", None);
    same_faces(path, library);
    same_answers(path, library, &want);
    close_in_use(path, library, &want);
}

/// The clip that the project made itself.
#[test]
fn the_demo_as_in_tract() {
    let Some(library) = library() else { return };
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("media/demo.mp4");
    // Away from the checkout it lies with the other footage.
    let clip = if clip.is_file() { Some(clip) } else { footage("demo.mp4") };
    parity(&clip.expect("the demo is there"), &library);
}

#[test]
fn real_footage_as_in_tract() {
    let Some(library) = library() else { return };
    for name in ["sad-to-happy.mp4", "neutral-to-happy.mp4", "carphone-qcif.mp4"] {
        if let Some(path) = footage(name) {
            parity(&path, &library);
        }
    }
}

#[test]
fn it_tells_what_it_runs_on() {
    let Some(library) = library() else { return };
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("media/demo.mp4");
    let filter = "dfertrtfilter name=filter mode=sync execution-provider=cpu max-batch=4";
    let stats = watch(&clip, filter, Some(&library)).stats;
    let text = |name| stats.get::<String>(name).unwrap();
    assert_eq!((text("provider").as_str(), text("device").as_str()), ("cpu", "CPU"));
    assert!(text("runtime").starts_with("ONNX Runtime 1."), "{stats}");
    assert_eq!(stats.get::<u64>("engine-cache-hits").unwrap(), 0);
    // Encoder and head alike.
    assert!(stats.get::<u64>("batched").unwrap() > stats.get::<u64>("encoded").unwrap(), "{stats}");
}
