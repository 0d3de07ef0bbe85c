// SPDX-License-Identifier: MPL-2.0

//! Runs a file through the elements, as fast as they go.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use gstdfer::core::types::SECOND;

use crate::shown;
use crate::stop;
use crate::timeline::Timeline;

/// How often a signal to stop is looked for, and progress is told.
const POLL: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// How long the first picture may take. decodebin loses the error of a demuxer that fails while it is
/// being plugged in (`filtered_errors` in gstdecodebin2.c, GStreamer 1.22); nothing would end the wait.
const OPENING: gst::ClockTime = gst::ClockTime::from_seconds(if cfg!(test) { 1 } else { 30 });

/// How long the next picture may take after a signal; what was seen by then is kept.
const PATIENCE: Duration = Duration::from_secs(5);

const NO_VIDEO: &str = "has no video";

/// A pipeline from a file to a chain of elements, the first of which takes raw video.
pub struct Player {
    pipeline: gst::Pipeline,
    has_video: Arc<AtomicBool>,
    /// The first picture has come.
    is_open: Arc<AtomicBool>,
    /// The end of the stream is on its way, by itself or after a signal.
    is_ended: Arc<AtomicBool>,
    timeline: Arc<Mutex<Timeline>>,
    name: String,
}

/// Progress of a player.
pub struct Progress {
    pub position: Option<gst::ClockTime>,
    pub duration: Option<gst::ClockTime>,
}

/// An element, or an error that names what is not installed.
pub fn make(factory: &str) -> Result<gst::Element, String> {
    gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| format!("GStreamer's element {factory} is not installed"))
}

/// Why a path cannot be a video file; what GStreamer says of these is hard to read.
pub fn check(file: &Path) -> Result<(), String> {
    let found = std::fs::metadata(file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => e.to_string(),
    })?;
    if found.is_dir() {
        return Err("is a folder, a video file is wanted".to_owned());
    }
    if !found.is_file() {
        return Err("is no regular file".to_owned());
    }
    if found.len() == 0 {
        return Err("is empty (0 bytes)".to_owned());
    }
    let mut start = [0; 4];
    let is_gif = std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && &start == b"GIF8";
    // Seen of 1.22; 1.26 comes to the end, 1.24 was not tried.
    if is_gif && gst::version() < (1, 26, 0, 0) {
        let (major, minor, ..) = gst::version();
        return Err(format!(
            "is a GIF, at whose end GStreamer before 1.26 may hang (here: {major}.{minor}); convert it"
        ));
    }
    Ok(())
}

impl Player {
    /// `chain` is linked after a converter; `analyser` is the member of it whose results count.
    ///
    /// # Errors
    /// When the file cannot be a video, or elements are missing.
    pub fn new(
        file: &Path,
        chain: &[gst::Element],
        analyser: &gst::Element,
    ) -> Result<Self, String> {
        check(file)?;
        let source = make("filesrc")?;
        source.set_property("location", file);
        Self::of_source(&source, shown::name(file), chain, analyser)
    }

    /// The same for pictures that follow each other at `rate` frames a second.
    pub fn of_pictures(
        pictures: Vec<PathBuf>,
        caps: &gst::Caps,
        rate: i32,
        chain: &[gst::Element],
        analyser: &gst::Element,
    ) -> Result<Self, String> {
        let name = pictures.first().map_or_else(String::new, |p| shown::name(p));
        Self::of_source(&pictures_source(pictures, caps, rate), name, chain, analyser)
    }

