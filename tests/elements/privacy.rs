// SPDX-License-Identifier: MPL-2.0

//! Filter and overlay together: what they hide, from which frame on; counts in place of faces.

use gst::prelude::*;
use gst_check::Harness;
use gstdfer::core::aggregate::Counts;
use gstdfer::core::analyst::Networks;
use gstdfer::core::networks::Detection;
use gstdfer::core::pixels::Picture;
use gstdfer::core::result::Status;
use gstdfer::dferoverlay::Anonymize;
use gstdfer::filter::{AGGREGATE_MESSAGE, MESSAGE};
use gstdfer::meta::{self, FrameResults};
use gstdfer::runtime::fake;

use crate::studio::*;

/// A filter, and an overlay behind it that blackens faces and draws nothing.
struct Camera {
    filter: gst::Element,
    analyse: Harness,
    hide: Harness,
}

impl Camera {
    fn new(networks: Networks) -> Self {
        let filter = filter("sync", networks);
        let overlay = gst::ElementFactory::make("dferoverlay")
            .property("anonymize", Anonymize::Box)
            .property("draw-box", false)
            .property("draw-label", false)
            .property("draw-agreement", false)
            .build()
            .unwrap();
        Self { analyse: harness(&filter), hide: harness(&overlay), filter }
    }

    /// What is said of the frame, and how many pixels of faces are left in its picture.
    fn shoot(&mut self, i: u64, faces: &[Drawn]) -> (FrameResults, usize) {
        let analysed = self.analyse.push_and_pull(frame(i, faces)).unwrap();
        let results = meta::read(&analysed).unwrap();
        let hidden = self.hide.push_and_pull(analysed).unwrap();
        (results, face_pixels(&hidden))
    }
}

/// Pixels of the colour that only faces have.
fn face_pixels(buffer: &gst::Buffer) -> usize {
    let data = buffer.map_readable().unwrap();
    data.chunks_exact(3).filter(|p| i32::from(p[0]) - i32::from(p[2]) > 45).count()
}

const ONE: Drawn = (30, 40, 60, 80, 180);
const THREE: [Drawn; 3] = [ONE, (130, 40, 50, 70, 70), (230, 40, 40, 56, 120)];

#[test]
fn faces_beyond_the_limit_are_hidden_too() {
    let mut camera = Camera::new(by_brightness());
    camera.filter.set_property("max-faces", 1u32);
    assert!(face_pixels(&frame(0, &THREE)) > 10_000, "they are there without the overlay");
    for i in 0..40 {
        let (results, left) = camera.shoot(i, &THREE);
        assert_eq!((results.faces.len(), left), (1, 0), "frame {i}");
        assert_eq!(results.unreported.len(), 2, "frame {i}: {:?}", results.unreported);
    }
}

/// As [`find`], but the networks are not sure of what they see.
fn doubt(picture: &Picture) -> Vec<Detection> {
    find(picture).into_iter().map(|d| Detection { score: 0.5, ..d }).collect()
}

#[test]
fn a_doubtful_face_is_hidden_but_not_reported() {
    let mut camera = Camera::new(fake::networks(doubt, |_, _| HAPPY));
    for i in 0..30 {
        let (results, left) = camera.shoot(i, &[ONE]);
        assert_eq!((results.faces.len(), left), (0, 0), "frame {i}");
    }
}

/// The frame, counted from its first one, from which on a face that comes in between two searches
/// is hidden; it stays hidden while it moves on.
fn frames_until_hidden(detect_interval: u64) -> u64 {
    let mut camera = Camera::new(by_brightness());
    camera.filter.set_property("detect-interval", detect_interval);
    let came = 13;
    let mut hidden_from = None;
    for i in 0..60u64 {
        let at = 30 + 3 * i.saturating_sub(came) as usize;
        let faces = [(at, 40, 60, 80, 180)];
        let faces = if i < came { &[][..] } else { &faces[..] };
        let (_, left) = camera.shoot(i, faces);
        match hidden_from {
            None if i >= came && left == 0 => hidden_from = Some(i),
            None => (),
            Some(from) => assert_eq!(left, 0, "frame {i}, hidden from {from} on"),
        }
    }
    hidden_from.expect("found in the end") - came
}

#[test]
fn a_new_face_is_hidden_from_its_first_search_on() {
    // Searches at 30 frames a second are six frames apart.
    assert_eq!(frames_until_hidden(200_000_000), 5, "from frame 18 on, the first one searched");
    assert_eq!(frames_until_hidden(0), 0, "where every frame is searched");
}

