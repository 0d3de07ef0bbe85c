// SPDX-License-Identifier: MPL-2.0

//! Small pictures of faces, for pages that are to show them. The footage is played once more for
//! them, so that nothing has to be kept before it is known which moments matter.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFormat, VideoFrame, VideoInfo};
use gstdfer::core::Rect;

use crate::player::make;
use crate::predict::{Key, open};
use crate::shown;

/// Pixels.
const HEIGHT: u32 = 96;
/// Side of the square around a face, in its heights.
const MARGIN: f32 = 1.25;
/// Times of frames are rounded.
const GLITCH: u64 = 1_000_000;
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// Takes them while the footage plays.
struct Camera {
    /// In order of time, with the place in `taken`.
    wanted: VecDeque<(usize, Key)>,
    newest: Option<gst::Sample>,
    taken: Vec<Option<String>>,
}

/// The face at each of `moments`, as `data:` addresses; `None` where there is no picture.
pub fn take(path: &Path, rate: i32, moments: &[Key]) -> Result<Vec<Option<String>>, String> {
    let mut wanted: Vec<_> = moments.iter().copied().enumerate().collect();
    wanted.sort_by_key(|(_, key)| key.t);
    let taken = vec![None; moments.len()];
    let camera = Arc::new(Mutex::new(Camera { wanted: wanted.into(), newest: None, taken }));

    let (place, sink) = (make("identity")?, make("fakesink")?);
    sink.set_property("sync", false);
    let pad = place.static_pad("src").ok_or("identity has no src pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, {
        let camera = camera.clone();
        move |pad, info| {
            let mut camera = camera.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(buffer), Some(caps)) = (info.buffer(), pad.current_caps()) {
                camera.see(buffer, &caps);
            }
            if !camera.wanted.is_empty() {
                return gst::PadProbeReturn::Ok;
            }
            // Nothing more is needed of the file.
            drop(camera);
            pad.push_event(gst::event::Eos::new());
            gst::PadProbeReturn::Drop
        }
    });
    let player = open(path, rate, &[place.clone(), sink], &place)?;
    player.start()?;
    player.play(|_| ())?;
    let mut camera = camera.lock().unwrap_or_else(PoisonError::into_inner);
    camera.end();
    let failed = camera.taken.iter().filter(|picture| picture.is_none()).count();
    if failed > 0 {
        tell!("dfer: {}: {failed} pictures could not be taken", shown::path(path));
    }
    Ok(std::mem::take(&mut camera.taken))
}

impl Camera {
    fn see(&mut self, buffer: &gst::Buffer, caps: &gst::CapsRef) {
        let t = buffer.pts().map_or(0, gst::ClockTime::nseconds);
        self.newest = Some(gst::Sample::builder().buffer(buffer).caps(&caps.to_owned()).build());
        while self.wanted.front().is_some_and(|(_, key)| key.t <= t + GLITCH) {
            self.shoot();
        }
    }

    /// What is wanted of the time after the last frame: a still is shown for some seconds.
    fn end(&mut self) {
        while !self.wanted.is_empty() {
            self.shoot();
        }
    }

    fn shoot(&mut self) {
        let Some((place, key)) = self.wanted.pop_front() else { return };
        self.taken[place] = self.newest.as_ref().and_then(|sample| encoded(sample, key.rect));
    }
}

/// The face as a JPEG.
fn encoded(sample: &gst::Sample, face: Option<Rect>) -> Option<String> {
    let from = VideoInfo::from_caps(sample.caps()?).ok()?;
    let (width, height) = (from.width(), from.height());
    let (x, y, w, h) = face.map_or((0, 0, width, height), |face| around(&face, width, height));
    let wide = (HEIGHT * w / h.max(1)).clamp(1, 4 * HEIGHT);
    let to = VideoInfo::builder(VideoFormat::Rgb, wide, HEIGHT);
    // The converter refuses what changes the course of time.
    let to = to.fps(from.fps()).interlace_mode(from.interlace_mode()).build().ok()?;
    let mut crop = VideoConverterConfig::new();
    crop.set_src_x(x as i32);
    crop.set_src_y(y as i32);
    crop.set_src_width(Some(w as i32));
    crop.set_src_height(Some(h as i32));
    let source = VideoFrame::from_buffer_readable(sample.buffer_owned()?, &from).ok()?;
    let target = gst::Buffer::with_size(to.size()).ok()?;
    let mut target = VideoFrame::from_buffer_writable(target, &to).ok()?;
    VideoConverter::new(&from, &to, Some(crop)).ok()?.frame(&source, &mut target);
    let face =
        gst::Sample::builder().buffer(&target.into_buffer()).caps(&to.to_caps().ok()?).build();
    let caps = gst::Caps::new_empty_simple("image/jpeg");
    let jpeg = gst_video::convert_sample(&face, &caps, Some(PATIENCE)).ok()?;
    let bytes = jpeg.buffer()?.map_readable().ok()?;
    Some(format!("data:image/jpeg;base64,{}", glib::base64_encode(&bytes)))
}

/// A square around a face, as far as it lies inside the frame: left, top, width, height.
fn around(face: &Rect, width: u32, height: u32) -> (u32, u32, u32, u32) {
    let side = face.w.max(face.h) * MARGIN;
    let span = |middle: f32, end: u32| {
        let low = (middle - side / 2.0).clamp(0.0, end.saturating_sub(1) as f32) as u32;
        let high = ((middle + side / 2.0).ceil().max(0.0) as u32).clamp(low + 1, end.max(low + 1));
        (low, high - low)
    };
    let ((x, w), (y, h)) =
        (span(face.x + face.w / 2.0, width), span(face.y + face.h / 2.0, height));
    (x, y, w, h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_stays_inside_the_frame() {
        let face = Rect { x: 80.0, y: 30.0, w: 16.0, h: 20.0 };
        assert_eq!(around(&face, 200, 100), (75, 27, 26, 26));
        let edge = Rect { x: -30.0, y: 90.0, w: 40.0, h: 40.0 };
        assert_eq!(around(&edge, 200, 100), (0, 85, 15, 15));
        let out = Rect { x: 500.0, y: 500.0, w: 40.0, h: 40.0 };
        assert_eq!(around(&out, 200, 100), (199, 99, 1, 1));
    }
}
