// SPDX-License-Identifier: MPL-2.0

//! Files made with GStreamer.

use std::path::Path;

use gst::prelude::*;

/// Runs `SOURCE ! filesink location=PATH`.
pub fn make(source: &str, path: &Path) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!("{source} ! filesink name=file")).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("file").unwrap().set_property("location", path);
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &wanted).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A test picture moving for that many frames at 15 frames a second; no face in it.
pub fn video(frames: u32, path: &Path) {
    make(
        &format!(
            "videotestsrc num-buffers={frames} ! video/x-raw,width=160,height=120,framerate=15/1 \
             ! jpegenc ! avimux"
        ),
        path,
    );
}

/// A picture that is no face, of some kind: PNG or JPEG by the name's ending.
pub fn picture(kind: u32, path: &Path) {
    let encoder = if path.extension() == Some("png".as_ref()) { "pngenc" } else { "jpegenc" };
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (pattern, side) = (kind % 12, 64 + 8 * (kind / 12));
    let caps = format!("video/x-raw,width={side},height={side}");
    make(&format!("videotestsrc num-buffers=1 pattern={pattern} ! {caps} ! {encoder}"), path);
}
