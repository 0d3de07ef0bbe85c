// SPDX-License-Identifier: MPL-2.0

//! The expensive half: runs the networks on what the engine cut out, and remembers each face.
//!
//! Every frame of a face is encoded once; all clips of a decision are selections of what is
//! remembered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crop;
use super::decision::{Consensus, Verdict};
use super::error::Error;
use super::history::History;
use super::networks::{Clip, Detection, ExpressionNetwork, FaceDetector};
use super::pixels::{Affine, Outside, Picture};
use super::refine::refine;
use super::sampling::{self, Span};
use super::types::{Ns, Rect, SECOND, slot};

/// The networks of one element.
#[derive(Clone)]
pub struct Networks {
    /// Not needed when the whole frame is the face.
    pub detector: Option<Arc<dyn FaceDetector>>,
    pub expression: Arc<dyn ExpressionNetwork>,
}

/// How often and from what a decision is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipSettings {
    /// Clips compared per decision, 1 to [`sampling::MAX_CLIPS`].
    pub clips: usize,
    /// Time between two decisions on a face.
    pub decision_interval: Ns,
    /// History that the first decision on a face needs.
    pub min_window: Ns,
}

/// Where a face lies in the picture handed over.
#[derive(Debug, Clone, PartialEq)]
pub enum Cut {
    /// The picture is the finished crop.
    Crop,
    /// The picture shows the face's surroundings; `map` leads from its pixels to the frame's.
    Patch { map: Affine, face: Rect, must_find: bool },
}

/// Work cut out by the engine. Owns its pixels, so no video buffer waits for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// Find all faces; `map` leads from the picture's pixels to the frame's.
    Detect { t: Ns, picture: Picture, map: Affine },
    /// Look at one face.
    Face { t: Ns, track: u64, picture: Picture, cut: Cut },
}

/// What one frame of one face came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    pub track: u64,
    pub t: Ns,
    /// Where the face really is, in pixels of the frame; `None` where it was not looked for.
    pub found: Option<Detection>,
    /// Looked for and not found.
    pub missed: bool,
    /// Size, light, sharpness and detector's score, 0 to 1; `None` when missed.
    pub quality: Option<f32>,
    pub verdict: Option<Verdict>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Faces in pixels of the frame.
    Faces {
        t: Ns,
        faces: Vec<Detection>,
    },
    Look(Look),
}

/// Stages whose time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Detect,
    Refine,
    Encode,
    Decide,
}

/// Runs jobs. One per stream; the networks may be shared.
pub struct Analyst {
    networks: Networks,
    settings: ClipSettings,
    faces: BTreeMap<u64, Face>,
    /// Time spent per stage since it was last taken.
    pub spent: Vec<(Stage, Duration)>,
}

struct Face {
    history: History,
    decided: Option<u64>,
}

/// Faces remembered at most; the one not looked at for longest goes first.
const MOST_FACES: usize = 64;
/// Side of the patch in sides of the crop: a track window around a crop that is not enlarged.
const PATCH: f32 = 2.5;

impl Analyst {
    pub fn new(networks: Networks, settings: ClipSettings) -> Self {
        Self { networks, settings, faces: BTreeMap::new(), spent: Vec::new() }
    }

    /// Side of the patch that a face should be cut out with, in pixels.
    pub fn patch_size(networks: &Networks) -> usize {
        (networks.expression.spec().size as f32 * PATCH) as usize
    }

    /// Forgets all faces.
    pub fn reset(&mut self) {
        self.faces.clear();
    }

    pub fn run(&mut self, job: Job) -> Result<Outcome, Error> {
        match job {
            Job::Detect { t, picture, map } => self.detect(t, &picture, &map),
            Job::Face { t, track, picture, cut } => {
                self.look(t, track, picture, &cut).map(Outcome::Look)
            }
        }
    }

    fn detect(&mut self, t: Ns, picture: &Picture, map: &Affine) -> Result<Outcome, Error> {
        let Some(detector) = self.networks.detector.clone() else {
            return Ok(Outcome::Faces { t, faces: Vec::new() });
        };
        let threshold = detector.spec().score_threshold;
        let faces = self.timed(Stage::Detect, || detector.detect(picture, threshold))?;
        Ok(Outcome::Faces { t, faces: faces.iter().map(|f| f.mapped(map)).collect() })
    }

