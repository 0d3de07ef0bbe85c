// SPDX-License-Identifier: MPL-2.0

//! Results as `GstAnalyticsRelationMeta`, read as stock elements read them, and faces from it.

use gst::prelude::*;
use gst_analytics::prelude::*;
use gst_analytics::{
    AnalyticsClassificationMtd as Classification, AnalyticsODMtd as Detection,
    AnalyticsRelationMeta as Meta, AnalyticsTrackingMtd as Tracking, RelTypes,
};
use gst_video::VideoRegionOfInterestMeta as Roi;
use gstdfer::core::Rect;
use gstdfer::core::result::{Expression, Probabilities, Status};
use gstdfer::meta::{self, AGREEMENT, Face, FrameResults, MarkedFace, Origin};

use crate::init;
use crate::studio::{self, SIZE};

fn expression(id: u64, status: Status) -> Expression {
    let labelled = matches!(status, Status::Stable | Status::Changing);
    Expression {
        label: labelled.then(|| "happy".into()),
        probability: labelled.then_some(0.5),
        probabilities: Some(Probabilities(vec![
            ("sad".into(), 0.125),
            ("happy".into(), 0.5),
            ("neutral".into(), 0.375),
        ])),
        agreement: Some(0.75),
        ..Expression::new(Some(id), status)
    }
}

fn results(faces: Vec<Face>) -> FrameResults {
    FrameResults { stream: "filter".into(), faces, ..FrameResults::default() }
}

fn face(id: u64, status: Status) -> Face {
    let origin = Origin { score: 0.875, first_seen: Some(7), ..Origin::default() };
    Face { origin, ..Face::new(Rect::new(40.0, 50.0, 80.0, 90.0), expression(id, status)) }
}

fn buffer_with(faces: Vec<Face>) -> gst::Buffer {
    init();
    let mut buffer = gst::Buffer::new();
    meta::attach(buffer.get_mut().unwrap(), &results(faces));
    buffer
}

/// A detection as a stock reader sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    object: String,
    rect: (i32, i32, i32, i32),
    score: f32,
    track: Option<(u64, u64)>,
    /// Each classification: classes and levels.
    classes: Vec<Vec<(String, f32)>>,
}

fn seen(buffer: &gst::BufferRef) -> Vec<Seen> {
    let Some(meta) = buffer.meta::<Meta>() else { return Vec::new() };
    let of = |od: gst_analytics::AnalyticsMtdRef<'_, Detection>| {
        let at = od.location().unwrap();
        let mut tracks = meta.iter_direct_related::<Tracking>(od.id(), RelTypes::RELATE_TO);
        let track = tracks.next().map(|t| (t.info().0, t.info().1.nseconds()));
        let classes = meta.iter_direct_related::<Classification>(od.id(), RelTypes::RELATE_TO);
        let classes = classes
            .map(|c| {
                c.iterate().map(|(quark, level)| (quark.as_str().to_string(), level)).collect()
            })
            .collect();
        Seen {
            object: od.obj_type().unwrap().as_str().to_string(),
            rect: (at.x, at.y, at.w, at.h),
            score: at.loc_conf_lvl,
            track,
            classes,
        }
    };
    meta.iter::<Detection>().map(of).collect()
}

fn class(label: &str, level: f32) -> (String, f32) {
    (label.into(), level)
}

fn all_classes() -> Vec<(String, f32)> {
    vec![class("happy", 0.5), class("neutral", 0.375), class("sad", 0.125)]
}

#[test]
fn a_face_is_a_detection_with_track_classes_and_agreement() {
    let buffer = buffer_with(vec![face(17, Status::Stable)]);
    let expected = Seen {
        object: "face".into(),
        rect: (40, 50, 80, 90),
        score: 0.875,
        track: Some((17, 7)),
        classes: vec![all_classes(), vec![class(AGREEMENT, 0.75)]],
    };
    assert_eq!(seen(&buffer), [expected]);
    assert_eq!(meta::read(&buffer).unwrap().faces.len(), 1);
}