/// Results and the messages on the bus of a number of frames.
fn counted(min_group: u32, frames: u64) -> (Vec<FrameResults>, Vec<gst::Structure>, usize) {
    let mut camera = Camera::new(by_brightness());
    camera.filter.set_property("aggregate-only", true);
    camera.filter.set_property("min-group", min_group);
    let bus = gst::Bus::new();
    camera.filter.set_bus(Some(&bus));
    let mut left = 0;
    let mut shoot = |i| {
        let (results, pixels) = camera.shoot(i, &THREE);
        left += pixels;
        results
    };
    let results = (0..frames).map(&mut shoot).collect();
    let messages = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Element]));
    let messages = messages.filter_map(|m| m.structure().map(ToOwned::to_owned)).collect();
    (results, messages, left)
}

#[test]
fn counts_take_the_place_of_faces() {
    let (results, messages, left) = counted(3, 90);
    assert_eq!(left, 0, "faces can be hidden all the same");
    for r in &results {
        assert!(r.faces.is_empty() && r.counts.is_some());
    }
    // Two bright faces... one of brightness 120 counts as dark.
    let labels = [("happy".to_owned(), 1), ("sad".to_owned(), 2)].into_iter().collect();
    let expected = Counts { faces: 3, labels: Some(labels) };
    assert_eq!(results[89].counts, Some(expected));
    assert!(messages.iter().all(|m| m.name() == AGGREGATE_MESSAGE && m.name() != MESSAGE));
    assert!((2..10).contains(&messages.len()), "told when they change: {}", messages.len());
    let last = messages.last().unwrap();
    assert_eq!(last.get::<&str>("schema"), Ok("dfer-aggregate/1"));
    assert_eq!(last.get::<u32>("faces"), Ok(3));
    assert_eq!(last.get::<gst::Structure>("labels").unwrap().get::<u32>("sad"), Ok(2));
    for name in ["track-id", "box", "probabilities"] {
        assert!(messages.iter().all(|m| !m.has_field(name)), "{name}");
    }
}

#[test]
fn small_groups_are_counted_without_labels() {
    let (results, messages, _) = counted(4, 90);
    assert!(results.iter().all(|r| r.counts.as_ref().unwrap().labels.is_none()));
    assert!(messages.iter().all(|m| !m.has_field("labels")));
    assert_eq!(results[89].counts.as_ref().unwrap().faces, 3);
}

#[test]
fn nothing_on_the_buffers_tells_of_a_single_face() {
    let mut camera = Camera::new(by_brightness());
    camera.filter.set_property("aggregate-only", true);
    for i in 0..60 {
        let out = camera.analyse.push_and_pull(frame(i, &THREE)).unwrap();
        assert_eq!(meta::faces(&out), [], "no region is a face to other elements");
        for roi in out.iter_meta::<gst_video::VideoRegionOfInterestMeta>() {
            assert_eq!((roi.roi_type(), roi.id()), (meta::UNREPORTED_TYPE, 0));
            assert_eq!(roi.params().count(), 0);
        }
        for custom in out
            .iter_meta::<gst::Meta>()
            .filter_map(|m| m.try_as_custom_meta().map(|custom| custom.structure().to_string()))
        {
            assert!(!custom.contains("track-id") && !custom.contains("probab"), "{custom}");
        }
    }
}

/// Plays a minute of counts into a recorder; its file and the warnings.
fn recorded(aggregate_only: bool, min_group: u32) -> (String, usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let mut camera = Camera::new(by_brightness());
    camera.filter.set_property("aggregate-only", true);
    let recorder = gst::ElementFactory::make("dferrecorder")
        .property("location", path.to_str().unwrap())
        .property("aggregate-only", aggregate_only)
        .property("min-group", min_group)
        .build()
        .unwrap();
    let mut record = harness(&recorder);
    let bus = gst::Bus::new();
    recorder.set_bus(Some(&bus));
    for i in 0..60 {
        let out = camera.analyse.push_and_pull(frame(i, &THREE)).unwrap();
        record.push(out).unwrap();
    }
    record.push_event(gst::event::Eos::new());
    let warnings = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).count();
    (std::fs::read_to_string(&path).unwrap(), warnings)
}

#[test]
fn a_recorder_writes_upstreams_counts() {
    let (text, warnings) = recorded(true, 3);
    let last: Counts = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((last.faces, last.labels.map(|l| l.len()), warnings), (3, Some(2), 0), "{text}");
    assert!(!recorded(true, 4).0.contains("labels"), "a recorder may ask for larger groups");
    assert_eq!(recorded(false, 3), (String::new(), 1), "and is told when it asks for faces");
}

#[test]
fn statuses_other_than_stable_are_no_labels() {
    let (results, ..) = counted(1, 20);
    let warming = results[5].counts.as_ref().unwrap();
    assert_eq!(warming.faces, 3);
    assert_eq!(warming.labels, None, "{} faces have no label", Status::WarmingUp);
}
