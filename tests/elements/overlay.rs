// SPDX-License-Identifier: MPL-2.0

use gst::prelude::*;
use gst_check::Harness;
use gst_video::prelude::*;
use gst_video::{
    VideoCapsBuilder, VideoFormat, VideoFrame, VideoInfo, VideoOverlayCompositionMeta,
    VideoRegionOfInterestMeta as Roi,
};
use gstdfer::core::Rect;
use gstdfer::core::result::{Expression, Probabilities, Status};
use gstdfer::dferoverlay::{Anonymize, Show};
use gstdfer::meta::{self, Face, FrameResults};

use crate::init;

const CLASSES: [&str; 7] = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"];

/// A face in that status; its label is the class of that number.
fn face(id: u64, class: usize, status: Status, rect: Rect) -> Face {
    let label = matches!(status, Status::Stable | Status::Changing).then(|| CLASSES[class].into());
    let probabilities = CLASSES.iter().enumerate();
    let probabilities =
        probabilities.map(|(i, c)| ((*c).into(), if i == class { 0.7 } else { 0.05 }));
    let decided = status != Status::WarmingUp;
    let expression = Expression {
        probability: label.as_ref().map(|_| 0.7),
        label,
        probabilities: decided.then(|| Probabilities(probabilities.collect())),
        agreement: decided.then_some(if status == Status::Stable { 0.91 } else { 0.38 }),
        ..Expression::new(Some(id), status)
    };
    Face::new(rect, expression)
}

fn results(faces: Vec<Face>) -> FrameResults {
    FrameResults { stream: "filter".into(), seq: 0, faces, ignored: 0, ..FrameResults::default() }
}

fn one(status: Status) -> FrameResults {
    results(vec![face(7, 0, status, Rect::new(100.0, 80.0, 60.0, 80.0))])
}

fn overlay() -> gst::Element {
    init();
    gst::ElementFactory::make("dferoverlay").build().unwrap()
}

fn harness(element: &gst::Element, info: &VideoInfo) -> Harness {
    let mut h = Harness::with_element(element, Some("sink"), Some("src"));
    h.set_src_caps(info.to_caps().unwrap());
    h
}

fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    init();
    VideoInfo::builder(format, width, height).fps(25).build().unwrap()
}

/// A picture whose bytes repeat only after a long time, so that any change of order shows.
fn noise(info: &VideoInfo) -> gst::Buffer {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    gst::Buffer::from_slice((0..info.size()).map(|_| next()).collect::<Vec<_>>())
}

/// A grey picture with results on it.
fn grey(info: &VideoInfo, results: &FrameResults) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(vec![128; info.size()]);
    meta::attach(buffer.get_mut().unwrap(), results);
    buffer
}

fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// The places of the composition on a buffer.
fn attached(buffer: &gst::BufferRef) -> Vec<(i32, i32, u32, u32)> {
    let meta = buffer.meta::<VideoOverlayCompositionMeta>();
    meta.map_or(Vec::new(), |m| m.overlay().iter().map(|r| r.render_rectangle()).collect())
}

/// A harness whose other end takes compositions.
fn attaching(element: &gst::Element, info: &VideoInfo) -> Harness {
    let mut h = Harness::with_element(element, Some("sink"), Some("src"));
    h.add_propose_allocation_meta(VideoOverlayCompositionMeta::meta_api(), None);
    let features = [
        gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY,
        gst_video::CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION,
    ];
    h.set_sink_caps(VideoCapsBuilder::new().features(features).build());
    h.set_src_caps(info.to_caps().unwrap());
    h
}

#[test]
fn attaches_where_downstream_takes_compositions() {
    let info = info(VideoFormat::I420, 320, 240);
    let mut h = attaching(&overlay(), &info);
    let input = grey(&info, &one(Status::Stable));
    let before = bytes(&input);
    let out = h.push_and_pull(input).unwrap();
    assert!(bytes(&out) == before, "the picture itself is untouched");
    let places = attached(&out);
    assert_eq!(places.len(), 5, "four edges and a card: {places:?}");
    let around = |p: &&(i32, i32, u32, u32)| p.0 >= 96 && p.0 + p.2 as i32 <= 164 && p.1 >= 76;
    assert_eq!(places.iter().filter(around).count(), 4, "{places:?}");
    let out = h.push_and_pull(grey(&info, &results(vec![]))).unwrap();
    assert_eq!(attached(&out), [], "nothing left when the face is gone");
}

