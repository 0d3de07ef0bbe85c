// SPDX-License-Identifier: MPL-2.0

use super::*;

const MS: Ns = 1_000_000;

fn tracker() -> Tracker {
    Tracker::new(TrackerSettings { track_timeout: SECOND, max_faces: 4, max_tracks: 8 })
}

fn face(x: f32, y: f32, side: f32) -> Rect {
    Rect::new(x, y, side, side)
}

fn detection(rect: Rect) -> Detection {
    let c = rect.center();
    Detection { rect, landmarks: [c; 5], score: 0.9 }
}

fn see(tracker: &mut Tracker, t: Ns, rects: &[Rect]) -> Association {
    let detections: Vec<Detection> = rects.iter().copied().map(detection).collect();
    tracker.associate(t, &detections)
}

fn ids(tracker: &Tracker) -> Vec<u64> {
    tracker.tracks().map(|track| track.id).collect()
}

#[test]
fn faces_keep_their_ids_whatever_the_order() {
    let mut tracker = tracker();
    let (a, b, c) = (face(0., 0., 100.), face(200., 0., 90.), face(400., 0., 80.));
    assert_eq!(see(&mut tracker, 0, &[b, c, a]).ids, [Some(2), Some(3), Some(1)]);
    let next = see(&mut tracker, 40 * MS, &[c.moved(5., 0.), a.moved(5., 0.), b.moved(5., 0.)]);
    assert_eq!(next.ids, [Some(3), Some(1), Some(2)]);
    assert_eq!((next.opened.len(), next.ignored), (0, 0));
    let largest: Vec<u64> = tracker.largest_first().iter().map(|track| track.id).collect();
    assert_eq!(largest, [1, 2, 3]);
}

#[test]
fn every_order_of_the_same_boxes_gives_the_same_tracks() {
    let mut random = 7u64;
    let mut next = move |n: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % n
    };
    let (mut one, mut two) = (tracker(), tracker());
    for step in 0..200u64 {
        let boxes: Vec<Rect> = (0..next(7))
            .map(|_| face(next(300) as f32, next(200) as f32, 40.0 + next(4) as f32 * 10.0))
            .collect();
        let mut shuffled: Vec<usize> = (0..boxes.len()).collect();
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, next(i as u64 + 1) as usize);
        }
        let others: Vec<Rect> = shuffled.iter().map(|i| boxes[*i]).collect();
        let (a, b) =
            (see(&mut one, step * 40 * MS, &boxes), see(&mut two, step * 40 * MS, &others));
        let sorted = |tracker: &Tracker| -> Vec<(u64, Rect)> {
            tracker.tracks().map(|t| (t.id, t.rect)).collect()
        };
        assert_eq!(sorted(&one), sorted(&two));
        assert_eq!(a.ignored, b.ignored);
        for id in a.ids.iter().flatten() {
            assert_eq!(a.ids.iter().filter(|other| *other == &Some(*id)).count(), 1);
        }
        assert_eq!(one.expire(step * 40 * MS), two.expire(step * 40 * MS));
    }
    assert!(one.next_id > 20, "hardly anything happened");
}

#[test]
fn a_face_is_lost_after_the_timeout_and_comes_back_as_another() {
    let mut tracker = tracker();
    let a = face(50., 50., 100.);
    see(&mut tracker, 0, &[a]);
    see(&mut tracker, 500 * MS, &[]);
    assert!(tracker.get(1).unwrap().missing);
    assert!(tracker.expire(SECOND).is_empty());
    assert_eq!(see(&mut tracker, SECOND, &[a]).ids, [Some(1)]);
    assert!(!tracker.get(1).unwrap().missing);
    assert!(tracker.expire(2 * SECOND).is_empty());
    assert_eq!(tracker.expire(2 * SECOND + 1), [1]);
    assert_eq!(see(&mut tracker, 3 * SECOND, &[a]).opened, [2]);
}

#[test]
fn a_moving_face_is_expected_ahead_and_slows_down_unseen() {
    let mut tracker = tracker();
    for i in 0..40u64 {
        let x = 5.0 * i as f32;
        assert_eq!(see(&mut tracker, i * 50 * MS, &[face(x, 0., 100.)]).ids, [Some(1)]);
    }
    // 100 pixels a second; half a second of coasting does 63 % of 50 pixels.
    let seen = 39 * 50 * MS;
    let ahead = |t: Ns| tracker.predict(1, seen + t).unwrap().x - 195.0;
    assert!((ahead(50 * MS) - 5.0).abs() < 0.5, "{}", ahead(50 * MS));
    assert!((ahead(500 * MS) - 31.6).abs() < 0.5, "{}", ahead(500 * MS));
    assert!((ahead(100 * SECOND) - 50.0).abs() < 0.5, "{}", ahead(100 * SECOND));
    let back = tracker.predict(1, seen - 50 * MS).unwrap().x;
    assert!((back - 190.0).abs() < 0.5, "{back}");
    assert_eq!(tracker.predict(2, 0), None);
}

