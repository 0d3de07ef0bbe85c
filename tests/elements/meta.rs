// SPDX-License-Identifier: MPL-2.0

use gst_video::VideoRegionOfInterestMeta as Roi;
use gstdfer::core::Rect;
use gstdfer::core::result::{Expression, Probabilities, Status};
use gstdfer::meta::{self, Face, FrameResults, META_NAME, Origin};

use crate::init;

fn expression(track_id: u64, label: &str) -> Expression {
    Expression {
        label: Some(label.into()),
        probability: Some(0.75),
        probabilities: Some(Probabilities(vec![(label.into(), 0.75), ("sad".into(), 0.25)])),
        agreement: Some(0.9),
        ..Expression::new(Some(track_id), Status::Stable)
    }
}

fn results(faces: Vec<Face>) -> FrameResults {
    FrameResults { stream: "filter".into(), seq: 3, faces, ignored: 2, ..FrameResults::default() }
}

fn one_face() -> FrameResults {
    results(vec![Face::new(Rect::new(40.0, 40.0, 80.0, 80.0), expression(17, "happy"))])
}

fn from_region(index: usize) -> Origin {
    Origin { region: Some(index), ..Origin::default() }
}

fn regions(buffer: &gst::BufferRef) -> Vec<(i32, (u32, u32, u32, u32))> {
    buffer.iter_meta::<Roi>().map(|roi| (roi.id(), roi.rect())).collect()
}

fn custom_metas(buffer: &gst::BufferRef) -> usize {
    let metas = buffer.iter_meta::<gst::Meta>();
    metas.filter(|m| m.try_as_custom_meta().is_some_and(|c| c.has_name(META_NAME))).count()
}

#[test]
fn what_is_attached_is_read() {
    init();
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    let written = results(vec![
        Face::new(Rect::new(40.0, 40.0, 80.0, 80.0), expression(17, "happy")),
        Face::new(Rect::new(0.0, 0.0, 10.0, 10.0), expression(2, "fear")),
    ]);
    meta::attach(buffer, &written);
    assert_eq!(meta::read(buffer), Some(written));
    let roi = buffer.iter_meta::<Roi>().next().unwrap();
    let param = roi.param(meta::PARAM).unwrap();
    assert_eq!(meta::from_structure(param), Ok(expression(17, "happy")));
}

#[test]
fn a_frame_without_faces_is_a_result_too() {
    init();
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    assert_eq!(meta::read(buffer), None);
    meta::attach(buffer, &results(vec![]));
    assert_eq!(meta::read(buffer), Some(results(vec![])));
    assert_eq!(regions(buffer), []);
}

#[test]
fn boxes_that_no_region_can_hold() {
    init();
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    let odd = [
        (Rect::new(-20.4, 10.2, 50.0, 30.0), Some(Rect::new(0.0, 10.0, 30.0, 30.0))),
        (Rect::new(5.0, 5.0, 0.2, 0.2), Some(Rect::new(5.0, 5.0, 1.0, 1.0))),
        (Rect::new(-50.0, 0.0, 20.0, 20.0), None),
        (Rect::new(f32::NAN, 0.0, 20.0, 20.0), None),
        (Rect::new(0.0, 0.0, f32::INFINITY, 20.0), None),
        (Rect::new(0.0, 0.0, 0.0, 20.0), None),
    ];
    let faces = odd.iter().enumerate();
    let faces = faces.map(|(i, (rect, _))| Face::new(*rect, expression(i as u64 + 1, "sad")));
    meta::attach(buffer, &results(faces.collect()));
    let read = meta::read(buffer).unwrap();
    let rects: Vec<_> = read.faces.iter().map(|f| f.rect).collect();
    assert_eq!(rects, odd.iter().map(|(_, expected)| *expected).collect::<Vec<_>>());
}

#[test]
fn an_upstream_region_is_used_again() {
    init();
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    Roi::add(buffer, "car", (1, 1, 1, 1));
    let mut roi = Roi::add(buffer, meta::ROI_TYPE, (10, 20, 30, 40));
    roi.add_param(gst::Structure::new_empty("detection"));
    let upstream = meta::faces(buffer);
    assert_eq!(upstream.len(), 1);
    assert_eq!((upstream[0].region, upstream[0].id), (Some(1), None));
    let face =
        Face { origin: from_region(1), ..Face::new(upstream[0].rect, expression(5, "angry")) };
    meta::attach(buffer, &results(vec![face]));
    assert_eq!(regions(buffer), [(0, (1, 1, 1, 1)), (5, (10, 20, 30, 40))]);
    let roi = buffer.iter_meta::<Roi>().nth(1).unwrap();
    assert!(roi.param("detection").is_some() && roi.param(meta::PARAM).is_some());
    assert_eq!(meta::faces(buffer)[0].id, Some(5));
}

