// SPDX-License-Identifier: MPL-2.0

//! `dferfilter` with scripted networks: what comes out on which buffer.

use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoRegionOfInterestMeta as Roi;
use gstdfer::core::result::{Expression, Status};
use gstdfer::meta::{self, FrameResults, ROI_TYPE};

use crate::studio::*;

const SECOND: u64 = 1_000_000_000;
const FACE: Drawn = (100, 80, 60, 80, 180);

fn sync() -> (gst::Element, Harness) {
    let element = filter("sync", by_brightness());
    let h = harness(&element);
    (element, h)
}

/// Frames `from..to` with these faces.
fn play(h: &mut Harness, frames: std::ops::Range<u64>, faces: &[Drawn]) -> Vec<FrameResults> {
    frames.map(|i| analysed(h, frame(i, faces))).collect()
}

fn only(results: &FrameResults) -> &Expression {
    assert_eq!(results.faces.len(), 1, "{results:?}");
    &results.faces[0].expression
}

fn label(e: &Expression) -> Option<&str> {
    e.label.as_deref()
}

#[test]
fn a_face_warms_up_and_becomes_stable() {
    let (_, mut h) = sync();
    let all = play(&mut h, 0..90, &[FACE]);
    let statuses: Vec<Status> =
        all.iter().flat_map(|r| &r.faces).map(|f| f.expression.status).collect();
    let mut order = statuses.clone();
    order.dedup();
    assert_eq!(order, [Status::WarmingUp, Status::Changing, Status::Stable]);
    assert!(statuses.len() >= 85, "found in {} frames", statuses.len());
    let first = statuses.iter().position(|s| *s == Status::Stable).unwrap();
    assert!((30..60).contains(&first), "stable after {first} frames");
    let last = only(all.last().unwrap());
    assert_eq!(label(last), Some("happy"));
    assert_eq!((last.clips, last.votes), (Some(5), Some(5)));
    assert!(last.agreement.unwrap() > 0.999, "all clips say the same");
    assert!(last.probability.unwrap() > 0.9);
    assert_eq!(last.model.as_deref(), Some("scripted@000000000000"));
    let rect = all.last().unwrap().faces[0].rect.unwrap();
    let drawn = gstdfer::core::Rect::new(100.0, 80.0, 60.0, 80.0);
    assert!(rect.iou(&drawn) > 0.8, "{rect:?}");
}

#[test]
fn every_result_is_on_its_buffer() {
    let turn = 3 * SECOND;
    let element = filter("sync", happy_until(turn));
    let mut h = harness(&element);
    let (mut decisions, mut seen) = (0, Vec::new());
    for i in 0..180 {
        let out = h.push_and_pull(frame(i, &[FACE])).unwrap();
        let pts = out.pts().unwrap().nseconds();
        let results = meta::read(&out).unwrap();
        assert_eq!((results.seq, results.stream.as_str()), (i, "filter"));
        let Some(e) = results.faces.first().map(|f| f.expression.clone()) else { continue };
        let Some(end) = e.clip_end else { continue };
        assert!(end <= pts, "nothing of later frames");
        assert_eq!(e.age, Some(pts - end));
        assert!(pts - end < SECOND / 4, "decided every 200 ms");
        assert!(e.clip_start.unwrap() < end && e.clip_frames.unwrap() >= 12);
        assert!(end - e.clip_start.unwrap() <= 2_560_000_000);
        let raw = e.raw_label.as_deref().unwrap();
        // In the second after the turn, clips that end earlier still show what was before.
        if end < turn {
            assert_eq!(raw, "happy");
        } else if end > turn + SECOND {
            assert_eq!(raw, "sad");
        }
        decisions += u64::from(e.age == Some(0));
        if e.status == Status::Stable {
            seen.push(e.label.unwrap().to_string());
        }
    }
    seen.dedup();
    assert_eq!(seen, ["happy", "sad"]);
    assert!((20..=27).contains(&decisions), "{decisions} decisions in 6 s");
}

#[test]
fn twice_the_same() {
    let run = || {
        let (_, mut h) = sync();
        let drift = |i: u64| [(60 + i as usize, 80, 60, 80, 180), (220, 60, 50, 70, 80)];
        let all: Vec<_> = (0..90).map(|i| analysed(&mut h, frame(i, &drift(i)))).collect();
        assert!(all.last().unwrap().faces.len() == 2);
        format!("{all:?}")
    };
    assert_eq!(run(), run());
}