#[test]
fn crossing_faces_keep_their_ids() {
    let mut tracker = tracker();
    let mut last = Association::default();
    for i in 0..=30u64 {
        // Towards each other at 300 pixels a second; where they overlap a detector sees one.
        let (a, b) = (face(10.0 * i as f32, 0., 100.), face(300.0 - 10.0 * i as f32, 10., 96.));
        let seen = if a.iou(&b) > 0.4 { vec![a] } else { vec![b, a] };
        last = see(&mut tracker, i * 33 * MS, &seen);
        tracker.expire(i * 33 * MS);
    }
    assert_eq!(last.ids, [Some(2), Some(1)]);
    assert_eq!(ids(&tracker), [1, 2]);
}

#[test]
fn a_fast_face_is_found_again_by_nearness() {
    let mut tracker = tracker();
    see(&mut tracker, 0, &[face(0., 0., 40.), face(0., 300., 40.)]);
    let jump = see(&mut tracker, 40 * MS, &[face(30., 0., 40.), face(60., 300., 40.)]);
    assert_eq!(jump.opened.len(), 1);
    assert_eq!(jump.ids[0], Some(if tracker.get(1).unwrap().rect.y < 100.0 { 1 } else { 2 }));
}

#[test]
fn one_face_never_gets_two_tracks() {
    let mut tracker = tracker();
    let a = face(0., 0., 100.);
    let doubled = see(&mut tracker, 0, &[a.moved(10., 0.), a, face(20., 20., 50.)]);
    assert_eq!(doubled.ids.iter().flatten().count(), 1);
    assert_eq!((doubled.opened.len(), doubled.ignored), (1, 0));
    let mut weak = detection(a.moved(20., 0.));
    weak.score = 0.3;
    let again = tracker.associate(40 * MS, &[weak, detection(a)]);
    assert_eq!(again.ids, [None, Some(1)]);
    assert_eq!(tracker.get(1).unwrap().rect, a);
}

#[test]
fn two_tracks_on_one_face_become_the_older() {
    let mut tracker = tracker();
    see(&mut tracker, 0, &[face(0., 0., 100.), face(120., 0., 100.)]);
    // The younger drifts onto the older, a little every frame.
    for i in 1..60u64 {
        let t = i * 33 * MS;
        let drift = (120.0 - 4.0 * i as f32).max(0.0);
        let (old, young) = (
            tracker.observe(1, t, face(0., 0., 100.), None, 0.9),
            tracker.observe(2, t, face(drift, 0., 100.), None, 0.9),
        );
        assert!(old && (young || tracker.get(2).is_none()));
        tracker.expire(t);
    }
    assert_eq!(ids(&tracker), [1]);
    assert!(!tracker.get(1).unwrap().missing);
}

#[test]
fn a_track_that_lands_on_its_neighbour_gives_way() {
    for first in [1, 2] {
        let mut tracker = tracker();
        see(&mut tracker, 0, &[face(0., 0., 100.), face(150., 0., 100.)]);
        for i in 1..10u64 {
            let t = i * 33 * MS;
            tracker.observe(1, t, face(0., 0., 100.), None, 0.9);
            tracker.observe(2, t, face(150., 0., 100.), None, 0.9);
        }
        // Both are now found where only the second has reason to be.
        for id in [first, 3 - first] {
            tracker.observe(id, 330 * MS, face(150., 0., 100.), None, 0.9);
        }
        assert!(tracker.get(1).unwrap().missing && !tracker.get(2).unwrap().missing);
        assert_eq!(tracker.get(1).unwrap().rect, face(0., 0., 100.));
        assert!(tracker.observe(1, 363 * MS, face(0., 0., 100.), None, 0.9));
        assert!(!tracker.get(1).unwrap().missing);
    }
}

#[test]
fn late_answers_change_nothing() {
    let mut tracker = tracker();
    let a = face(0., 0., 100.);
    see(&mut tracker, 100 * MS, &[a]);
    assert!(!tracker.observe(1, 60 * MS, a.moved(9., 0.), None, 0.9));
    assert!(!tracker.observe(7, 200 * MS, a, None, 0.9));
    assert!(!tracker.observe(1, 200 * MS, Rect::new(f32::NAN, 0., 1., 1.), None, 0.9));
    tracker.miss(1, 60 * MS);
    see(&mut tracker, 50 * MS, &[]);
    let track = tracker.get(1).unwrap();
    assert_eq!((track.rect, track.last_seen, track.missing), (a, 100 * MS, false));
    assert!(tracker.observe(
        1,
        140 * MS,
        a.moved(3., 0.),
        Some([Point::new(f32::NAN, 1.0); 5]),
        0.8
    ));
    assert_eq!(tracker.get(1).unwrap().landmarks, None);
    tracker.miss(1, 180 * MS);
    assert!(tracker.get(1).unwrap().missing);
}

