// SPDX-License-Identifier: MPL-2.0

//! Models from files: what cannot be used is told once and clearly, and a network that somebody
//! else made works like the built-in one.

use std::fs;
use std::path::Path;

use gst::prelude::*;
use gstdfer::core::result::Status;
use gstdfer::meta;

use crate::common::folder::{self, Folder};
use crate::init;
use crate::studio::{SIZE, harness, picture, stamped, stat};

/// The errors on the bus of a pipeline that is started with that model.
fn errors(property: &str, path: &Path) -> Vec<String> {
    init();
    let description = "videotestsrc num-buffers=3 ! dferfilter name=filter mode=sync ! fakesink";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let element = pipeline.by_name("filter").unwrap();
    element.set_property(property, path.to_str().unwrap());
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    // Before it is stopped, which empties the bus.
    let errors = pipeline
        .bus()
        .unwrap()
        .iter_filtered(&[gst::MessageType::Error])
        .map(|m| match m.view() {
            gst::MessageView::Error(e) => e.error().to_string(),
            _ => unreachable!(),
        })
        .collect();
    pipeline.set_state(gst::State::Null).unwrap();
    errors
}

/// Exactly one error, with all of these in it.
fn one_error(property: &str, path: &Path, words: &[&str]) {
    let errors = errors(property, path);
    assert_eq!(errors.len(), 1, "{errors:?}");
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is not in {:?}", errors[0]);
    }
}

type Make = fn() -> Folder;
/// Property, a good model for it, and one of its graphs.
const BOTH: [(&str, Make, &str); 2] = [
    ("model", folder::factored, "encoder.onnx"),
    ("detector-model", folder::detector, "detector.onnx"),
];

#[test]
fn a_missing_model_is_one_error() {
    for (property, make, graph) in BOTH {
        let folder = make();
        let missing = folder.file("nowhere/model.toml");
        one_error(property, &missing, &[missing.to_str().unwrap(), "no such file"]);
        fs::remove_file(folder.file(graph)).unwrap();
        one_error(property, folder.path(), &[folder.file(graph).to_str().unwrap(), "no such file"]);
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_one_error() {
    for (property, make, graph) in BOTH {
        let folder = make();
        fs::remove_file(folder.file(graph)).unwrap();
        fs::create_dir(folder.file(graph)).unwrap();
        one_error(property, folder.path(), &[folder.file(graph).to_str().unwrap(), "folder"]);
        let empty = tempfile::tempdir().unwrap();
        one_error(
            property,
            empty.path(),
            &[empty.path().to_str().unwrap(), "model.toml", "no such file"],
        );
    }
}

#[test]
fn a_truncated_or_exchanged_graph_is_one_error() {
    for (property, make, graph) in BOTH {
        let folder = make();
        let whole = fs::read(folder.file(graph)).unwrap();
        fs::write(folder.file(graph), &whole[..whole.len() / 2]).unwrap();
        one_error(property, folder.path(), &[folder.path().to_str().unwrap(), graph, "SHA-256"]);
        // Truncated before the hash was taken.
        let folder = make().with_graph(graph, &whole[..whole.len() / 2]);
        one_error(property, folder.path(), &[folder.path().to_str().unwrap(), graph]);
    }
}

#[test]
fn a_model_of_another_shape_is_one_error() {
    let folder = folder::factored().edited("size = 16", "size = 32");
    one_error("model", folder.path(), &[folder.path().to_str().unwrap(), "encoder.onnx"]);
    let folder = folder::detector();
    one_error("model", folder.path(), &[folder.path().to_str().unwrap(), "detector"]);
}

#[test]
fn after_an_error_the_element_starts_with_a_good_model() {
    init();
    let element = gst::ElementFactory::make("dferfilter").build().unwrap();
    element.set_property("model", "/nowhere/model.toml");
    assert!(element.set_state(gst::State::Paused).is_err());
    element.set_state(gst::State::Null).unwrap();
    let folder = folder::factored();
    element.set_property("model", folder.path().to_str().unwrap());
    assert!(element.set_state(gst::State::Paused).is_ok());
    element.set_state(gst::State::Null).unwrap();
}

/// Two seconds of whole-frame faces of that brightness through a model from a folder.
fn through(folder: &Folder, level: impl Fn(u64) -> u8) -> (gst::Element, Vec<meta::FrameResults>) {
    init();
    let element = gst::ElementFactory::make("dferfilter")
        .property_from_str("mode", "sync")
        .property_from_str("face-source", "frame")
        .property("model", folder.path().to_str().unwrap())
        .property("min-confidence", 0.0f32)
        .property("min-quality", 0.0f32)
        .build()
        .unwrap();
    let mut h = harness(&element);
    let results = (0..90).map(|i| {
        let data = picture(SIZE.0, SIZE.1, &[(0, 0, SIZE.0, SIZE.1, level(i))]);
        let out = h.push_and_pull(stamped(i * gst::ClockTime::SECOND / 30, data)).unwrap();
        meta::read(&out).unwrap()
    });
    let results = results.collect();
    (element, results)
}

/// A network from whole clips of pixels to classes, as others make them: class k of the test's
/// network is as likely as frame k of the clip is bright, so a face that grows darker is `happy`
/// (the first frame is brightest), and one that grows brighter is `neutral`, the third.
#[test]
fn a_clip_network_of_somebody_else() {
    for layout in ["BTCHW", "BCTHW"] {
        let folder = folder::clip(layout);
        for (rising, label) in [(false, "happy"), (true, "neutral")] {
            let level = |i: u64| if rising { 60 + i as u8 } else { 150 - i as u8 };
            let (element, results) = through(&folder, level);
            let e = &results.last().unwrap().faces[0].expression;
            assert_eq!(e.status, Status::Stable, "{layout}: {e:?}");
            assert_eq!(e.label.as_deref(), Some(label), "{layout}: {e:?}");
            // Where the first three frames of a short clip are one, it votes for the first class.
            assert!(e.clips == Some(5) && e.votes >= Some(3), "{layout}: {e:?}");
            assert!(
                e.agreement.unwrap() > 0.99 && e.agreement.unwrap() < 1.0,
                "the clips differ: {e:?}"
            );
            assert_eq!(e.key_times.len(), 1, "one key moment");
            assert!(e.model.as_deref().unwrap().starts_with("plain@"), "{e:?}");
            let classes: Vec<_> =
                e.probabilities.as_ref().unwrap().0.iter().map(|(c, _)| c.to_string()).collect();
            assert_eq!(classes, ["happy", "sad", "neutral"]);
            assert_eq!(stat(&element, "encoded"), 45);
        }
    }
}

#[test]
fn a_factored_model_of_somebody_else() {
    let (_, results) = through(&folder::factored(), |_| 150);
    let e = &results.last().unwrap().faces[0].expression;
    assert_eq!(e.clips, Some(5), "{e:?}");
    assert!(e.model.as_deref().unwrap().starts_with("tiny@"), "{e:?}");
    assert!(e.agreement.unwrap() > 0.999, "the same in every clip");
}
