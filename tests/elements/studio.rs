// SPDX-License-Identifier: MPL-2.0

//! Drawn pictures, a detector that finds what is drawn, and a filter that is given both.

use gst::prelude::*;
use gst_check::Harness;
use gstdfer::core::analyst::Networks;
use gstdfer::core::networks::{CropSpec, Detection};
use gstdfer::core::pixels::Picture;
use gstdfer::core::types::{Ns, Point, Rect};
use gstdfer::dferfilter::DferFilter;
use gstdfer::filter::DferBaseExt;
use gstdfer::meta::{self, FrameResults};
use gstdfer::runtime::fake;

use crate::init;

pub const SIZE: (usize, usize) = (320, 240);
pub const HAPPY: usize = 0;
pub const SAD: usize = 1;

/// A face's place and how bright it is, 60 to 200.
pub type Drawn = (usize, usize, usize, usize, u8);

/// A chequered wall in RGB with faces on it. The wall is grey and the faces are not, which is how
/// [`find`] knows them; the wall has so much contrast that a face that comes or goes is no cut.
pub fn picture(width: usize, height: usize, faces: &[Drawn]) -> Vec<u8> {
    let stride = (width * 3).next_multiple_of(4);
    let mut data = vec![0; stride * height];
    for (y, row) in data.chunks_exact_mut(stride).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(3).take(width).enumerate() {
            let wall = if (x / 40 + y / 40) % 2 == 0 { 30 } else { 220 };
            pixel.fill(wall);
            let face = faces
                .iter()
                .find(|(fx, fy, w, h, _)| (*fx..fx + w).contains(&x) && (*fy..fy + h).contains(&y));
            if let Some((.., level)) = face {
                pixel.copy_from_slice(&[level + 45, *level, level - 45]);
            }
        }
    }
    data
}

/// The coloured boxes of a picture.
pub fn find(picture: &Picture) -> Vec<Detection> {
    let (width, height) = (picture.width, picture.height);
    let mut coloured: Vec<bool> =
        picture.data.chunks_exact(3).map(|p| i32::from(p[0]) - i32::from(p[2]) > 45).collect();
    let mut found = Vec::new();
    while let Some(first) = coloured.iter().position(|c| *c) {
        let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
        let mut open = vec![first];
        coloured[first] = false;
        while let Some(at) = open.pop() {
            let (x, y) = (at % width, at / width);
            (left, top) = (left.min(x), top.min(y));
            (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
            let beside = [
                (x > 0).then(|| at - 1),
                (x + 1 < width).then(|| at + 1),
                at.checked_sub(width),
                (y + 1 < height).then(|| at + width),
            ];
            for next in beside.into_iter().flatten() {
                if std::mem::take(&mut coloured[next]) {
                    open.push(next);
                }
            }
        }
        let (w, h) = ((right - left) as f32, (bottom - top) as f32);
        if w > 3.0 && h > 3.0 {
            found.push(detection(Rect::new(left as f32, top as f32, w, h)));
        }
    }
    found
}

/// An upright face that fills the box.
fn detection(rect: Rect) -> Detection {
    let CropSpec { template, face_box, .. } = CropSpec::upright();
    let landmarks = template.map(|p| {
        Point::new(
            rect.x + (p.x - face_box.x) / face_box.w * rect.w,
            rect.y + (p.y - face_box.y) / face_box.h * rect.h,
        )
    });
    Detection { rect, landmarks, score: 0.95 }
}

/// Bright faces are happy, dark ones sad.
pub fn by_brightness() -> Networks {
    fake::networks(find, |_, mean| if mean > 128.0 { HAPPY } else { SAD })
}

/// Everybody is happy until `t`, then sad.
pub fn happy_until(t: Ns) -> Networks {
    fake::networks(find, move |now, _| if now < t { HAPPY } else { SAD })
}

/// A filter named `filter` in that mode with these networks.
pub fn filter(mode: &str, networks: Networks) -> gst::Element {
    init();
    let element = gst::ElementFactory::make("dferfilter")
        .name("filter")
        .property_from_str("mode", mode)
        .build()
        .unwrap();
    element.downcast_ref::<DferFilter>().unwrap().set_networks(Some(networks));
    element
}

pub fn caps(width: usize, height: usize, rate: i32) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", "RGB")
        .field("width", width as i32)
        .field("height", height as i32)
        .field("framerate", gst::Fraction::new(rate, 1))
        .build()
}

/// The filter between two pads, at [`SIZE`] and 30 frames a second.
pub fn harness(element: &gst::Element) -> Harness {
    let mut h = Harness::with_element(element, Some("sink"), Some("src"));
    h.set_src_caps(caps(SIZE.0, SIZE.1, 30));
    h
}

/// A buffer of [`SIZE`] with these faces, at frame `i` of 30 a second.
pub fn frame(i: u64, faces: &[Drawn]) -> gst::Buffer {
    stamped(i * gst::ClockTime::SECOND / 30, picture(SIZE.0, SIZE.1, faces))
}

pub fn stamped(pts: gst::ClockTime, data: Vec<u8>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(data);
    buffer.get_mut().unwrap().set_pts(pts);
    buffer
}

/// Through the filter and read.
pub fn analysed(h: &mut Harness, buffer: gst::Buffer) -> FrameResults {
    let out = h.push_and_pull(buffer).unwrap();
    meta::read(&out).expect("every buffer has results")
}

pub fn stat(element: &gst::Element, name: &str) -> u64 {
    element.property::<gst::Structure>("stats").get(name).unwrap()
}