    fn of_source(
        source: &gst::Element,
        name: String,
        chain: &[gst::Element],
        analyser: &gst::Element,
    ) -> Result<Self, String> {
        let decoder = make("decodebin")?;
        let convert = make("videoconvert")?;
        // Telephones store what they film lying on its side, and how to turn it.
        let upright = make("videoflip")?;
        upright.set_property_from_str("video-direction", "auto");
        let pipeline = gst::Pipeline::new();
        let told = |e: glib::BoolError| format!("the pipeline cannot be built: {e}");
        pipeline.add_many([source, &decoder, &convert, &upright]).map_err(told)?;
        pipeline.add_many(chain).map_err(told)?;
        source.link(&decoder).map_err(told)?;
        gst::Element::link_many([&convert, &upright].into_iter().chain(chain)).map_err(told)?;

        if let Some(bin) = decoder.dynamic_cast_ref::<gst::Bin>() {
            bin.connect_deep_element_added(|_, _, element| exact(element));
        }
        let has_video = Arc::new(AtomicBool::new(false));
        let input = convert.static_pad("sink").ok_or("videoconvert has no sink pad")?;
        let (is_open, is_ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        watch_input(&input, is_open.clone(), is_ended.clone());
        decoder.connect_pad_added({
            let has_video = has_video.clone();
            move |_, pad| {
                let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
                let is_video =
                    caps.structure(0).is_some_and(|s| s.name().starts_with("video/x-raw"));
                // Of several pictures the first is taken; sound is left alone.
                if is_video && !input.is_linked() && pad.link(&input).is_ok() {
                    has_video.store(true, Ordering::Relaxed);
                }
            }
        });
        decoder.connect_no_more_pads({
            let has_video = has_video.clone();
            move |decoder| {
                if !has_video.load(Ordering::Relaxed) {
                    gst::element_error!(decoder, gst::StreamError::WrongType, ("{NO_VIDEO}"));
                }
            }
        });
        let timeline = Arc::new(Mutex::new(Timeline::default()));
        watch(analyser, timeline.clone())?;
        Ok(Self { pipeline, has_video, is_open, is_ended, timeline, name })
    }

    /// Starts; on return everything after the decoder is open.
    pub fn start(&self) -> Result<(), String> {
        match self.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.first_error().unwrap_or_else(|| "cannot be played".to_owned())),
        }
    }

    /// Waits for the end, telling `progress` ten times a second. The results are those up to a
    /// signal when one came.
    pub fn finish(self, progress: impl FnMut(&Progress)) -> Result<Timeline, String> {
        let timeline = self.timeline.clone();
        let whole = self.play(progress)?;
        let mut timeline = timeline.lock().unwrap_or_else(PoisonError::into_inner);
        let mut timeline = std::mem::take(&mut *timeline);
        timeline.finish();
        timeline.whole = whole;
        match timeline.frames {
            0 if stop::requested() => return Err("interrupted; nothing was seen yet".to_owned()),
            0 => return Err("no picture could be decoded".to_owned()),
            _ => (),
        }
        Ok(timeline)
    }

    /// The same, for chains without results. False when it was left before its end, after a signal.
    pub fn play(mut self, mut progress: impl FnMut(&Progress)) -> Result<bool, String> {
        let ended = self.wait(&mut progress);
        // Files are closed on the way down.
        let _ = self.pipeline.set_state(gst::State::Null);
        ended
    }

    fn wait(&mut self, progress: &mut impl FnMut(&Progress)) -> Result<bool, String> {
        let bus = self.pipeline.bus().ok_or("the pipeline has no bus")?;
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Warning];
        let (mut warned, mut waited) = (false, gst::ClockTime::ZERO);
        loop {
            let Some(message) = bus.timed_pop_filtered(POLL, &wanted) else {
                if !self.is_open.load(Ordering::Relaxed) {
                    waited += POLL;
                    if stop::requested() {
                        return Ok(false);
                    }
                    if waited > OPENING {
                        return Err(format!("no picture came within {} s", OPENING.seconds()));
                    }
                }
                // The stream ends with its next picture, which may not come.
                let is_stuck = !self.is_ended.load(Ordering::Relaxed);
                if is_stuck && stop::since().is_some_and(|since| since > PATIENCE) {
                    return Ok(false);
                }
                progress(&Progress {
                    position: self.pipeline.query_position(),
                    duration: self.pipeline.query_duration(),
                });
                continue;
            };
            match message.view() {
                gst::MessageView::Error(error) => return Err(self.told(error)),
                gst::MessageView::Warning(warning) => {
                    // The first one; a damaged file may bring one for every picture.
                    if !std::mem::replace(&mut warned, true) {
                        let cause = shown::text(warning.error().message());
                        tell!("dfer: {}: warning: {cause}", self.name);
                    }
                }
                _ => {
                    self.compare_length();
                    return Ok(true);
                }
            }
        }
    }

    /// A file that was cut short ends like a whole one; only its header knows better.
    fn compare_length(&self) {
        let told = self.pipeline.query_duration::<gst::ClockTime>().map(|d| d.nseconds());
        let timeline = self.timeline.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = timeline.end.saturating_sub(timeline.start);
        // The last picture of slow films lasts long.
        let slack = SECOND + seen / timeline.frames.max(1);
        if let Some(told) = told
            && timeline.frames > 0
            && seen + slack < told
            && !stop::requested()
        {
            let (name, seen, told) = (&self.name, shown::seconds(seen), shown::seconds(told));
            tell!("dfer: {name}: warning: its pictures end after {seen} of {told}");
        }
    }

    fn first_error(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(self.told(error)),
            _ => None,
        }
    }

    fn told(&self, message: &gst::message::Error) -> String {
        let error = message.error();
        // Sound alone makes the demuxer fail because nobody takes it.
        let is_ours = error.matches(gst::StreamError::Failed)
            || error.matches(gst::StreamError::WrongType)
            || error.matches(gst::StreamError::TypeNotFound);
        if is_ours && !self.has_video.load(Ordering::Relaxed) {
            return match error.message() {
                NO_VIDEO => NO_VIDEO.to_owned(),
                cause => format!("has no video that can be decoded ({})", shown::text(cause)),
            };
        }
        let cause = shown::text(error.message());
        let is_sink = |element: &gst::Element| {
            element.has_property("location") && element.num_src_pads() == 0
        };
        match message.src().and_then(|source| source.downcast_ref()).is_some_and(is_sink) {
            true => format!("the video with results cannot be written: {cause}"),
            false => cause,
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tell!("dfer: {}: the pipeline did not stop", self.name);
        }
    }
}

