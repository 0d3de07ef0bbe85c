// SPDX-License-Identifier: MPL-2.0

//! The expensive half: runs the networks on what the engine cut out, and remembers each face.
//!
//! Every frame of a face is encoded once; all clips of a decision are selections of what is
//! remembered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crop;
use super::decide::decide_all;
use super::decision::Verdict;
use super::error::Error;
use super::find::find;
use super::history::History;
use super::networks::{Detection, ExpressionNetwork, FaceDetector, Feature};
use super::pixels::{Affine, Outside, Picture};
use super::refine::{Followed, refine};
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
    /// Clips compared per decision, 1 to [`super::sampling::MAX_CLIPS`].
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
    /// Find all faces; the picture is what [`find`] wants, `map` leads from its pixels to the frame's.
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
    /// Looked for and not found, though it must be.
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

/// A face to be looked at, as a job has it.
struct Target {
    t: Ns,
    track: u64,
    picture: Picture,
    cut: Cut,
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

    /// Faces that are worth handing to [`Self::run`] at once.
    pub fn together(&self) -> usize {
        self.networks.expression.together().max(1)
    }

    /// Forgets all faces.
    pub fn reset(&mut self) {
        self.faces.clear();
    }

    /// Runs jobs; the outcomes in their order. Faces, each at most once, go through every network
    /// together, as far as the network gains by that.
    pub fn run(&mut self, jobs: Vec<Job>) -> Result<Vec<Outcome>, Error> {
        let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
        let (mut positions, mut faces) = (Vec::new(), Vec::new());
        for (position, job) in jobs.into_iter().enumerate() {
            match job {
                Job::Detect { t, picture, map } => {
                    outcomes[position] = Some(self.detect(t, &picture, &map)?);
                }
                Job::Face { t, track, picture, cut } => {
                    positions.push(position);
                    faces.push(Target { t, track, picture, cut });
                }
            }
        }
        for (position, look) in positions.into_iter().zip(self.look(faces)?) {
            outcomes[position] = Some(Outcome::Look(look));
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    fn detect(&mut self, t: Ns, picture: &Picture, map: &Affine) -> Result<Outcome, Error> {
        let Some(detector) = self.networks.detector.clone() else {
            return Ok(Outcome::Faces { t, faces: Vec::new() });
        };
        let faces = self.timed(Stage::Detect, 1, || find(&*detector, picture))?;
        Ok(Outcome::Faces { t, faces: faces.iter().map(|f| f.mapped(map)).collect() })
    }

    fn look(&mut self, faces: Vec<Target>) -> Result<Vec<Look>, Error> {
        let mut refined = self.refine(&faces)?.into_iter();
        let (mut looks, mut seen, mut crops) = (Vec::new(), Vec::new(), Vec::new());
        for Target { t, track, picture, cut } in faces {
            let mut look =
                Look { track, t, found: None, missed: false, quality: None, verdict: None };
            let (crop, score, height) = match &cut {
                Cut::Crop => (picture, 1.0, f32::INFINITY),
                Cut::Patch { map, face, must_find } => {
                    look.found = refined.next().flatten();
                    look.missed = look.found.is_none() && *must_find;
                    if look.missed {
                        looks.push(look);
                        continue;
                    }
                    let rect = look.found.map_or(*face, |f| f.rect);
                    // Without landmarks the crop is a guess.
                    let score = look.found.map_or(0.5, |f| f.score);
                    (self.crop(t, &picture, map, look.found.as_ref(), &rect), score, rect.h)
                }
            };
            look.quality = Some(quality(&crop, score, height));
            seen.push(looks.len());
            crops.push(crop);
            looks.push(look);
        }
        let network = self.networks.expression.clone();
        let features = self.timed(Stage::Encode, crops.len(), || network.encode_all(crops))?;
        let mut due = Vec::new();
        for (position, feature) in seen.into_iter().zip(features) {
            if self.remember(looks[position].track, looks[position].t, feature) {
                due.push(position);
            }
        }
        let tracks: Vec<u64> = due.iter().map(|position| looks[*position].track).collect();
        for (position, verdict) in due.into_iter().zip(self.decide(&tracks)?) {
            looks[position].verdict = Some(verdict);
        }
        Ok(looks)
    }

    /// Adds to a face's history; true when a decision is due.
    fn remember(&mut self, track: u64, t: Ns, feature: Feature) -> bool {
        self.make_room(track);
        let sampling = self.networks.expression.spec().sampling;
        let face = self.faces.entry(track).or_insert_with(|| Face {
            history: History::new(sampling.window, sampling.rate),
            decided: None,
        });
        face.history.push(t, feature);
        let slot = slot(t, self.settings.decision_interval);
        let due = face.history.span() >= self.settings.min_window && face.decided != Some(slot);
        if due {
            face.decided = Some(slot);
        }
        due
    }

    fn decide(&mut self, tracks: &[u64]) -> Result<Vec<Verdict>, Error> {
        let (network, clips) = (self.networks.expression.clone(), self.settings.clips);
        let started = Instant::now();
        let mut histories: BTreeMap<u64, &mut History> = self
            .faces
            .iter_mut()
            .filter(|(track, _)| tracks.contains(track))
            .map(|(track, face)| (*track, &mut face.history))
            .collect();
        let histories = tracks.iter().filter_map(|track| histories.remove(track)).collect();
        let verdicts = decide_all(network.as_ref(), histories, clips)?;
        self.spend(Stage::Decide, verdicts.len(), started);
        Ok(verdicts)
    }

    /// The faces of patches again, and their landmarks, in windows around where they are expected.
    fn refine(&mut self, faces: &[Target]) -> Result<Vec<Option<Detection>>, Error> {
        let patches = faces.iter().filter_map(|target| match &target.cut {
            Cut::Patch { map, face, .. } => Some(Followed { patch: &target.picture, map, face }),
            Cut::Crop => None,
        });
        let followed: Vec<Followed<'_>> = patches.collect();
        match self.networks.detector.clone() {
            Some(detector) => {
                self.timed(Stage::Refine, followed.len(), || refine(&*detector, &followed))
            }
            None => Ok(followed.iter().map(|_| None).collect()),
        }
    }

    fn crop(
        &self,
        t: Ns,
        patch: &Picture,
        map: &Affine,
        found: Option<&Detection>,
        rect: &Rect,
    ) -> Picture {
        let spec = self.networks.expression.spec();
        let crop_to_frame = found
            .and_then(|f| crop::aligned(&spec.crop.template, &f.landmarks, spec.size))
            .unwrap_or_else(|| crop::boxed(&spec.crop.face_box, rect, spec.size));
        let crop_to_frame = crop::enlarged(&crop_to_frame, spec.size, spec.crop.scale_at(t));
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

    /// Times work on so many faces.
    fn timed<T>(&mut self, stage: Stage, faces: usize, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.spend(stage, faces, started);
        result
    }

    /// Each face's part of the time since.
    fn spend(&mut self, stage: Stage, faces: usize, started: Instant) {
        let each = started.elapsed() / faces.max(1) as u32;
        self.spent.extend(std::iter::repeat_n((stage, each), faces));
    }
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