#[test]
fn places_go_to_the_largest() {
    let mut tracker = tracker();
    let row: Vec<Rect> = (0..6).map(|i| face(200.0 * i as f32, 0., 50.0 + i as f32)).collect();
    let first = see(&mut tracker, 0, &row);
    assert_eq!((first.opened.len(), first.ignored), (4, 2));
    assert_eq!(&first.ids[..2], [None, None]);
    // Hardly larger is no reason to give up a face that is followed, much larger is.
    let mut next = row.clone();
    next[0] = face(0., 0., 54.0);
    assert_eq!(see(&mut tracker, 40 * MS, &next).ids[0], None);
    next[0] = face(0., 0., 90.0);
    let large = see(&mut tracker, 80 * MS, &next);
    assert_eq!((large.ids[0], large.ids[2]), (Some(5), None));
    assert_eq!(tracker.expire(80 * MS), first.ids[2].into_iter().collect::<Vec<_>>());
    assert_eq!(tracker.tracks().count(), 4);
}

#[test]
fn five_hundred_boxes_and_nonsense_are_bounded() {
    let mut tracker = tracker();
    let mut boxes: Vec<Rect> =
        (0..500).map(|i| face(30.0 * (i % 25) as f32, 30.0 * (i / 25) as f32, 20.0)).collect();
    for (i, bad) in [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e30].into_iter().enumerate() {
        boxes[i * 7].w = bad;
    }
    for i in 0..20u64 {
        let result = see(&mut tracker, i * 40 * MS, &boxes);
        assert_eq!(result.ids.len(), 500);
        assert_eq!(result.ids.iter().flatten().count() + result.ignored, 500);
        assert!(tracker.tracks().count() <= 8);
    }
    assert_eq!(tracker.tracks().count(), 4);
    let upstream: Vec<_> =
        boxes.iter().enumerate().map(|(i, r)| (Some(1000 + i as u64), *r)).collect();
    for i in 20..40u64 {
        tracker.adopt(i * 40 * MS, &upstream);
        assert!(tracker.tracks().count() <= 8);
    }
    let mut none = Tracker::new(TrackerSettings { track_timeout: 0, max_faces: 0, max_tracks: 0 });
    assert_eq!(see(&mut none, 0, &boxes).ignored, 500);
}

#[test]
fn ids_from_upstream_are_kept() {
    let mut tracker = tracker();
    let (a, b, c) = (face(0., 0., 100.), face(200., 0., 100.), face(400., 0., 100.));
    let first = tracker.adopt(0, &[(Some(41), a), (None, b), (Some(7), c)]);
    assert_eq!((first.ids[0], first.ids[2]), (Some(41), Some(7)));
    let ours = first.ids[1].unwrap();
    assert!(ours != 41 && ours != 7);
    // Upstream says that 41 and 7 have changed places; b keeps its id by where it is.
    let next = tracker.adopt(40 * MS, &[(Some(7), a), (Some(41), c), (None, b)]);
    assert_eq!(next.ids, [Some(7), Some(41), Some(ours)]);
    // An id that comes twice says nothing, nor does one that is ours.
    let twice = tracker.adopt(80 * MS, &[(Some(9), a), (Some(9), c), (Some(ours), b)]);
    assert_eq!(twice.ids, [Some(7), Some(41), Some(ours)]);
    // Ours never run into theirs, even at the end of the numbers.
    let high = tracker.adopt(120 * MS, &[(Some(u64::MAX), a), (Some(500), face(600., 0., 100.))]);
    assert_eq!(high.ids, [Some(7), Some(500)]);
    assert_eq!(tracker.adopt(2 * SECOND, &[(None, face(0., 400., 90.))]).opened.len(), 1);
    assert!(tracker.tracks().all(|track| track.id <= 501));
}

#[test]
fn ids_go_on_after_a_reset() {
    let mut tracker = tracker();
    see(&mut tracker, 5 * SECOND, &[face(0., 0., 100.)]);
    tracker.reset();
    assert_eq!(tracker.tracks().count(), 0);
    assert!(tracker.expire(0).is_empty());
    assert_eq!(see(&mut tracker, 0, &[face(0., 0., 100.)]).opened, [2]);
}