#[test]
fn unchanged_scenes_are_not_drawn_again() {
    let info = info(VideoFormat::I420, 320, 240);
    let mut h = attaching(&overlay(), &info);
    let mut seqnum = |results: &FrameResults| {
        let out = h.push_and_pull(grey(&info, results)).unwrap();
        let meta = out.meta::<VideoOverlayCompositionMeta>().unwrap();
        meta.overlay().seqnum()
    };
    let first = seqnum(&one(Status::Stable));
    assert_eq!(seqnum(&one(Status::Stable)), first);
    assert_ne!(seqnum(&one(Status::Uncertain)), first);
}

#[test]
fn joins_what_upstream_attached() {
    let info = info(VideoFormat::I420, 320, 240);
    let mut first = attaching(&overlay(), &info);
    let out = first.push_and_pull(grey(&info, &one(Status::Stable))).unwrap();
    let before = attached(&out).len();
    let second = overlay();
    second.set_property("disclosure", "Expressions are analysed");
    let mut h = attaching(&second, &info);
    let mut caps = info.to_caps().unwrap();
    let features = gst::CapsFeatures::new([
        gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY,
        gst_video::CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION,
    ]);
    caps.make_mut().set_features(0, Some(features));
    h.set_src_caps(caps);
    let out = h.push_and_pull(out).unwrap();
    assert_eq!(out.iter_meta::<VideoOverlayCompositionMeta>().count(), 1);
    assert_eq!(attached(&out).len(), before * 2 + 1);
}