#[test]
fn two_faces_do_not_mix() {
    let (_, mut h) = sync();
    // They pass above and below each other and change places.
    let mut ids = std::collections::BTreeMap::new();
    for i in 0..200 {
        let faces = [(20 + i, 10, 54, 72, 190), (220 - i, 150, 54, 72, 80)];
        for face in analysed(&mut h, frame(i as u64, &faces)).faces {
            let (e, middle) = (face.expression, face.rect.unwrap().center());
            let own = if middle.y < 120.0 { "happy" } else { "sad" };
            assert!(e.label.is_none() || e.label.as_deref() == Some(own), "frame {i}: {e:?}");
            if e.status == Status::Stable {
                ids.entry(e.track_id.unwrap()).or_insert_with(Vec::new).push(e.label.unwrap());
            }
        }
    }
    assert_eq!(ids.len(), 2, "{ids:?}");
    for (id, mut labels) in ids {
        labels.dedup();
        assert_eq!(labels.len(), 1, "track {id} was {labels:?}");
    }
}

#[test]
fn a_lost_face_is_forgotten_and_comes_back_as_another() {
    let (_, mut h) = sync();
    let before = play(&mut h, 0..60, &[FACE]);
    let id = only(before.last().unwrap()).track_id;
    assert_eq!(only(before.last().unwrap()).status, Status::Stable);
    let away = play(&mut h, 60..120, &[]);
    let gone = away.iter().position(|r| r.faces.is_empty()).unwrap();
    assert!(gone <= 36, "still there {gone} frames later, the timeout is 800 ms");
    assert!(away[gone..].iter().all(|r| r.faces.is_empty()));
    for results in &away[12..gone] {
        assert_ne!(only(results).status, Status::Stable, "a missed face has no result");
    }
    let after = play(&mut h, 120..180, &[(200, 60, 60, 80, 80)]);
    let last = only(after.last().unwrap());
    assert_ne!(last.track_id, id);
    assert_eq!(label(last), Some("sad"));
    let stale = after
        .iter()
        .flat_map(|r| &r.faces)
        .filter(|f| f.expression.label.as_deref() == Some("happy"));
    assert_eq!(stale.count(), 0, "nothing of the other face");
}

/// The first result after something that separates clips from what was before.
fn starts_anew(results: &[FrameResults]) {
    let found: Vec<_> = results.iter().flat_map(|r| &r.faces).collect();
    assert_eq!(found[0].expression.status, Status::WarmingUp);
    assert_eq!(found.last().unwrap().expression.status, Status::Stable);
}

#[test]
fn another_size_in_the_middle() {
    let (_, mut h) = sync();
    play(&mut h, 0..60, &[FACE]);
    h.set_src_caps(caps(400, 300, 30));
    let face = (200, 100, 70, 90, 80);
    let after: Vec<_> = (60..120)
        .map(|i| {
            let data = picture(400, 300, &[face]);
            analysed(&mut h, stamped(i * gst::ClockTime::SECOND / 30, data))
        })
        .collect();
    starts_anew(&after);
    let last = after.last().unwrap();
    assert_eq!(label(only(last)), Some("sad"));
    assert!(
        last.faces[0].rect.unwrap().iou(&gstdfer::core::Rect::new(200.0, 100.0, 70.0, 90.0)) > 0.8
    );
}

#[test]
fn the_same_caps_again_change_nothing() {
    let (_, mut h) = sync();
    play(&mut h, 0..60, &[FACE]);
    h.set_src_caps(caps(SIZE.0, SIZE.1, 25));
    assert_eq!(only(&play(&mut h, 60..61, &[FACE])[0]).status, Status::Stable);
}

