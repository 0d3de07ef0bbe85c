// SPDX-License-Identifier: MPL-2.0

//! What the elements say of one sample.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use gst::prelude::*;
use gstdfer::core::Ns;
use gstdfer::core::Rect;
use gstdfer::core::analyst::{MIN_WINDOW, Networks};
use gstdfer::core::networks::FaceDetector;
use gstdfer::core::types::SECOND;
use gstdfer::filter::{DferBase, DferBaseExt};
use gstdfer::runtime::graph::Backend;
use gstdfer::runtime::models;
use gstdfer::runtime::tract::Tract;
use serde::{Deserialize, Serialize};

use crate::dataset::{Sample, entries};
use crate::doubting::Doubting;
use crate::listener::Listener;
use crate::metrics::Answer;
use crate::player::{Player, make};
use crate::timeline::Timeline;
use crate::{Faces, shown, stop};

/// A still picture is shown for this many frames, the last one at 1.2 s; more of the same picture
/// would only take more time.
const STILL_FRAMES: i32 = 7;
const STILL_RATE: i32 = 5;

/// Pixels a side: a larger picture may show more than a face.
const CUT_OUT: i32 = 128;

/// Clips that a decision compares.
const CLIPS: usize = 5;

/// Everything that samples have in common.
pub struct Predictor {
    networks: Networks,
    /// For samples in which no face is found.
    doubting: Option<Networks>,
    settings: Settings,
}

/// How samples are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub faces: Faces,
    /// Frames a second of folders of pictures.
    pub rate: i32,
    /// Keep the logits of every clip.
    pub logits: bool,
}

/// What was seen in one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Mean over all decisions on the largest face; `None` when nothing was decided.
    pub answer: Option<Answer>,
    /// Key moments of these decisions, in order of time.
    pub keys: Vec<Key>,
    /// Of every clip of every one of these decisions, where they are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logits: Vec<Vec<Vec<f32>>>,
    /// The detector would not take it for a face, but there was no other, or the picture itself was taken for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubtful: bool,
}

/// A key moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Key {
    pub t: Ns,
    /// Where the face was, in pixels.
    #[serde(rename = "box", default, skip_serializing_if = "Option::is_none")]
    pub rect: Option<Rect>,
}

impl Predictor {
    /// The networks are loaded here, once for all samples.
    pub fn new(
        model: Option<&Path>,
        detector: Option<&Path>,
        settings: Settings,
    ) -> Result<Self, String> {
        let backend: Arc<dyn Backend> = Arc::new(Tract);
        let expression = models::expression(&backend, model, CLIPS).map_err(|e| e.to_string())?;
        let detector = match settings.faces {
            Faces::Frame => None,
            Faces::Detector => {
                Some(models::detector(&backend, detector).map_err(|e| e.to_string())?)
            }
        };
        let doubting = detector.clone().map(|detector| {
            let detector: Arc<dyn FaceDetector> = Arc::new(Doubting::new(detector));
            Networks { detector: Some(detector), expression: expression.clone() }
        });
        Ok(Self { networks: Networks { detector, expression }, doubting, settings })
    }

    /// Of the model, in its order.
    pub fn classes(&self) -> Vec<String> {
        self.networks.expression.spec().classes.iter().map(ToString::to_string).collect()
    }

    /// `name@hash`.
    pub fn model(&self) -> &str {
        &self.networks.expression.spec().model
    }

    pub fn temperature(&self) -> f32 {
        self.networks.expression.spec().temperature
    }

    /// `name@hash`.
    pub fn detector(&self) -> Option<String> {
        self.networks.detector.as_ref().map(|detector| detector.spec().model.clone())
    }

    /// Runs one sample. As it has a label it has a face: where none is found, the likeliest thing is
    /// taken for it; of a picture that is small or square, the whole. Such are collections of faces cut out, often
    /// tighter than the detector likes.
    pub fn look(&self, path: &Path) -> Result<Seen, String> {
        let (seen, size) = self.look_with(self.networks.clone(), self.settings.faces, path)?;
        match &self.doubting {
            Some(doubting) if seen.answer.is_none() && !stop::requested() => {
                let cut_out = size.is_some_and(|(w, h)| w == h || w.max(h) <= CUT_OUT);
                let faces = if cut_out { Faces::Frame } else { Faces::Detector };
                let (seen, _) = self.look_with(doubting.clone(), faces, path)?;
                Ok(Seen { doubtful: seen.answer.is_some(), ..seen })
            }
            _ => Ok(seen),
        }
    }