#[test]
fn attaching_again_replaces() {
    init();
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    Roi::add(buffer, meta::ROI_TYPE, (10, 20, 30, 40))
        .add_param(gst::Structure::new_empty("detection"));
    let upstream = |label| Face {
        origin: from_region(0),
        ..Face::new(Rect::new(10.0, 20.0, 30.0, 40.0), expression(5, label))
    };
    meta::attach(
        buffer,
        &results(vec![
            upstream("angry"),
            Face::new(Rect::new(1.0, 1.0, 9.0, 9.0), expression(6, "sad")),
        ]),
    );
    assert_eq!(regions(buffer).len(), 2);
    meta::attach(buffer, &results(vec![upstream("happy")]));
    assert_eq!(custom_metas(buffer), 1);
    assert_eq!(regions(buffer), [(5, (10, 20, 30, 40))], "upstream's stays, the added one goes");
    let roi = buffer.iter_meta::<Roi>().next().unwrap();
    let names: Vec<_> = roi.params().map(|p| p.name().to_string()).collect();
    assert_eq!(names, ["detection", meta::PARAM]);
    let param = roi.param(meta::PARAM).unwrap();
    assert_eq!(meta::from_structure(param), Ok(expression(5, "happy")));
}

#[test]
fn streams_do_not_take_each_others_regions() {
    init();
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    meta::attach(buffer, &one_face());
    let rect = Rect::new(40.0, 40.0, 80.0, 80.0);
    let second = FrameResults {
        stream: "second".into(),
        faces: vec![Face { origin: from_region(0), ..Face::new(rect, expression(1, "sad")) }],
        ..one_face()
    };
    meta::attach(buffer, &second);
    assert_eq!(regions(buffer).iter().map(|r| r.0).collect::<Vec<_>>(), [17, 1]);
    assert_eq!(meta::read(buffer).unwrap().stream, "second", "the newest is read");
    assert_eq!(custom_metas(buffer), 2);
}

#[test]
fn track_ids_beyond_the_ids_of_regions() {
    init();
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    let rect = Rect::new(1.0, 2.0, 30.0, 40.0);
    let ids = [0, i32::MAX as u64 + 1, u64::MAX];
    let written = results(
        ids.iter()
            .map(|id| Face::new(rect.moved(*id as f32 % 7.0, 0.0), expression(*id, "sad")))
            .collect(),
    );
    meta::attach(buffer, &written);
    let read = meta::read(buffer).unwrap();
    assert_eq!(read.faces.iter().map(|f| f.expression.track_id).collect::<Vec<_>>(), ids.map(Some));
    assert!(regions(buffer).iter().all(|(id, _)| *id >= 0), "ids of regions stay positive");
    assert!(read.faces.iter().all(|f| f.rect.is_some()));
}

#[test]
fn a_lost_region_leaves_the_result() {
    init();
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    meta::attach(buffer, &one_face());
    buffer.iter_meta_mut::<Roi>().next().unwrap().set_id(99);
    let read = meta::read(buffer).unwrap();
    assert_eq!((read.faces[0].rect, read.faces[0].expression.track_id), (None, Some(17)));
}

/// Changes the custom meta of a good frame; whether it is still read.
fn readable_after(change: impl Fn(&mut gst::StructureRef)) -> bool {
    let mut buffer = gst::Buffer::new();
    let buffer = buffer.get_mut().unwrap();
    meta::attach(buffer, &one_face());
    let mut custom = gst::meta::CustomMeta::from_mut_buffer(buffer, META_NAME).unwrap();
    change(custom.mut_structure());
    meta::read(buffer).is_some()
}

#[test]
fn what_breaks_the_contract_is_refused() {
    init();
    assert!(readable_after(|s| s.set("colour", "blue")), "unknown fields are ignored");
    assert!(!readable_after(|s| s.set("schema", "dfer/2")));
    assert!(!readable_after(|s| s.remove_field("schema")));
    assert!(!readable_after(|s| s.remove_field("faces")));
    assert!(!readable_after(|s| s.set("faces", "none")));
    assert!(!readable_after(|s| s.set("faces", gst::Array::new([1, 2]))));
    assert!(!readable_after(|s| s.set("seq", -1)));
    let face =
        gst::Structure::builder("dfer").field("status", "stable").field("track-id", -1).build();
    assert!(!readable_after(|s| s.set("faces", gst::Array::new([face.clone()]))));
    assert!(!readable_after(|s| s.remove_all_fields()));
}

/// Pushes a 320x240 RGB buffer with one face through a description; what comes out.
fn through(description: &str) -> gst::Buffer {
    let mut h = gst_check::Harness::new_parse(description);
    h.set_src_caps_str("video/x-raw,format=RGB,width=320,height=240,framerate=30/1");
    let mut buffer = gst::Buffer::with_size(320 * 240 * 3).unwrap();
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    meta::attach(buffer.get_mut().unwrap(), &one_face());
    h.push(buffer).unwrap();
    h.push_event(gst::event::Eos::new());
    h.pull().unwrap()
}

#[test]
fn survives_format_change_and_scaling() {
    init();
    let out = through("videoconvert ! capsfilter caps=video/x-raw,format=I420");
    assert_eq!(meta::read(&out), Some(one_face()));
    let out = through("videoscale ! capsfilter caps=video/x-raw,width=160,height=120");
    let mut scaled = one_face();
    scaled.faces[0].rect = Some(Rect::new(20.0, 20.0, 40.0, 40.0));
    assert_eq!(meta::read(&out), Some(scaled));
}

#[test]
fn survives_tee_and_queue() {
    init();
    assert_eq!(meta::read(&through("tee ! queue ! identity")), Some(one_face()));
}

#[test]
fn a_crop_keeps_the_result_without_a_place() {
    init();
    let out = through("videocrop left=10 top=10");
    let read = meta::read(&out).unwrap();
    assert_eq!(read.faces[0].rect, None);
    assert_eq!(read.faces[0].expression, one_face().faces[0].expression);
}