#[test]
fn the_first_class_is_what_is_said_of_the_face() {
    for (status, said) in [(Status::Uncertain, "uncertain"), (Status::LowQuality, "low-quality")] {
        let buffer = buffer_with(vec![face(1, status)]);
        let expected = vec![vec![class(said, 1.0)], all_classes(), vec![class(AGREEMENT, 0.75)]];
        assert_eq!(seen(&buffer)[0].classes, expected);
    }
    let mut changing = face(1, Status::Changing);
    changing.expression.label = Some("sad".into());
    changing.expression.probability = Some(0.125);
    let buffer = buffer_with(vec![changing]);
    assert_eq!(seen(&buffer)[0].classes[..2], [vec![class("sad", 0.125)], all_classes()]);
    let new = Face::new(Rect::new(1.0, 1.0, 9.0, 9.0), Expression::new(Some(2), Status::WarmingUp));
    assert_eq!(seen(&buffer_with(vec![new]))[0].classes, [vec![class("warming-up", 1.0)]]);
}

#[test]
fn what_is_attached_is_found_as_a_face_once() {
    let buffer = buffer_with(vec![face(17, Status::Stable)]);
    let rect = Rect::new(40.0, 50.0, 80.0, 90.0);
    let marked = MarkedFace { region: Some(0), detection: Some(0), id: Some(17), rect };
    assert_eq!(meta::faces(&buffer), [marked]);
}

/// A buffer on which a stock detector and tracker have marked an object of that type.
fn detected(object: &str, rect: (i32, i32, i32, i32), track: Option<u64>) -> gst::Buffer {
    init();
    let mut buffer = gst::Buffer::new();
    let mut meta = Meta::add(buffer.get_mut().unwrap());
    let (x, y, w, h) = rect;
    let od = meta.add_od_mtd(glib::Quark::from_str(object), x, y, w, h, 0.9).unwrap().id();
    if let Some(track) = track {
        let tracking = meta.add_tracking_mtd(track, gst::ClockTime::ZERO).unwrap().id();
        meta.set_relation(RelTypes::RELATE_TO, od, tracking).unwrap();
    }
    buffer
}

#[test]
fn upstream_detections_are_used_again() {
    for (track, ours) in [(None, 5), (Some(5), 5)] {
        let mut buffer = detected("HumanFace", (10, 20, 30, 40), track);
        let marked = meta::faces(&buffer);
        assert_eq!((marked[0].region, marked[0].detection, marked[0].id), (None, Some(0), track));
        let origin = Origin { detection: Some(0), ..Origin::default() };
        let face = Face { origin, ..Face::new(marked[0].rect, expression(ours, Status::Stable)) };
        meta::attach(buffer.get_mut().unwrap(), &results(vec![face]));
        let seen = seen(&buffer);
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].object.as_str(), seen[0].track), ("HumanFace", Some((5, 0))));
        assert_eq!(seen[0].classes[0], all_classes());
    }
    let mut buffer = detected("face", (10, 20, 30, 40), Some(9));
    let origin = Origin { detection: Some(0), ..Origin::default() };
    let rect = Rect::new(10.0, 20.0, 30.0, 40.0);
    let face = Face { origin, ..Face::new(rect, expression(5, Status::Stable)) };
    meta::attach(buffer.get_mut().unwrap(), &results(vec![face]));
    let tracks: Vec<_> = seen(&buffer).iter().map(|s| s.track.map(|t| t.0)).collect();
    assert_eq!(tracks, [Some(9), Some(5)], "what another stream calls otherwise stays its own");
}