    /// What is seen, and width and height of the first frame.
    fn look_with(
        &self,
        mut networks: Networks,
        faces: Faces,
        path: &Path,
    ) -> Result<(Seen, Option<(i32, i32)>), String> {
        let listener = self.settings.logits.then(|| {
            let listener = Arc::new(Listener::new(networks.expression.clone(), CLIPS));
            networks.expression = listener.clone();
            listener
        });
        let filter = make("dferfilter")?;
        let base = filter.dynamic_cast_ref::<DferBase>().ok_or("dferfilter is another element")?;
        base.set_networks(Some(networks));
        filter.set_property_from_str("mode", "sync");
        filter.set_property_from_str("face-source", faces.nick());
        filter.set_property("post-messages", false);
        filter.set_property("clips", CLIPS as u32);
        // Every sample has a label, so every sample is to be answered.
        filter.set_property("min-quality", 0f32);
        let sink = make("fakesink")?;
        sink.set_property("sync", false);

        let is_still = !path.is_dir() && picture(path)?.is_some();
        let mut chain = Vec::new();
        if is_still {
            // One decision, when all frames are there.
            filter.set_property("decision-interval", 10 * SECOND);
            let freeze = make("imagefreeze")?;
            freeze.set_property("num-buffers", STILL_FRAMES);
            let rate = make("capsfilter")?;
            let fps = gst::Fraction::new(STILL_RATE, 1);
            let caps = gst::Caps::builder("video/x-raw").field("framerate", fps).build();
            rate.set_property("caps", caps);
            chain.extend([freeze, rate]);
        }
        chain.extend([filter.clone(), sink]);
        let player = open(path, self.settings.rate, &chain, &filter)?;
        player.start()?;
        let timeline = player.finish(|_| ())?;
        if !is_still && !path.is_dir() && timeline.frames == 1 && !stop::requested() {
            return Err("holds one picture, and is of no kind that is known as one (JPEG, PNG, BMP, TIFF, WebP, PNM)".to_owned());
        }
        Ok((seen(&timeline, listener.as_deref()), timeline.size))
    }

    /// Runs all samples, `jobs` at a time, and hands over each with its number as it is done; what a
    /// signal left undone is not. Ends early when `done` fails.
    pub fn look_at_all(
        &self,
        samples: &[&Sample],
        jobs: usize,
        mut done: impl FnMut(usize, Result<Seen, String>) -> Result<(), String>,
    ) -> Result<(), String> {
        let bar = crate::progress::samples(samples.len());
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        let outcome = std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, samples.len().max(1)) {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || self.work(samples, next, &sender));
            }
            drop(sender);
            for (n, seen) in receiver {
                if let Err(cause) = &seen {
                    bar.suspend(|| tell!("dfer: {}: {cause}", samples[n].name));
                }
                bar.inc(1);
                // The receiver goes, and with it the workers end.
                done(n, seen)?;
            }
            Ok(())
        });
        bar.finish_and_clear();
        outcome
    }

    fn work(
        &self,
        samples: &[&Sample],
        next: &AtomicUsize,
        done: &mpsc::Sender<(usize, Result<Seen, String>)>,
    ) {
        while let Some((n, sample)) = {
            let n = next.fetch_add(1, Ordering::Relaxed);
            samples.get(n).map(|sample| (n, sample))
        } {
            let seen = self.look(&sample.path);
            // It may have been cut short.
            if stop::requested() || done.send((n, seen)).is_err() {
                return;
            }
        }
    }
}