/// Whether the picture differs inside the rows and columns that the drawing may touch, outside.
fn changed(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn blends_into_every_supported_format() {
    init();
    let template = overlay().static_pad("sink").unwrap().pad_template_caps();
    let formats = template.structure(0).unwrap().get::<gst::List>("format").unwrap();
    assert!(formats.len() > 60, "{}", formats.len());
    for format in formats.iter() {
        let format = VideoFormat::from_string(format.get::<&str>().unwrap());
        let info = info(format, 321, 241);
        let element = overlay();
        let mut h = harness(&element, &info);
        let input = grey(&info, &one(Status::Stable));
        let before = bytes(&input);
        let after = bytes(&h.push_and_pull(input).unwrap());
        let count = changed(&before, &after);
        assert!(count > 300 && count < before.len() / 3, "{format}: {count} of {}", before.len());
    }
}

#[test]
fn without_faces_pictures_are_untouched() {
    let info = info(VideoFormat::Nv12, 322, 242);
    let mut h = harness(&overlay(), &info);
    for results in [Some(results(vec![])), None] {
        let mut input = noise(&info);
        if let Some(results) = results {
            meta::attach(input.get_mut().unwrap(), &results);
        }
        let before = bytes(&input);
        assert!(bytes(&h.push_and_pull(input).unwrap()) == before);
    }
}

#[test]
fn properties_act_while_playing() {
    let info = info(VideoFormat::I420, 640, 360);
    let element = overlay();
    let mut h = attaching(&element, &info);
    let two = results(vec![
        face(1, 0, Status::Stable, Rect::new(100.0, 100.0, 80.0, 100.0)),
        face(2, 1, Status::Uncertain, Rect::new(400.0, 100.0, 80.0, 100.0)),
    ]);
    let mut count = || attached(&h.push_and_pull(grey(&info, &two)).unwrap()).len();
    assert_eq!(count(), 10);
    element.set_property("show", Show::Stable);
    assert_eq!(count(), 5);
    element.set_property("draw-box", false);
    assert_eq!(count(), 1);
    element.set_property("draw-label", false);
    assert_eq!(count(), 1, "the agreement is left");
    element.set_property("draw-agreement", false);
    assert_eq!(count(), 0);
    element.set_property("disclosure", "Expressions are analysed");
    assert_eq!(count(), 1);
    element.set_property("show", Show::All);
    element.set_property("draw-probabilities", true);
    assert_eq!(count(), 3);
}

/// A card beside the frame is not seen, and no font may end the pipeline.
#[test]
fn texts_fit_into_the_frame_whatever_their_font() {
    for (width, height) in [(96, 54), (320, 180), (640, 360)] {
        for font in [0.0, 60.0, 500.0] {
            let info = info(VideoFormat::I420, width, height);
            let element = overlay();
            element.set_property("font-size", font);
            element.set_property("draw-box", false);
            element.set_property("draw-probabilities", true);
            element.set_property("disclosure", "Facial expressions are analysed here. ".repeat(4));
            let mut h = attaching(&element, &info);
            let (w, h_) = (width as f32, height as f32);
            let rect = Rect::new(0.3 * w, 0.3 * h_, 0.2 * w, 0.4 * h_);
            let buffer = grey(&info, &results(vec![face(1, 0, Status::Stable, rect)]));
            let places = attached(&h.push_and_pull(buffer).unwrap());
            assert_eq!(places.len(), 2);
            for (x, y, w, h) in places {
                let inside = x >= 0 && y >= 0 && x as u32 + w <= width && y as u32 + h <= height;
                assert!(inside, "{width}x{height} {font}: {x} {y} {w} {h}");
            }
        }
    }
}

#[test]
fn a_buffer_that_is_no_picture_passes() {
    let info = info(VideoFormat::I420, 320, 180);
    let element = overlay();
    element.set_property("disclosure", "Expressions are analysed");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut h = harness(&element, &info);
    for _ in 0..2 {
        assert_eq!(h.push_and_pull(gst::Buffer::new()).unwrap().size(), 0);
    }
    let warnings = bus.iter_filtered(&[gst::MessageType::Warning]).count();
    assert_eq!(warnings, 1, "said once");
    let after = h.push_and_pull(grey(&info, &one(Status::Stable))).unwrap();
    assert_eq!(after.size(), info.size());
}

#[test]
fn awkward_places_and_sizes_are_survived() {
    for (width, height) in [(1, 1), (7, 5), (64, 2000), (2000, 16)] {
        let info = info(VideoFormat::I420, width, height);
        let element = overlay();
        element.set_property(
            "disclosure",
            "A text that is far too long for so small a picture".repeat(4),
        );
        element.set_property("anonymize", Anonymize::Blur);
        element.set_property("draw-probabilities", true);
        let mut h = harness(&element, &info);
        let rects = [
            Rect::new(-50.0, -50.0, 60.0, 60.0),
            Rect::new(0.0, 0.0, 1e6, 1e6),
            Rect::new(width as f32 - 1.0, height as f32 - 1.0, 50.0, 50.0),
            Rect::new(1e5, 1e5, 10.0, 10.0),
            Rect::new(f32::NAN, 0.0, 10.0, 10.0),
        ];
        let faces =
            rects.iter().enumerate().map(|(i, r)| face(i as u64 + 1, i, Status::Stable, *r));
        let mut buffer = grey(&info, &results(faces.collect()));
        Roi::add(
            buffer.get_mut().unwrap(),
            meta::ROI_TYPE,
            (u32::MAX, u32::MAX, u32::MAX, u32::MAX),
        );
        Roi::add(buffer.get_mut().unwrap(), meta::ROI_TYPE, (0, 0, 0, 0));
        h.push_and_pull(buffer).unwrap();
    }
}

/// Luma of a pixel, whatever the format, by way of the unpack functions.
fn unpacked(frame: &VideoFrame<gst_video::video_frame::Readable>) -> Vec<u8> {
    let info = frame.info().clone();
    let mut out = gst_video::VideoConverter::new(
        &info,
        &self::info(VideoFormat::Ayuv64, info.width(), info.height()),
        None,
    )
    .map(|converter| {
        let target = self::info(VideoFormat::Ayuv64, info.width(), info.height());
        let buffer = gst::Buffer::with_size(target.size()).unwrap();
        let mut to = VideoFrame::from_buffer_writable(buffer, &target).unwrap();
        converter.frame(frame, &mut to);
        to.plane_data(0).unwrap().to_vec()
    })
    .unwrap();
    out.truncate(info.width() as usize * info.height() as usize * 8);
    out
}

/// A frame with padded rows: every stride larger than it has to be.
fn padded(info: &VideoInfo) -> gst::Buffer {
    let plain = noise(info);
    let planes = info.n_planes() as usize;
    // Odd where samples are single bytes; others have to stay where the machine can address them.
    let bytes_only = info.format_info().pixel_stride()[..planes].iter().all(|s| *s == 1);
    let more = if bytes_only && info.format_info().bits() == 8 { 33 } else { 32 };
    let stride: Vec<i32> = info.stride().iter().map(|s| s + more).collect();
    let rows = |plane: usize| {
        let size = if plane + 1 < planes { info.offset()[plane + 1] } else { info.size() }
            - info.offset()[plane];
        size / info.stride()[plane] as usize
    };
    let mut offset = vec![0];
    for plane in 0..planes {
        offset.push(offset[plane] + rows(plane) * stride[plane] as usize + 24);
    }
    let total = offset.pop().unwrap();
    let source = bytes(&plain);
    let mut data = vec![0xee; total];
    for plane in 0..planes {
        let (from, to) = (info.stride()[plane] as usize, stride[plane] as usize);
        for row in 0..rows(plane) {
            let line = &source[info.offset()[plane] + row * from..][..from];
            data[offset[plane] + row * to..][..from].copy_from_slice(line);
        }
    }
    let mut buffer = gst::Buffer::from_slice(data);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &offset,
        &stride,
    )
    .unwrap();
    buffer
}

