// SPDX-License-Identifier: MPL-2.0

//! `dfertrtfilter` where its library cannot be used: it is there, and starting it says what to do.

use std::fs;
use std::path::Path;
use std::process::Command;

use gst::prelude::*;

use crate::init;
use crate::studio::{by_brightness, frame, harness};

/// The errors on the bus of a pipeline that is started with that library.
fn errors(library: &Path) -> Vec<String> {
    init();
    let description = "videotestsrc num-buffers=3 ! dfertrtfilter name=filter mode=sync ! fakesink";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("filter").unwrap().set_property("library", library.to_str().unwrap());
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    let bus = pipeline.bus().unwrap();
    let errors = bus.iter_filtered(&[gst::MessageType::Error]).map(|m| match m.view() {
        gst::MessageView::Error(e) => e.error().to_string(),
        _ => unreachable!(),
    });
    let errors = errors.collect();
    pipeline.set_state(gst::State::Null).unwrap();
    errors
}

/// Exactly one error, with the library, the reason, and how to get a good one.
fn one_error(library: &Path, reason: &str) {
    let errors = errors(library);
    assert_eq!(errors.len(), 1, "{errors:?}");
    let words = ["ONNX Runtime", "pip install onnxruntime-gpu", "ORT_DYLIB_PATH", reason];
    for word in words.into_iter().chain(library.to_str()) {
        assert!(errors[0].contains(word), "{word:?} is not in {:?}", errors[0]);
    }
}

#[test]
fn a_missing_library_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    one_error(&folder.path().join("libonnxruntime.so"), "there is no such file");
    // A folder without one.
    one_error(folder.path(), "cannot read file data");
}

#[test]
fn a_file_that_is_no_library_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libonnxruntime.so.1.99.0");
    fs::write(&path, "not a library").unwrap();
    one_error(&path, "file too short");
}

/// Made by the C compiler: libraries that are not ONNX Runtime, or not one that is understood.
#[test]
fn a_library_of_the_wrong_version_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let library = |name: &str, code: &str| {
        let (source, path) = (folder.path().join("source.c"), folder.path().join(name));
        fs::write(&source, code).unwrap();
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&path).arg(&source).status();
        assert!(built.is_ok_and(|status| status.success()), "a C compiler is needed");
        path
    };
    let version = |text: &str| {
        format!(
            "static const void *api(unsigned v) {{ return 0; }}
             static const char *version(void) {{ return \"{text}\"; }}
             static const void *base[] = {{ api, version }};
             const void *OrtGetApiBase(void) {{ return base; }}"
        )
    };
    one_error(
        &library("libold.so", &version("1.16.3")),
        "it is version 1.16.3, 1.23 or a newer 1.x",
    );
    one_error(&library("libnext.so", &version("2.0.0")), "it is version 2.0.0");
    one_error(&library("libodd.so", &version("none")), "it is version none");
    one_error(&library("libother.so", "int other;"), "it is not ONNX Runtime");
}

/// What both filters share is the same element: with networks of the application's own, no library
/// is asked for.
#[test]
fn networks_of_the_application_need_no_library() {
    use gstdfer::filter::DferBaseExt;
    init();
    let element = gst::ElementFactory::make("dfertrtfilter")
        .property_from_str("mode", "sync")
        .property("library", "/nowhere")
        .build()
        .unwrap();
    let filter = element.downcast_ref::<gstdfer::dfertrtfilter::DferTrtFilter>().unwrap();
    filter.set_networks(Some(by_brightness()));
    let mut h = harness(&element);
    for i in 0..60 {
        let out = h.push_and_pull(frame(i, &[(100, 80, 60, 80, 180)])).unwrap();
        let results = gstdfer::meta::read(&out).unwrap();
        if i == 59 {
            assert_eq!(results.faces[0].expression.label.as_deref(), Some("happy"));
        }
    }
}
