// SPDX-License-Identifier: MPL-2.0

//! Conferencing: an application that listens to the bus and forwards what it hears, here to
//! standard output as one JSON object a line, at most one per face and change of expression.
//!
//! `cargo run --release --example conference -- VIDEO`; a real client has its camera source and
//! its encoder where this one has a file and a fakesink.

use std::error::Error;
use std::io::Write;

use gst::prelude::*;
use gstdfer::filter::MESSAGE;
use gstdfer::meta;

fn main() -> Result<(), Box<dyn Error>> {
    let video = std::env::args().nth(1).ok_or("usage: conference VIDEO")?;
    gst::init()?;
    gstdfer::plugin_register_static()?;
    let pipeline = gst::parse::launch(
        "filesrc name=file ! decodebin ! videoconvert ! dferfilter ! fakesink sync=false",
    )?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "not a pipeline")?;
    pipeline.by_name("file").ok_or("no file source")?.set_property("location", &video);
    let bus = pipeline.bus().ok_or("no bus")?;
    // What is wrong is told on the bus.
    let _ = pipeline.set_state(gst::State::Playing);

    let mut failed = None;
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Element(element) => {
                let Some(structure) = element.structure().filter(|s| s.name() == MESSAGE) else {
                    continue;
                };
                let line = serde_json::to_string(&meta::from_structure(structure)?)?;
                if let Err(error) = writeln!(std::io::stdout(), "{line}") {
                    failed = Some(error.to_string());
                    break;
                }
            }
            gst::MessageView::Error(error) => {
                failed = Some(format!("{video}: {}", error.error()));
                break;
            }
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null)?;
    failed.map_or(Ok(()), |e| Err(e.into()))
}
