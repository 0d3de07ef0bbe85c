// SPDX-License-Identifier: MPL-2.0

//! Faces from a detector of your own: whatever marks faces with region-of-interest metas of type
//! `face` upstream is used instead of the built-in detector. Here a probe stands for that detector
//! and marks one box on every frame.
//!
//! `cargo run --release --example upstream_faces -- VIDEO X Y WIDTH HEIGHT`

use std::error::Error;

use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;
use gstdfer::meta;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [video, x, y, w, h] = &args[..] else {
        return Err("usage: upstream_faces VIDEO X Y WIDTH HEIGHT".into());
    };
    let rect: (u32, u32, u32, u32) = (x.parse()?, y.parse()?, w.parse()?, h.parse()?);
    gst::init()?;
    gstdfer::plugin_register_static()?;
    let pipeline = gst::parse::launch(
        "filesrc name=file ! decodebin ! videoconvert ! identity name=detector ! \
         dferfilter mode=sync face-source=upstream ! appsink name=results sync=false",
    )?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "not a pipeline")?;
    let named = |name: &str| pipeline.by_name(name).ok_or("the pipeline lacks an element");
    named("file")?.set_property("location", video);
    let pad = named("detector")?.static_pad("src").ok_or("identity has a pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut() {
            let mut roi = VideoRegionOfInterestMeta::add(buffer.make_mut(), "face", rect);
            roi.set_id(7);
        }
        gst::PadProbeReturn::Ok
    });
    let sink =
        named("results")?.downcast::<gst_app::AppSink>().map_err(|_| "appsink is an AppSink")?;
    let bus = pipeline.bus().ok_or("no bus")?;
    // What is wrong is told on the bus.
    let _ = pipeline.set_state(gst::State::Playing);

    let (mut last, mut failed) = (String::new(), None);
    while failed.is_none() && !sink.is_eos() {
        failed = error(&bus);
        let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) else {
            continue;
        };
        let Some(results) = sample.buffer().and_then(meta::read) else { continue };
        for face in &results.faces {
            let e = &face.expression;
            let now = format!(
                "face {:?}: {} {}",
                e.track_id,
                e.status,
                e.label.as_deref().unwrap_or("-")
            );
            if now != last {
                println!("{now}");
                last = now;
            }
        }
    }
    // An error in the middle comes before the end of the stream that follows it.
    failed = failed.or_else(|| error(&bus));
    pipeline.set_state(gst::State::Null)?;
    match failed {
        Some(cause) => Err(format!("{video}: {cause}").into()),
        None if last.is_empty() => Err(format!("{video}: no results").into()),
        None => Ok(()),
    }
}

/// The first error that the bus tells of.
fn error(bus: &gst::Bus) -> Option<String> {
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(error.error().to_string()),
        _ => None,
    }
}