const FACE: (u32, u32, u32, u32) = (101, 61, 83, 95);

/// Anonymises a noisy picture with a face at [`FACE`]; unpacked pixels before and after.
fn anonymized(how: Anonymize, info: &VideoInfo, input: gst::Buffer) -> (Vec<u8>, Vec<u8>) {
    let element = overlay();
    element.set_property("anonymize", how);
    let mut h = harness(&element, info);
    let mut input = input;
    Roi::add(input.get_mut().unwrap(), meta::ROI_TYPE, FACE);
    let frame = VideoFrame::from_buffer_readable(input.copy_deep().unwrap(), info).unwrap();
    let before = unpacked(&frame);
    let out = h.push_and_pull(input).unwrap();
    let after = unpacked(&VideoFrame::from_buffer_readable(out, info).unwrap());
    (before, after)
}

/// Mean difference of neighbouring pixels along the row or column where it is largest, in 16-bit
/// units: what is left of the features.
fn detail(pixels: &[u8], width: usize) -> f64 {
    let luma = |x: usize, y: usize| {
        let at = (y * width + x) * 8 + 2;
        f64::from(u16::from_ne_bytes([pixels[at], pixels[at + 1]]))
    };
    let (x0, y0, w, h) = FACE;
    // Of every row and every column, so that no single one can be left as it was.
    let (x0, y0, w, h) = (x0 as usize, y0 as usize, w as usize, h as usize);
    let row = |y: usize| {
        let steps = (x0..x0 + w - 1).map(|x| (luma(x, y) - luma(x + 1, y)).abs());
        steps.sum::<f64>() / w as f64
    };
    let column = |x: usize| {
        let steps = (y0..y0 + h - 1).map(|y| (luma(x, y) - luma(x, y + 1)).abs());
        steps.sum::<f64>() / h as f64
    };
    (y0..y0 + h).map(row).chain((x0..x0 + w).map(column)).fold(0.0, f64::max)
}

#[test]
fn anonymises_every_supported_format_with_any_stride() {
    init();
    let template = overlay().static_pad("sink").unwrap().pad_template_caps();
    let formats = template.structure(0).unwrap().get::<gst::List>("format").unwrap();
    for format in formats.iter() {
        let format = VideoFormat::from_string(format.get::<&str>().unwrap());
        let info = info(format, 321, 241);
        let complex = info.format_info().is_complex();
        let inputs = [Some(noise(&info)), (!complex).then(|| padded(&info))];
        for input in inputs.into_iter().flatten() {
            for how in [Anonymize::Blur, Anonymize::Pixelate, Anonymize::Box] {
                let (before, after) = anonymized(how, &info, input.copy_deep().unwrap());
                let (was, is) = (detail(&before, 321), detail(&after, 321));
                assert!(is < was / 4.0, "{format} {how:?}: detail {was} became {is}");
                // Bits that a format has no use for may change, and the converter above rounds them in.
                let depth = info.format_info().depth().iter().copied().max().unwrap();
                let pixel = |p: &[u8], x: usize, y: usize| {
                    let words = p[(y * 321 + x) * 8..][..8].chunks_exact(2);
                    let words =
                        words.map(|v| i32::from(u16::from_ne_bytes([v[0], v[1]]) >> (16 - depth)));
                    words.collect::<Vec<_>>()
                };
                for (x, y) in [(10, 10), (60, 110), (260, 110), (150, 10), (150, 210), (312, 232)] {
                    let rounding = i32::from(depth > 8);
                    let same = pixel(&before, x, y)
                        .iter()
                        .zip(pixel(&after, x, y))
                        .all(|(a, b)| (a - b).abs() <= rounding);
                    assert!(same, "{format} {how:?} at {x},{y}");
                }
            }
        }
    }
}

#[test]
fn no_chroma_of_a_face_is_left() {
    // In the box every component must be flat, up to the odd edges of the picture.
    for format in [
        VideoFormat::I420,
        VideoFormat::Nv12,
        VideoFormat::Yuy2,
        VideoFormat::Y41b,
        VideoFormat::Yuv9,
    ] {
        let info = info(format, 321, 241);
        let (_, after) = anonymized(Anonymize::Box, &info, noise(&info));
        let pixel = |x: u32, y: u32| &after[((y * 321 + x) * 8) as usize..][2..8];
        let (x0, y0, w, h) = FACE;
        let black = pixel(x0 + w / 2, y0 + h / 2).to_vec();
        for y in y0..y0 + h {
            for x in x0..x0 + w {
                assert_eq!(pixel(x, y), black, "{format} at {x},{y}");
            }
        }
    }
}