/// A sample as it comes from the disk: a folder of pictures at `rate` a second, or a file.
pub fn open(
    path: &Path,
    rate: i32,
    chain: &[gst::Element],
    analyser: &gst::Element,
) -> Result<Player, String> {
    let (pictures, kind) = if path.is_dir() {
        let (mut pictures, kind) = pictures(path)?;
        // Where a folder is shorter than a clip, its last picture stays.
        let least = (MIN_WINDOW * rate.max(1) as u64).div_ceil(SECOND) as usize + 1;
        if let Some(last) = pictures.last().filter(|_| pictures.len() < least).cloned() {
            pictures.resize(least, last);
        }
        (pictures, kind)
    } else if let Some(kind) = picture(path)? {
        // Some decoders want all of it in one buffer.
        (vec![path.to_owned()], kind)
    } else {
        return Player::new(path, chain, analyser);
    };
    let fps = gst::Fraction::new(rate, 1);
    let caps = gst::Caps::builder(kind).field("framerate", fps).build();
    Player::of_pictures(pictures, &caps, rate, chain, analyser)
}

/// The answer on the face that covers most pixels of most frames.
fn seen(timeline: &Timeline, listener: Option<&Listener>) -> Seen {
    let faces = timeline.faces.values().filter(|face| !face.decisions.is_empty());
    let Some(face) = faces.max_by(|a, b| a.weight.total_cmp(&b.weight)) else {
        return Seen { answer: None, keys: Vec::new(), logits: Vec::new(), doubtful: false };
    };
    let decisions = &face.decisions;
    let count = decisions.len() as f64;
    let mut probabilities = vec![0.0; decisions[0].probabilities.0.len()];
    for decision in decisions {
        for (sum, (_, p)) in probabilities.iter_mut().zip(&decision.probabilities.0) {
            *sum += f64::from(*p) / count;
        }
    }
    let agreements: Vec<f64> =
        decisions.iter().filter_map(|d| d.agreement).map(f64::from).collect();
    let agreement =
        (!agreements.is_empty()).then(|| agreements.iter().sum::<f64>() / agreements.len() as f64);
    let mut times: Vec<Ns> = decisions.iter().flat_map(|d| d.key_times.iter().copied()).collect();
    times.sort_unstable();
    times.dedup();
    let logits = listener.map_or(Vec::new(), |listener| {
        decisions.iter().filter_map(|d| listener.heard(&d.probabilities)).collect()
    });
    let key = |t: Ns| Key { t, rect: face.rect_at(t) };
    Seen {
        answer: Some(Answer { probabilities, agreement }),
        keys: times.into_iter().map(key).collect(),
        logits,
        doubtful: false,
    }
}

/// The pictures of a folder, by name, and their common media type.
fn pictures(folder: &Path) -> Result<(Vec<PathBuf>, &'static str), String> {
    let files: Vec<_> = entries(folder)?.into_iter().filter(|path| !path.is_dir()).collect();
    let first = files.first().ok_or("there are no pictures in this folder")?;
    let of = |file: &Path| {
        let kind = picture(file).map_err(|cause| format!("{}: {cause}", shown::name(file)))?;
        kind.ok_or_else(|| format!("{} is no picture", shown::name(file)))
    };
    let kind = of(first)?;
    for file in &files {
        if of(file)? != kind {
            return Err(format!("{} is not {kind} as the first picture is", shown::name(file)));
        }
    }
    Ok((files, kind))
}

/// The media type of a picture, by its first bytes; `None` for anything else.
pub fn picture(file: &Path) -> Result<Option<&'static str>, String> {
    crate::player::check(file)?;
    let mut head = Vec::new();
    let open = File::open(file).and_then(|f| f.take(12).read_to_end(&mut head));
    open.map_err(|e| e.to_string())?;
    let known: [(&[u8], _); 11] = [
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"BM", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b"P1", "image/x-portable-bitmap"),
        (b"P2", "image/x-portable-graymap"),
        (b"P3", "image/x-portable-pixmap"),
        (b"P4", "image/x-portable-bitmap"),
        (b"P5", "image/x-portable-graymap"),
        (b"P6", "image/x-portable-pixmap"),
    ];
    if head.starts_with(b"RIFF") && head.ends_with(b"WEBP") {
        return Ok(Some("image/webp"));
    }
    Ok(known.iter().find(|(start, _)| head.starts_with(start)).map(|(_, kind)| *kind))
}