    fn look(&mut self, t: Ns, track: u64, picture: Picture, cut: &Cut) -> Result<Look, Error> {
        let (crop, found, score, height) = match cut {
            Cut::Crop => (picture, None, 1.0, f32::INFINITY),
            Cut::Patch { map, face, must_find } => {
                let found = match self.networks.detector.clone() {
                    Some(detector) => {
                        self.timed(Stage::Refine, || refine(&*detector, &picture, map, face))?
                    }
                    None => None,
                };
                if found.is_none() && *must_find {
                    return Ok(Look {
                        track,
                        t,
                        found,
                        missed: true,
                        quality: None,
                        verdict: None,
                    });
                }
                let rect = found.map_or(*face, |f| f.rect);
                // Without landmarks the crop is a guess.
                let score = found.map_or(0.5, |f| f.score);
                (self.crop(&picture, map, found.as_ref(), &rect), found, score, rect.h)
            }
        };
        let missed = found.is_none() && matches!(cut, Cut::Patch { .. });
        let quality = Some(quality(&crop, score, height));
        let network = self.networks.expression.clone();
        let feature = self.timed(Stage::Encode, || network.encode(crop))?;
        let sampling = network.spec().sampling;
        self.make_room(track);
        let face = self.faces.entry(track).or_insert_with(|| Face {
            history: History::new(sampling.window, sampling.rate),
            decided: None,
        });
        face.history.push(t, feature);
        let due = slot(t, self.settings.decision_interval);
        let verdict =
            if face.history.span() >= self.settings.min_window && face.decided != Some(due) {
                face.decided = Some(due);
                let started = Instant::now();
                let verdict = decide(network.as_ref(), &mut face.history, self.settings.clips)?;
                self.spent.push((Stage::Decide, started.elapsed()));
                Some(verdict)
            } else {
                None
            };
        Ok(Look { track, t, found, missed, quality, verdict })
    }

    fn crop(
        &self,
        patch: &Picture,
        map: &Affine,
        found: Option<&Detection>,
        rect: &Rect,
    ) -> Picture {
        let spec = self.networks.expression.spec();
        let crop_to_frame = found
            .and_then(|f| crop::aligned(&spec.crop.template, &f.landmarks, spec.size))
            .unwrap_or_else(|| crop::boxed(&spec.crop.face_box, rect, spec.size));
        let map = crop_to_frame.then(&map.inverse());
        patch.sample(&map, spec.size, spec.size, spec.channels, Outside::Edge)
    }

    fn make_room(&mut self, track: u64) {
        if self.faces.len() < MOST_FACES || self.faces.contains_key(&track) {
            return;
        }
        let oldest = self.faces.iter().min_by_key(|(_, f)| f.history.last()).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.faces.remove(&id);
        }
    }

    fn timed<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.spent.push((stage, started.elapsed()));
        result
    }
}

/// One decision: K clips of the window that ends with the newest frame.
pub fn decide(
    network: &dyn ExpressionNetwork,
    history: &mut History,
    clips: usize,
) -> Result<Verdict, Error> {
    let spec = network.spec();
    let sampling = spec.sampling;
    let frames = history.frames();
    let (Some((start, _)), Some((end, _))) = (frames.first(), frames.last()) else {
        return Err(Error::Inference {
            network: spec.model.clone(),
            reason: "a decision needs frames".into(),
        });
    };
    let window = Span { start: *start, end: *end };
    let parts = sampling::parts(clips);
    let spans: Vec<Span> = parts.iter().map(|part| window.part(part)).collect();
    let mut looks: Vec<Clip<'_>> = parts
        .iter()
        .zip(&spans)
        .map(|(part, span)| Clip {
            synopsis: sampling::synopsis(frames, *span, part.phase, &sampling),
            detail: Vec::new(),
        })
        .collect();
    let mut key_times = Vec::new();
    if sampling.moments > 0 {
        let scores = network.moments(&looks)?;
        for ((clip, span), scores) in looks.iter_mut().zip(&spans).zip(scores) {
            let keys = sampling::key_moments(&scores, sampling.moments);
            let times: Vec<Ns> = keys.into_iter().map(|k| clip.synopsis[k].0).collect();
            clip.detail =
                times.iter().map(|t| sampling::detail(frames, *span, *t, &sampling)).collect();
            if key_times.is_empty() {
                key_times = times;
                key_times.dedup();
            }
        }
    }
    let answers = network.answer(&looks)?;
    let all = Consensus::of(&answers, &spec.classes, spec.temperature, spec.agreement_temperature);
    Ok(Verdict {
        t: window.end,
        start: window.start,
        frames: frames.len() as u32,
        probabilities: all.probabilities,
        agreement: all.agreement,
        clips: answers.len() as u32,
        votes: all.votes,
        streams: all.streams,
        key_times,
    })
}

/// The weakest of: the detector's score, the size in the frame (full from 36 pixels up), the
/// contrast of the crop (full from a standard deviation of 18 levels up) and its mean brightness.
fn quality(crop: &Picture, score: f32, height: f32) -> f32 {
    let q = crop.to_gray().quality();
    let size = ((height - 8.0) / 28.0).clamp(0.0, 1.0);
    let contrast = (q.contrast / 18.0).clamp(0.0, 1.0);
    let light = (q.mean / 30.0).min((255.0 - q.mean) / 20.0).clamp(0.0, 1.0);
    score.min(size).min(contrast).min(light)
}

/// Time until the first decision at the earliest: most of a second.
pub const MIN_WINDOW: Ns = 8 * SECOND / 10;