#[test]
fn every_status_and_lost_places_are_anonymised() {
    let info = info(VideoFormat::Gray8, 320, 240);
    let element = overlay();
    element.set_property("anonymize", Anonymize::Box);
    element.set_property("draw-box", false);
    element.set_property("draw-label", false);
    element.set_property("draw-agreement", false);
    let mut h = harness(&element, &info);
    for status in Status::ALL {
        let out = bytes(&h.push_and_pull(grey(&info, &one(status))).unwrap());
        assert_eq!((out[120 * 320 + 130], out[5 * 320 + 5]), (0, 128), "{status}");
    }
    let mut buffer = grey(&info, &one(Status::Stable));
    let b = buffer.get_mut().unwrap();
    while let Some(roi) = b.meta_mut::<Roi>() {
        roi.remove().unwrap();
    }
    let out = bytes(&h.push_and_pull(buffer).unwrap());
    assert!(out.iter().all(|v| *v == 0), "a face without a place hides the picture");
}

/// Pictures to look at: run with `DFER_GALLERY=FOLDER` and `--ignored`.
#[test]
#[ignore = "writes pictures for people to look at"]
fn gallery() {
    let Some(folder) = std::env::var_os("DFER_GALLERY").map(std::path::PathBuf::from) else {
        return;
    };
    init();
    for (name, width, height) in
        [("360p", 640, 360), ("1080p", 1920, 1080), ("2160p", 3840, 2160), ("qcif", 176, 144)]
    {
        let at = |x: f32, y: f32, w: f32| {
            let (fw, fh) = (width as f32, height as f32);
            Rect::new(x * fw, y * fh, w * fw, w * fw * 1.2)
        };
        let statuses = results(vec![
            face(1, 0, Status::Stable, at(0.03, 0.22, 0.13)),
            face(2, 1, Status::Changing, at(0.22, 0.22, 0.13)),
            face(3, 2, Status::Uncertain, at(0.41, 0.22, 0.13)),
            face(4, 3, Status::LowQuality, at(0.60, 0.22, 0.13)),
            face(5, 4, Status::WarmingUp, at(0.82, 0.22, 0.13)),
            face(6, 1, Status::Stable, at(0.03, 0.68, 0.09)),
            face(7, 2, Status::Stable, at(0.20, 0.68, 0.09)),
            face(8, 3, Status::Stable, at(0.37, 0.68, 0.09)),
            face(9, 4, Status::Stable, at(0.54, 0.68, 0.09)),
            face(10, 5, Status::Stable, at(0.71, 0.68, 0.09)),
            face(11, 6, Status::Stable, at(0.88, 0.68, 0.09)),
        ]);
        let crowd = (0..24).map(|i| {
            let (column, row) = ((i % 8) as f32, (i / 8) as f32);
            face(
                i + 1,
                i as usize % 7,
                Status::ALL[i as usize % 5],
                at(0.01 + column * 0.124, 0.03 + row * 0.33, 0.08),
            )
        });
        let close = results(vec![face(12, 0, Status::Stable, at(0.3, 0.1, 0.4))]);
        for (scene, results, bars) in [
            ("statuses", statuses, false),
            ("crowd", results(crowd.collect()), false),
            ("close", close, true),
        ] {
            for how in ["none", "blur", "pixelate"] {
                if how != "none" && scene != "close" {
                    continue;
                }
                let mut h = Harness::new_parse(&format!(
                    "videoconvert ! capsfilter caps=video/x-raw,format=I420 ! dferoverlay draw-probabilities={bars} \
                     anonymize={how} disclosure=\"Facial expressions are analysed in this room\" ! videoconvert ! pngenc"
                ));
                let info = info(VideoFormat::Rgb, width, height);
                h.set_src_caps(info.to_caps().unwrap());
                let mut h2 = Harness::new_parse("videotestsrc num-buffers=1 pattern=smpte");
                h2.set_sink_caps(info.to_caps().unwrap());
                h2.play();
                let mut buffer = h2.pull().unwrap();
                meta::attach(buffer.make_mut(), &results);
                h.push(buffer).unwrap();
                let png = h.pull().unwrap();
                std::fs::write(folder.join(format!("{name}-{scene}-{how}.png")), bytes(&png))
                    .unwrap();
            }
        }
    }
}
