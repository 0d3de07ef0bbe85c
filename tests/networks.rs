// SPDX-License-Identifier: MPL-2.0

//! Small networks from their files to their answers.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::folder;
use gstdfer::core::networks::{Clip, ExpressionNetwork, Feature};
use gstdfer::core::pixels::{Channels, Picture};
use gstdfer::core::{Error, Ns, Point, Rect};
use gstdfer::runtime::graph::Backend;
use gstdfer::runtime::models;
use gstdfer::runtime::tract::Tract;

fn backend() -> Arc<dyn Backend> {
    Arc::new(Tract)
}

fn expression(path: &Path, clips: usize) -> Arc<dyn ExpressionNetwork> {
    models::expression(&backend(), Some(path), clips).unwrap()
}

fn flat(channels: Channels, side: usize, value: u8) -> Picture {
    Picture::new(channels, side, side, vec![value; side * side * channels.count()]).unwrap()
}

/// A grey crop whose quarters have these values.
fn quarters(values: [u8; 4]) -> Picture {
    let data = (0..256).map(|i| values[i / 128 * 2 + i % 16 / 8]).collect();
    Picture::new(Channels::Gray, 16, 16, data).unwrap()
}

/// Puts the features one second apart: the synopsis first, then the detail in groups of `group`.
fn clip<'a>(synopsis: &[&'a Feature], detail: &[&'a Feature], group: usize) -> Clip<'a> {
    let timed = |(i, f): (usize, &&'a Feature)| (i as Ns, *f);
    let detail: Vec<_> = detail.iter().enumerate().map(timed).collect();
    Clip {
        synopsis: synopsis.iter().enumerate().map(timed).collect(),
        detail: detail.chunks(group).map(<[_]>::to_vec).collect(),
    }
}

#[track_caller]
fn assert_near(found: &[f32], want: &[f32]) {
    assert_eq!(found.len(), want.len());
    let near = found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near, "{found:?} is not {want:?}");
}

#[test]
fn factored_network_from_pixels_to_answers() {
    let folder = folder::factored();
    let network = expression(folder.path(), 2);
    let spec = network.spec();
    assert_eq!(spec.classes.iter().map(|c| &**c).collect::<Vec<_>>(), ["happy", "sad", "neutral"]);
    assert_eq!((spec.size, spec.sampling.window, spec.temperature), (16, 2_560_000_000, 1.5));

    let dark = network.encode(quarters([0, 51, 102, 255])).unwrap();
    let bright = network.encode(flat(Channels::Gray, 16, 255)).unwrap();
    let Feature::Embedding(values) = &dark else { panic!("{dark:?}") };
    assert_near(values, &[-1.0, -0.6, -0.2, 1.0, 1.0, 0.6, 0.2, -1.0]);

    // More clips than one run of the head takes, the last run not full.
    let still = clip(&[&dark; 4], &[&dark; 4], 2);
    let rising = clip(&[&dark, &dark, &bright, &bright], &[&bright; 4], 2);
    let clips = [still.clone(), rising.clone(), still];
    let moments = network.moments(&clips).unwrap();
    assert_eq!(moments.len(), 3);
    assert_near(&moments[1], &[-0.8, -0.8, 4.0, 4.0]);
    let answers = network.answer(&clips).unwrap();
    assert_eq!(answers.len(), 3);
    assert_near(answers[1].long.as_deref().unwrap(), &[0.0, 0.2, 0.4]);
    assert_near(answers[1].short.as_deref().unwrap(), &[2.0, 2.0, 2.0]);
    assert_near(&answers[1].fused, &[2.0, 2.2, 2.4]);
    assert_eq!(answers[0], answers[2]);
    assert_near(&answers[2].fused, &[-3.0, -1.8, -0.6]);
    assert!(network.answer(&[]).unwrap().is_empty());
}

#[test]
fn factored_network_refuses_what_is_not_its_own() {
    let folder = folder::factored();
    let network = expression(folder.path(), 1);
    let error = network.encode(flat(Channels::Rgb, 20, 0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "picture does not fit its description: the network takes Gray of 16x16, not Rgb of 20x20"
    );
    let good = network.encode(flat(Channels::Gray, 16, 9)).unwrap();
    let foreign = Feature::Embedding(vec![0.0; 5].into());
    let id = &network.spec().model;
    for (clip, why) in [
        (
            clip(&[&good, &good, &good, &foreign], &[], 2),
            "a frame of the clip was not encoded by this network",
        ),
        (clip(&[&good; 3], &[], 2), "the clip has too few frames"),
        (clip(&[&good; 5], &[], 2), "the clip has too many frames"),
    ] {
        let want = Error::Inference { network: id.clone(), reason: why.to_owned() };
        assert_eq!(network.moments(&[clip]), Err(want));
    }
}

#[test]
fn clip_network_gets_its_frames_in_order_of_time() {
    for layout in ["BTCHW", "BCTHW"] {
        let folder = folder::clip(layout);
        let network = expression(&folder.file("model.toml"), 5);
        let grey = |v| network.encode(flat(Channels::Rgb, 16, v)).unwrap();
        let frames = [grey(0), grey(51), grey(102), grey(153), grey(204), grey(255)];
        let at = |i: usize| (i as Ns, &frames[i]);
        let clip =
            Clip { synopsis: vec![at(0), at(2), at(3), at(5)], detail: vec![vec![at(1), at(4)]] };
        // Mean of the synopsis: 127.5; the differences, in parts of full scale.
        assert_near(
            &network.moments(std::slice::from_ref(&clip)).unwrap()[0],
            &[0.5, 0.1, 0.1, 0.5],
        );
        let answers = network.answer(&[clip.clone(), clip]).unwrap();
        assert_near(&answers[0].fused, &[0.0, 0.2, 0.4]);
        assert_eq!(answers[0], answers[1]);
        assert!(answers[0].long.is_none() && answers[0].short.is_none());
        assert_eq!(network.spec().temperature, 1.0);
    }
}

#[test]
fn clip_network_refuses_wrong_clips() {
    let folder = folder::clip("BTCHW");
    let network = expression(folder.path(), 5);
    let frame = network.encode(flat(Channels::Rgb, 16, 1)).unwrap();
    let reason = "the clip has 3 frames, the network takes 6".to_owned();
    let want = Error::Inference { network: network.spec().model.clone(), reason };
    assert_eq!(network.answer(&[clip(&[&frame; 3], &[], 2)]), Err(want));
    let foreign = Feature::Embedding(vec![0.0].into());
    let reason = "a frame of the clip was encoded by another network".to_owned();
    let want = Error::Inference { network: network.spec().model.clone(), reason };
    assert_eq!(network.answer(&[clip(&[&foreign; 4], &[&frame; 2], 2)]), Err(want));
}

#[test]
fn detector_finds_bright_spots() {
    let folder = folder::detector();
    let detector = models::detector(&backend(), Some(folder.path())).unwrap();
    assert_eq!(detector.spec().frame_size, (64, 32));
    let mut picture = Picture::new(Channels::Rgb, 64, 32, vec![0; 64 * 32 * 3]).unwrap();
    // A bright cell at (1, 2) and a less bright one at (6, 1).
    for (column, row, value) in [(1, 2, 255), (6, 1, 153)] {
        for y in row * 8..row * 8 + 8 {
            for x in column * 8..column * 8 + 8 {
                picture.data[(y * 64 + x) * 3..][..3].fill(value);
            }
        }
    }
    let found = detector.detect(&picture, 0.5).unwrap();
    assert_eq!(found.len(), 2);
    assert_near(&[found[0].score, found[1].score], &[0.999_954_6, 0.880_797]);
    let Rect { x, y, w, h } = found[0].rect;
    assert_near(&[x, y, w, h], &[4.0, 8.0, 16.0, 24.0]);
    assert_eq!(found[0].landmarks[3], Point::new(16.0, 20.0));
    assert_eq!(detector.detect(&picture, 0.9).unwrap().len(), 1);

    let window = flat(Channels::Rgb, 32, 255);
    assert!(!detector.detect(&window, 0.5).unwrap().is_empty());
    // A frame of another shape: the same spot, found in an upright picture.
    let mut upright = Picture::filled(Channels::Rgb, 32, 64, 0);
    for y in 40..48 {
        upright.data[(y * 32 + 8) * 3..(y * 32 + 16) * 3].fill(255);
    }
    let Rect { x, y, w, h } = detector.detect(&upright, 0.5).unwrap()[0].rect;
    assert_near(&[x, y, w, h], &[4.0, 32.0, 16.0, 24.0]);
    let error = detector.detect(&flat(Channels::Rgb, 48, 0), 0.5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "picture does not fit its description: the detector takes Rgb of 64x32, or as many pixels in another shape, or 32x32, not Rgb of 48x48"
    );
}

#[test]
fn one_load_is_shared_until_nobody_uses_it() {
    let (folder, copy) = (folder::factored(), folder::factored());
    let first = expression(folder.path(), 3);
    // The same content is the same model, wherever it lies.
    let second = expression(copy.path(), 3);
    assert!(std::ptr::addr_eq(Arc::as_ptr(&first), Arc::as_ptr(&second)));
    let other = expression(folder.path(), 4);
    assert!(!std::ptr::addr_eq(Arc::as_ptr(&first), Arc::as_ptr(&other)));
    let weak = Arc::downgrade(&first);
    drop((first, second));
    assert!(weak.upgrade().is_none());
    assert_eq!(expression(folder.path(), 3).spec().size, 16);
}

#[test]
fn several_threads_share_a_network() {
    let folder = folder::factored();
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = |value: u8| {
            let folder = &folder;
            scope.spawn(move || {
                let network = expression(folder.path(), 2);
                let encode = || network.encode(flat(Channels::Gray, 16, value)).unwrap();
                let first = encode();
                assert!((0..200).all(|_| encode() == first));
                first
            })
        };
        let threads: Vec<_> = [0, 85, 170, 255].map(work).into_iter().collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for (feature, want) in results.iter().zip([-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0]) {
        let Feature::Embedding(values) = feature else { panic!("{feature:?}") };
        assert_near(&values[..4], &[want; 4]);
    }
}

/// The models of the library load and answer, and the classes are in the order that all know.
#[test]
fn built_in_models_work() {
    let network = models::expression(&backend(), None, 5).unwrap();
    let spec = network.spec().clone();
    let classes: Vec<&str> = spec.classes.iter().map(|c| &**c).collect();
    assert_eq!(classes, ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"]);
    assert_eq!(spec.model, models::describe(None).unwrap().model);
    let frame = network.encode(flat(spec.channels, spec.size, 128)).unwrap();
    let clip = Clip {
        synopsis: vec![(0, &frame); spec.sampling.synopsis],
        detail: vec![vec![(0, &frame); spec.sampling.detail]; spec.sampling.moments],
    };
    let clips = vec![clip; 5];
    assert_eq!(network.moments(&clips).unwrap()[4].len(), spec.sampling.synopsis);
    let answers = network.answer(&clips).unwrap();
    assert!(answers.iter().all(|a| a.fused.len() == 7 && *a == answers[0]));

    let detector = models::detector(&backend(), None).unwrap();
    let info = models::describe_detector().unwrap();
    assert_eq!((info.kind, &info.model), ("detector", &detector.spec().model));
    let (width, height) = detector.spec().frame_size;
    let grey = Picture::new(Channels::Rgb, width, height, vec![128; width * height * 3]).unwrap();
    assert_eq!(detector.detect(&grey, detector.spec().score_threshold).unwrap(), []);
}