#[test]
fn attaching_again_replaces() {
    let mut buffer = buffer_with(vec![face(1, Status::Stable), face(2, Status::Stable)]);
    meta::attach(buffer.get_mut().unwrap(), &results(vec![face(2, Status::Uncertain)]));
    let seen_again = seen(&buffer);
    assert_eq!(seen_again.len(), 1);
    assert_eq!(seen_again[0].track, Some((2, 7)));
    // With another's detections beside ours, which must stay.
    let mut buffer = detected("car", (10, 20, 30, 40), Some(3));
    meta::attach(buffer.get_mut().unwrap(), &results(vec![face(1, Status::Stable)]));
    meta::attach(buffer.get_mut().unwrap(), &results(vec![face(1, Status::Uncertain)]));
    let seen = seen(&buffer);
    assert_eq!((seen[0].object.as_str(), seen[0].track), ("car", Some((3, 0))));
    let labelled: Vec<_> = seen.iter().filter(|s| !s.classes.is_empty()).collect();
    assert_eq!(labelled.len(), 1);
    assert_eq!(labelled[0].classes[0], [class("uncertain", 1.0)]);
}

#[test]
fn odd_upstream_metas_are_passed_over() {
    for (object, rect) in [
        ("car", (10, 20, 30, 40)),
        ("face", (10, 20, 0, 40)),
        ("face", (10, 20, -30, 40)),
        ("face", (i32::MIN, i32::MAX, i32::MAX, 40)),
    ] {
        let buffer = detected(object, rect, None);
        assert_eq!(meta::faces(&buffer), [], "{object} {rect:?}");
    }
    init();
    let mut buffer = gst::Buffer::new();
    let mut meta = Meta::add(buffer.get_mut().unwrap());
    let od = meta.add_od_mtd(glib::Quark::from_str("face"), 1, 2, 30, 40, f32::NAN).unwrap().id();
    let cls = meta.add_one_cls_mtd(0.5, glib::Quark::from_str("hat")).unwrap().id();
    // Relations to itself, to what is no track, in a circle, and to what is not there.
    for (from, to) in [(od, od), (od, cls), (cls, od), (od, 99), (99, od), (u32::MAX, u32::MAX)] {
        let _ = meta.set_relation(RelTypes::RELATE_TO, from, to);
    }
    let marked = meta::faces(&buffer);
    assert_eq!(marked.len(), 1);
    assert_eq!(marked[0].id, None);
    for dangling in [cls, 99, u32::MAX] {
        let origin = Origin { detection: Some(dangling), ..Origin::default() };
        let face = Face { origin, ..face(u64::from(dangling), Status::Stable) };
        meta::attach(buffer.get_mut().unwrap(), &results(vec![face]));
        let tracked: Vec<_> = seen(&buffer).into_iter().filter(|s| !s.classes.is_empty()).collect();
        assert!(
            tracked.iter().any(|s| s.track.map(|t| t.0) == Some(u64::from(dangling))),
            "{tracked:?}"
        );
    }
}

#[test]
fn a_lost_track_gives_no_id() {
    let mut buffer = detected("face", (10, 20, 30, 40), Some(4));
    let mut meta = buffer.get_mut().unwrap().meta_mut::<Meta>().unwrap();
    for mut track in meta.iter_mut::<Tracking>() {
        track.set_lost().unwrap();
    }
    assert_eq!(meta::faces(&buffer)[0].id, None);
}

#[test]
fn survives_format_change_and_scaling() {
    init();
    for (description, rect) in [
        ("videoconvert ! capsfilter caps=video/x-raw,format=I420", (40, 50, 80, 90)),
        ("videoscale ! capsfilter caps=video/x-raw,width=160,height=120", (20, 25, 40, 45)),
    ] {
        let mut h = gst_check::Harness::new_parse(description);
        h.set_src_caps(studio::caps(SIZE.0, SIZE.1, 30));
        let mut buffer = studio::frame(0, &[]);
        meta::attach(buffer.make_mut(), &results(vec![face(17, Status::Stable)]));
        h.push(buffer).unwrap();
        let out = h.pull().unwrap();
        let seen = seen(&out);
        assert_eq!((seen[0].rect, seen[0].track), (rect, Some((17, 7))), "{description}");
        assert_eq!(meta::faces(&out).len(), 1);
    }
}