#[test]
fn a_flush_starts_anew() {
    let (_, mut h) = sync();
    play(&mut h, 0..60, &[FACE]);
    assert!(h.push_event(gst::event::FlushStart::new()));
    assert!(h.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(h.push_event(gst::event::Segment::new(&segment)));
    starts_anew(&play(&mut h, 60..120, &[FACE]));
}

/// A face in pixels that are twice as wide as high is found and followed as in square ones.
#[test]
fn pixels_need_not_be_square() {
    let like_a_face = |picture: &gstdfer::core::pixels::Picture| {
        let mut found = find(picture);
        found.retain(|f| (0.6..0.9).contains(&(f.rect.w / f.rect.h)));
        found
    };
    let networks = gstdfer::runtime::fake::networks(like_a_face, |_, _| HAPPY);
    let mut h = harness(&filter("sync", networks));
    let mut squeezed = caps(160, 240, 30);
    let narrow =
        |i| stamped(i * gst::ClockTime::SECOND / 30, picture(160, 240, &[(50, 80, 30, 80, 180)]));
    h.set_src_caps(squeezed.clone());
    let play = |h: &mut Harness, frames: std::ops::Range<u64>| -> Vec<_> {
        frames.map(|i| analysed(h, narrow(i))).collect()
    };
    assert!(play(&mut h, 0..60).iter().all(|r| r.faces.is_empty()), "squeezed it is none");
    squeezed.make_mut().set("pixel-aspect-ratio", gst::Fraction::new(2, 1));
    h.set_src_caps(squeezed);
    let after = play(&mut h, 60..120);
    starts_anew(&after);
    let rect = after.last().unwrap().faces[0].rect.unwrap();
    let drawn = gstdfer::core::Rect::new(50.0, 80.0, 30.0, 80.0);
    assert!(rect.iou(&drawn) > 0.8, "in pixels of the frame: {rect:?}");
}

/// Times that stand still or are a little out of order are no jump.
#[test]
fn uneven_times_do_not_start_anew() {
    let (_, mut h) = sync();
    let mut results = Vec::new();
    for i in 0..90u64 {
        // Every tenth frame carries the time of the one before, or 2 ns less.
        let late = if i % 10 == 0 { i.saturating_sub(1) } else { i };
        let less = if i % 20 == 10 { 2 } else { 0 };
        let pts = late * gst::ClockTime::SECOND / 30 - gst::ClockTime::from_nseconds(less);
        results.push(analysed(&mut h, stamped(pts, picture(SIZE.0, SIZE.1, &[FACE]))));
    }
    let ids: std::collections::BTreeSet<_> =
        results.iter().flat_map(|r| &r.faces).map(|f| f.expression.track_id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(results[60..].iter().all(|r| only(r).status == Status::Stable));
}

#[test]
fn jumps_of_time_start_anew() {
    for to in [0, 30, 55, 600] {
        let (_, mut h) = sync();
        play(&mut h, 0..60, &[FACE]);
        starts_anew(&play(&mut h, to..to + 60, &[FACE]));
    }
}

#[test]
fn buffers_without_time_follow_the_rate() {
    let (_, mut h) = sync();
    let mut last = None;
    for i in 0..60 {
        let mut buffer = frame(i, &[FACE]);
        buffer.get_mut().unwrap().set_pts(None);
        let out = h.push_and_pull(buffer).unwrap();
        assert_eq!((out.pts(), out.dts(), out.duration()), (None, None, None));
        last = meta::read(&out);
    }
    let last = last.unwrap();
    assert_eq!(only(&last).status, Status::Stable);
    let end = only(&last).clip_end.unwrap();
    assert!((SECOND * 17 / 10..2 * SECOND).contains(&end), "{end}");
}

#[test]
fn gaps_pass_and_do_no_harm() {
    let (_, mut h) = sync();
    for i in 0..60 {
        assert_eq!(analysed(&mut h, frame(3 * i, &[FACE])).seq, i);
        let gap = gst::event::Gap::builder((3 * i + 1) * gst::ClockTime::SECOND / 30).build();
        assert!(h.push_event(gap));
    }
    let gaps =
        std::iter::from_fn(|| h.try_pull_event()).filter(|e| e.type_() == gst::EventType::Gap);
    assert_eq!(gaps.count(), 60);
    assert_eq!(
        only(&play(&mut h, 180..181, &[FACE])[0]).status,
        Status::Stable,
        "at 10 frames a second"
    );
}

#[test]
fn end_of_stream_passes_at_any_moment() {
    for frames in [0, 1, 10, 60] {
        let (_, mut h) = sync();
        play(&mut h, 0..frames, &[FACE]);
        assert!(h.push_event(gst::event::Eos::new()));
        assert_eq!(h.buffers_in_queue(), 0);
        let events: Vec<_> = std::iter::from_fn(|| h.try_pull_event()).map(|e| e.type_()).collect();
        assert_eq!(events.last(), Some(&gst::EventType::Eos), "after {frames} frames");
    }
}

#[test]
fn the_whole_frame_may_be_the_face() {
    let element = filter("sync", by_brightness());
    element.set_property_from_str("face-source", "frame");
    let mut h = harness(&element);
    let all = play(&mut h, 0..60, &[(0, 0, 280, 240, 200)]);
    assert_eq!(all[0].faces.len(), 1, "from the first frame on");
    let last = all.last().unwrap();
    assert_eq!(label(only(last)), Some("happy"));
    assert_eq!(last.faces[0].rect, Some(gstdfer::core::Rect::new(0.0, 0.0, 320.0, 240.0)));
}

#[test]
fn a_buffer_that_is_too_small_passes_without_results() {
    let (element, mut h) = sync();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    play(&mut h, 0..3, &[FACE]);
    for i in 3..6 {
        let out = h.push_and_pull(stamped(i * gst::ClockTime::SECOND / 30, vec![9; 100])).unwrap();
        assert_eq!((out.size(), meta::read(&out)), (100, None));
    }
    play(&mut h, 6..9, &[FACE]);
    let warnings = bus.iter_filtered(&[gst::MessageType::Warning]).count();
    assert_eq!(warnings, 1, "said once");
}

#[test]
fn messages_tell_changes_of_the_stable_label() {
    let element = filter("sync", happy_until(3 * SECOND));
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut h = harness(&element);
    play(&mut h, 0..180, &[FACE]);
    let told: Vec<gst::Structure> = bus
        .iter_filtered(&[gst::MessageType::Element])
        .map(|m| {
            assert_eq!(m.src(), Some(element.upcast_ref()));
            m.structure().unwrap().to_owned()
        })
        .collect();
    let labels: Vec<_> = told.iter().map(|s| s.get_optional::<String>("label").unwrap()).collect();
    assert_eq!(labels, [Some("happy".into()), None, Some("sad".into())]);
    assert_eq!(told[1].get::<&str>("status"), Ok("uncertain"), "the clips disagree at the turn");
    for s in [&told[0], &told[2]] {
        assert_eq!(s.name(), "dfer-expression");
        assert_eq!(s.get::<&str>("schema"), Ok("dfer/1"));
        assert_eq!(s.get::<&str>("stream"), Ok("filter"));
        assert_eq!(s.get::<&str>("status"), Ok("stable"));
        let seq: u64 = s.get("seq").unwrap();
        let pts = seq * SECOND / 30;
        for time in ["pts", "running-time", "stream-time", "clip-end"] {
            assert_eq!(s.get::<u64>(time), Ok(pts), "{time}");
        }
        let ints = |name| -> Vec<i32> {
            s.get::<gst::ArrayRef>(name).unwrap().iter().map(|v| v.get().unwrap()).collect()
        };
        assert_eq!(ints("frame"), [320, 240]);
        for (value, drawn) in ints("box").iter().zip([100, 80, 60, 80]) {
            assert!((value - drawn).abs() <= 6, "{:?}", ints("box"));
        }
        assert!(s.get::<u64>("track-id").unwrap() > 0);
        for name in ["probability", "agreement"] {
            assert!(s.value(name).is_ok(), "{name} is missing in {s}");
        }
    }
    element.set_property("post-messages", false);
    play(&mut h, 0..90, &[FACE]);
    assert_eq!(bus.iter_filtered(&[gst::MessageType::Element]).count(), 0);
}

/// Whoever follows the bus alone must not show a label for ever.
#[test]
fn messages_tell_of_faces_that_are_gone() {
    for way in ["cut", "timeout", "jump", "upstream"] {
        let (element, mut h) = match way {
            "upstream" => upstream(),
            _ => sync(),
        };
        element.set_property("track-timeout", 100_000_000u64);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        for i in 0..60 {
            let mut buffer = frame(i, if way == "upstream" { &[] } else { &[FACE] });
            if way == "upstream" {
                region(&mut buffer, (40, 40, 60, 80), 7);
            }
            analysed(&mut h, buffer);
        }
        let told = || -> Vec<gst::Structure> {
            let messages = bus.iter_filtered(&[gst::MessageType::Element]);
            messages.map(|m| m.structure().unwrap().to_owned()).collect()
        };
        let first = told();
        assert_eq!(first.len(), 1, "{way}: {first:?}");
        let id: u64 = first[0].get("track-id").unwrap();
        for i in 60..100 {
            let mut buffer = frame(if way == "jump" { i + 100 } else { i }, &[]);
            if way == "cut" {
                let turned = |value: &mut u8| *value = 255 - *value;
                buffer.get_mut().unwrap().map_writable().unwrap().iter_mut().for_each(turned);
            }
            analysed(&mut h, buffer);
        }
        let last = told();
        assert_eq!(last.len(), 1, "{way}: {last:?}");
        let s = &last[0];
        assert_eq!((s.get("track-id"), s.get::<&str>("schema")), (Ok(id), Ok("dfer/1")), "{way}");
        let status: &str = s.get("status").unwrap();
        assert!(["no-face", "low-quality"].contains(&status), "{way}: {status}");
        assert!(!s.has_field("label"), "{way}");
        assert_eq!(s.has_field("box"), status != "no-face", "{way}");
        assert!(s.has_field("pts") && s.has_field("stream-time"));
    }
}

#[test]
fn statistics_count_what_was_done() {
    let (element, mut h) = sync();
    play(&mut h, 0..90, &[FACE]);
    let stats: gst::Structure = element.property("stats");
    assert_eq!(stats.get::<&str>("mode"), Ok("sync"));
    let count = |name: &str| stats.get::<u64>(name).unwrap();
    assert_eq!(
        (count("frames"), count("faces"), count("dropped"), count("ignored-faces")),
        (90, 1, 0, 0)
    );
    assert_eq!(count("detected"), 15, "five times a second");
    assert!((40..=46).contains(&count("encoded")), "at most 15 times a second: {stats}");
    assert!((9..=12).contains(&count("decided")), "five times a second after 0.8 s: {stats}");
    for stage in ["detect", "refine", "encode", "decide"] {
        let (middle, high) = (count(&format!("{stage}-p50")), count(&format!("{stage}-p95")));
        assert!(0 < middle && middle <= high, "{stats}");
    }
}

#[test]
fn latency_is_told_truthfully() {
    for (mode, expected) in [("live", 0), ("auto", 0), ("sync", 70)] {
        let element = filter(mode, by_brightness());
        element.set_property("processing-latency", 70_000_000u64);
        // The harness is a live source.
        let mut h = harness(&element);
        h.set_upstream_latency(gst::ClockTime::from_mseconds(20));
        assert_eq!(h.query_latency(), Some(gst::ClockTime::from_mseconds(20 + expected)), "{mode}");
    }
}

fn region(buffer: &mut gst::Buffer, rect: (u32, u32, u32, u32), id: i32) {
    Roi::add(buffer.get_mut().unwrap(), ROI_TYPE, rect).set_id(id);
}

fn upstream() -> (gst::Element, Harness) {
    let element = filter("sync", gstdfer::runtime::fake::networks(|_| Vec::new(), |_, _| SAD));
    let h = harness(&element);
    (element, h)
}

#[test]
fn faces_of_an_upstream_detector_keep_their_ids() {
    let (_, mut h) = upstream();
    let mut last = None;
    for i in 0..60 {
        let mut buffer = frame(i, &[]);
        region(&mut buffer, (40, 40, 60, 80), 17);
        region(&mut buffer, (200, 40, 60, 80), 4);
        let out = h.push_and_pull(buffer).unwrap();
        assert_eq!(out.iter_meta::<Roi>().count(), 2, "no region is added");
        last = meta::read(&out);
    }
    let mut ids: Vec<_> = last
        .unwrap()
        .faces
        .into_iter()
        .map(|f| (f.expression.track_id, f.expression.label))
        .collect();
    ids.sort();
    assert_eq!(ids, [(Some(4), Some("sad".into())), (Some(17), Some("sad".into()))]);
}

/// What was drawn over one of them is a wall, and no expression of anybody.
#[test]
fn a_face_that_upstream_marks_no_more_is_looked_for() {
    for source in ["upstream", "auto"] {
        let (element, mut h) = sync();
        element.set_property_from_str("face-source", source);
        let other = (220, 80, 60, 80, 80);
        for i in 0..60 {
            let mut buffer = frame(i, &[FACE, other]);
            region(&mut buffer, (100, 80, 60, 80), 17);
            region(&mut buffer, (220, 80, 60, 80), 4);
            let results = analysed(&mut h, buffer);
            assert!(i < 50 || results.faces.iter().all(|f| f.expression.status == Status::Stable));
        }
        for i in 60..100 {
            let mut buffer = frame(i, &[other]);
            region(&mut buffer, (220, 80, 60, 80), 4);
            for face in analysed(&mut h, buffer).faces {
                let e = face.expression;
                match e.track_id {
                    Some(4) => assert_eq!(e.status, Status::Stable),
                    // A quarter of a second is given.
                    id => assert!(i < 70 || e.status == Status::LowQuality, "{id:?} {i}: {e:?}"),
                }
                assert!(e.clip_end.is_none_or(|t| e.track_id == Some(4) || t < 2 * SECOND));
            }
        }
    }
}

/// Detectors that take turns with other work mark a face now and then; in between it is there.
#[test]
fn a_face_that_upstream_marks_now_and_then_stays() {
    for every in [5, 10] {
        let (_, mut h) = upstream();
        for i in 0..90 {
            let mut buffer = frame(i, &[]);
            // Never in a frame in which the face is looked at: these have even numbers.
            if i % every == every - 1 || i == 0 {
                region(&mut buffer, (40, 40, 60, 80), 17);
            }
            let results = analysed(&mut h, buffer);
            let status = results.faces.first().map(|face| face.expression.status);
            assert!(i < 60 || status == Some(Status::Stable), "{every} {i}: {status:?}");
        }
    }
}

/// Faces are looked at 15 times a second; between two looks they are not lost.
#[test]
fn the_shortest_timeout_loses_no_face_that_is_there() {
    let (element, mut h) = sync();
    element.set_property("track-timeout", 0u64);
    let results = play(&mut h, 0..60, &[FACE]);
    assert_eq!(only(results.last().unwrap()).status, Status::Stable);
    let away = play(&mut h, 60..70, &[]);
    assert!(away.last().unwrap().faces.is_empty());
    // Nor between two frames that are further apart.
    let (element, mut h) = sync();
    element.set_property("track-timeout", 0u64);
    for i in 0..15 {
        let e = analysed(&mut h, frame(6 * i, &[FACE]));
        assert_eq!(only(&e).track_id, Some(1), "five frames a second");
    }
}

#[test]
fn impossible_upstream_faces_do_no_harm() {
    let max = u32::MAX;
    let odd = [
        (300, 200, 60, 80),
        (320, 240, 60, 80),
        (5000, 5000, 10, 10),
        (10, 10, 0, 0),
        (10, 10, 0, 50),
        (0, 0, 1, 1),
        (0, 0, max, max),
        (max, max, max, max),
        (10, 10, 100_000, 2),
        (100, 80, 60, 80),
    ];
    let (_, mut h) = upstream();
    for i in 0..60 {
        let mut buffer = frame(i, &[]);
        odd.iter().enumerate().for_each(|(n, rect)| region(&mut buffer, *rect, (n % 7) as i32 - 2));
        let results = analysed(&mut h, buffer);
        assert!(results.faces.len() <= 8, "{results:?}");
        if i > 45 {
            let usual =
                results.faces.iter().find(|f| f.rect.is_some_and(|r| r.x == 100.0 && r.w == 60.0));
            assert!(usual.is_some(), "the ordinary face among them is analysed: {results:?}");
        }
    }
}

#[test]
fn five_hundred_faces_at_once() {
    let (element, mut h) = upstream();
    for i in 0..30 {
        let mut buffer = frame(i, &[]);
        for n in 0..500u32 {
            // Eight larger ones among them, not the first of the list.
            let side = if n % 60 == 50 { 16 } else { 8 };
            region(&mut buffer, (n % 25 * 12, n / 25 * 12, side.min(12), side), 0);
        }
        let results = analysed(&mut h, buffer);
        assert_eq!((results.faces.len(), results.ignored), (8, 492), "frame {i}");
        let heights: Vec<_> = results.faces.iter().map(|f| f.rect.unwrap().h).collect();
        assert_eq!(heights, [16.0; 8], "the largest");
    }
    assert_eq!(stat(&element, "ignored-faces"), 492, "of the newest frame");
    assert_eq!(stat(&element, "encoded"), 8 * 15, "eight faces for a second");
}