/// Makes a decoder of JPEG exact, as libjpeg's own default is and what networks are trained on;
/// GStreamer's default is faster and off by some levels.
fn exact(decoder: &gst::Element) {
    if decoder.has_property("idct-method") {
        decoder.set_property_from_str("idct-method", "islow");
    }
}

/// Files as they are, one buffer each, read when they are wanted.
fn pictures_source(pictures: Vec<PathBuf>, caps: &gst::Caps, rate: i32) -> gst::Element {
    let (rate, second) = (rate.max(1) as u64, gst::ClockTime::SECOND);
    let mut pictures = pictures.into_iter().zip(0u64..);
    let need_data = move |source: &gst_app::AppSrc, _: u32| {
        let Some((path, n)) = pictures.next() else {
            let _ = source.end_of_stream();
            return;
        };
        match std::fs::read(&path) {
            Ok(bytes) => {
                let mut buffer = gst::Buffer::from_mut_slice(bytes);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(second * n / rate);
                    buffer.set_duration(second / rate);
                }
                // Refused only when the pipeline is ending.
                let _ = source.push_buffer(buffer);
            }
            Err(e) => {
                let name = shown::name(&path);
                gst::element_error!(source, gst::ResourceError::Read, ("{name}: {e}"));
            }
        }
    };
    let callbacks = gst_app::AppSrcCallbacks::builder().need_data(need_data).build();
    let source = gst_app::AppSrc::builder().caps(caps).format(gst::Format::Time).build();
    source.set_callbacks(callbacks);
    source.upcast()
}

/// Notes that pictures come. After a signal the stream ends here, so that everything behind it is
/// finished as at the end of the file.
fn watch_input(pad: &gst::Pad, is_open: Arc<AtomicBool>, is_ended: Arc<AtomicBool>) {
    let which = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(which, move |pad, info| {
        if let Some(event) = info.event() {
            if event.type_() == gst::EventType::Eos {
                is_ended.store(true, Ordering::Relaxed);
            }
            return gst::PadProbeReturn::Ok;
        }
        is_open.store(true, Ordering::Relaxed);
        if !stop::requested() {
            return gst::PadProbeReturn::Ok;
        }
        is_ended.store(true, Ordering::Relaxed);
        pad.send_event(gst::event::Eos::new());
        info.flow_res = Err(gst::FlowError::Eos);
        gst::PadProbeReturn::Handled
    });
}

/// Width and height that caps speak of.
fn size(caps: &gst::CapsRef) -> Option<(i32, i32)> {
    let format = caps.structure(0)?;
    Some((format.get("width").ok()?, format.get("height").ok()?))
}

/// Writes down what `analyser` says of every buffer.
fn watch(analyser: &gst::Element, timeline: Arc<Mutex<Timeline>>) -> Result<(), String> {
    let pad = analyser.static_pad("src").ok_or("the analyser has no src pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let results = info.buffer().and_then(|b| Some((b, gstdfer::meta::read(b)?)));
        if let Some((buffer, results)) = results {
            let mut timeline = timeline.lock().unwrap_or_else(PoisonError::into_inner);
            if timeline.size.is_none() {
                timeline.size = pad.current_caps().as_deref().and_then(size);
            }
            let t = buffer.pts().map_or(timeline.end, gst::ClockTime::nseconds);
            timeline.observe(t, buffer.duration().map(gst::ClockTime::nseconds), &results);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_which_nothing_comes_is_given_up() {
        gst::init().unwrap();
        let (silent, sink) = (make("appsrc").unwrap(), make("fakesink").unwrap());
        let player =
            Player::of_source(&silent, "silent".to_owned(), std::slice::from_ref(&sink), &silent);
        let player = player.unwrap();
        player.start().unwrap();
        assert_eq!(player.finish(|_| ()).err().unwrap(), "no picture came within 1 s");
    }
}