/// What a stock detector and tracker upstream of the filter mark is analysed under their id.
#[test]
fn the_filter_takes_upstreams_detections() {
    for source in ["upstream", "auto"] {
        let element = studio::filter("sync", studio::by_brightness());
        element.set_property_from_str("face-source", source);
        let mut h = studio::harness(&element);
        let mut last = None;
        for i in 0..60 {
            // Two drawn faces, one of them marked.
            let drawn = [(40, 60, 60, 80, 180), (200, 60, 60, 80, 70)];
            let mut buffer = studio::frame(i, &drawn);
            let mut meta = Meta::add(buffer.make_mut());
            let face = glib::Quark::from_str("face");
            let od = meta.add_od_mtd(face, 40, 60, 60, 80, 0.9).unwrap().id();
            let track = meta.add_tracking_mtd(4711, gst::ClockTime::ZERO).unwrap().id();
            meta.set_relation(RelTypes::RELATE_TO, od, track).unwrap();
            last = Some(h.push_and_pull(buffer).unwrap());
        }
        let last = last.unwrap();
        let read = meta::read(&last).unwrap();
        assert_eq!(read.faces.len(), 1, "{source}");
        let e = &read.faces[0].expression;
        assert_eq!((e.track_id, e.label.as_deref()), (Some(4711), Some("happy")), "{source}");
        assert_eq!(read.faces[0].rect, Some(Rect::new(40.0, 60.0, 60.0, 80.0)));
        let seen = seen(&last);
        assert_eq!(seen.len(), 1, "upstream's detection is used again");
        assert_eq!(seen[0].classes[0][0].0, "happy");
        assert_eq!(last.iter_meta::<Roi>().count(), 1);
    }
}

/// The stock overlay prints our label at the face: it draws where a plain detection leaves the
/// picture as it is. `DFER_GALLERY=FOLDER` keeps the picture.
#[test]
fn the_stock_overlay_draws_our_labels() {
    init();
    if gst::ElementFactory::find("objectdetectionoverlay").is_none() {
        eprintln!("skipped: no objectdetectionoverlay here");
        return;
    }
    let drawn = |status: Status| {
        let mut h = gst_check::Harness::new_parse(
            "videoconvert ! capsfilter caps=video/x-raw,format=BGRA ! objectdetectionoverlay \
             ! videoconvert ! capsfilter caps=video/x-raw,format=RGB",
        );
        h.set_src_caps(studio::caps(SIZE.0, SIZE.1, 30));
        let mut buffer = studio::frame(0, &[(40, 60, 80, 90, 120)]);
        meta::attach(buffer.make_mut(), &results(vec![face(17, status)]));
        h.push(buffer).unwrap();
        let out = h.pull().unwrap();
        if let Some(folder) = std::env::var_os("DFER_GALLERY") {
            let mut png = gst_check::Harness::new_parse("videoconvert ! pngenc");
            png.set_src_caps(studio::caps(SIZE.0, SIZE.1, 30));
            png.push(out.clone()).unwrap();
            let data = png.pull().unwrap();
            let path = std::path::Path::new(&folder).join(format!("stock-overlay-{status}.png"));
            std::fs::write(path, &data.map_readable().unwrap()).unwrap();
        }
        out.map_readable().unwrap().to_vec()
    };
    let plain = studio::frame(0, &[(40, 60, 80, 90, 120)]).map_readable().unwrap().to_vec();
    let (stable, uncertain) = (drawn(Status::Stable), drawn(Status::Uncertain));
    let differing = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    assert!(differing(&plain, &stable) > 500, "a box and a label");
    assert!(differing(&stable, &uncertain) > 50, "another label");
}

#[test]
fn times_that_no_clock_has_do_no_harm() {
    let mut face = face(1, Status::Stable);
    face.origin.first_seen = Some(u64::MAX);
    assert_eq!(seen(&buffer_with(vec![face]))[0].track, Some((1, u64::MAX - 1)));
}
