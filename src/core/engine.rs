// SPDX-License-Identifier: MPL-2.0

//! The cheap half: follows faces through the frames, cuts out what the networks must see, and
//! keeps what is known of every face.
//!
//! Per frame: [`Engine::begin`]; then [`Engine::detection`] and [`Engine::faces`] give the jobs
//! that are due, an [`super::analyst::Analyst`] runs them, now or later, [`Engine::absorb`] takes
//! the outcomes; last, [`Engine::results`] says what holds for this frame.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::analyst::{Cut, Job, Look, Outcome};
use super::crop;
use super::decision::{Decision, DecisionSettings, Verdict};
use super::find;
use super::networks::{Detection, DetectorSpec, ExpressionSpec};
use super::pixels::{Channels, FrameView, Outside};
use super::result::{Expression, Status};
use super::scene::SceneCut;
use super::tracker::{Tracker, TrackerSettings};
use super::types::{Ns, Rect, SECOND, slot};

/// Where faces come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaceSource {
    /// Boxes given with the frame where there are any, else the detector.
    Auto,
    /// Boxes given with the frame only.
    Upstream,
    /// The detector only.
    Detector,
    /// The whole frame is one face.
    Frame,
}

/// What may change while a stream runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineSettings {
    pub source: FaceSource,
    pub detect_interval: Ns,
    pub tracker: TrackerSettings,
    pub decision: DecisionSettings,
}

/// What the networks want to be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Demands {
    /// `None` without a detector.
    pub detector: Option<DetectorSpec>,
    /// Side of the patch around a face.
    pub patch: usize,
    pub expression: ExpressionSpec,
}

impl EngineSettings {
    /// A face is not seen between two looks: it is not lost for that.
    fn patient(mut self, look_interval: Ns) -> Self {
        self.tracker.track_timeout = self.tracker.track_timeout.max(2 * look_interval);
        self
    }
}

impl Demands {
    /// Time from one look at a face to the next.
    fn look_interval(&self) -> Ns {
        (SECOND as f64 / self.expression.sampling.rate) as Ns
    }
}

/// One face of the current frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceResult {
    /// Where it is expected when it was not looked for.
    pub rect: Rect,
    /// Position in the list of upstream boxes of this frame, where it came from one.
    pub upstream: Option<usize>,
    /// Of the newest detection, 0 to 1.
    pub score: f32,
    pub first_seen: Option<Ns>,
    pub expression: Expression,
}

/// What is to be announced of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Positions of results whose stable label is another.
    pub changed: Vec<usize>,
    /// Track ids of faces that had one and of which there is no result any more.
    pub lost: Vec<u64>,
}

/// Boxes of an upstream detector, with the ids it gave.
pub type Upstream = [(Option<u64>, Rect)];

#[derive(Debug, Default)]
struct Face {
    looked: Option<u64>,
    decision: Decision,
    status: Option<Status>,
    label: Option<Arc<str>>,
    verdict: Option<Verdict>,
    quality: Option<f32>,
    /// Running mean of the looks' scores, 0 to 1.
    score: f32,
    /// Seen by the detector in looks of its own, or vouched for by upstream.
    confirmed: bool,
    missed_since: Option<Ns>,
    upstream: Option<usize>,
    /// Marked in the newest frame in which upstream marked any, not long ago.
    vouched: bool,
}

pub struct Engine {
    settings: EngineSettings,
    demands: Demands,
    model: Arc<str>,
    tracker: Tracker,
    scene: SceneCut,
    faces: BTreeMap<u64, Face>,
    /// The stable labels that were announced last. Cuts and jumps leave them, so that their end is
    /// announced, too.
    announced: BTreeMap<u64, Arc<str>>,
    detected: Option<u64>,
    from_upstream: bool,
    upstream_seen: Option<Ns>,
    ignored: usize,
    /// Boxes of the newest detection that are no track's.
    beyond: Vec<Rect>,
    now: Ns,
}

/// Upstream detectors that do not run on every frame are waited for this long.
const UPSTREAM_PATIENCE: Ns = SECOND;
/// A face missed for longer than this has no usable result.
const MISSED_TOO_LONG: Ns = SECOND / 4;
/// Old and new quality are mixed in this proportion, so that one dark frame decides nothing.
const QUALITY_MEMORY: f32 = 0.6;
/// What is found in a whole frame is a face once looks of its own confirm it: one that scores
/// `SURE` times what a face needs, or several whose running mean, begun at zero, comes to that.
const SURE: f32 = 1.7;
/// Weight of the newest look in that mean.
const LOOK_WEIGHT: f32 = 0.4;
/// Track id of the one face with [`FaceSource::Frame`].
const WHOLE_FRAME: u64 = 1;

impl Engine {
    pub fn new(settings: EngineSettings, demands: Demands) -> Self {
        let settings = settings.patient(demands.look_interval());
        Self {
            tracker: Tracker::new(settings.tracker),
            settings,
            model: demands.expression.model.as_str().into(),
            demands,
            scene: SceneCut::new(),
            faces: BTreeMap::new(),
            announced: BTreeMap::new(),
            detected: None,
            from_upstream: false,
            upstream_seen: None,
            ignored: 0,
            beyond: Vec::new(),
            now: 0,
        }
    }

    /// Holds from the next frame on.
    pub fn set_settings(&mut self, settings: EngineSettings) {
        let settings = settings.patient(self.demands.look_interval());
        self.tracker.set_settings(settings.tracker);
        self.settings = settings;
    }

    /// Forgets all faces; ids go on. To be called when time jumps.
    pub fn reset(&mut self) {
        self.tracker.reset();
        self.scene.reset();
        self.faces.clear();
        self.detected = None;
        self.upstream_seen = None;
        self.ignored = 0;
        self.beyond.clear();
    }

    /// A new frame at time `t`, not earlier than the one before. True when a new shot begins here: all
    /// faces were forgotten and outcomes of earlier frames must not be absorbed any more.
    pub fn begin(&mut self, t: Ns, frame: &FrameView<'_>, upstream: &Upstream) -> bool {
        // Faces are looked for once a frame at most, however far apart frames are.
        let before = std::mem::replace(&mut self.now, t);
        if self.settings.source == FaceSource::Frame {
            return false;
        }
        let cut = self.scene.is_cut(frame);
        if cut {
            self.tracker.reset();
            self.faces.clear();
            self.beyond.clear();
            self.detected = None;
        }
        for id in self.tracker.expire(before) {
            self.faces.remove(&id);
        }
        self.adopt(t, upstream);
        cut
    }

    fn adopt(&mut self, t: Ns, upstream: &Upstream) {
        for face in self.faces.values_mut() {
            face.upstream = None;
        }
        if !upstream.is_empty() {
            self.upstream_seen = Some(t);
        }
        let waiting =
            self.upstream_seen.is_some_and(|seen| t.saturating_sub(seen) <= UPSTREAM_PATIENCE);
        self.from_upstream = match self.settings.source {
            FaceSource::Upstream => true,
            FaceSource::Auto => waiting,
            FaceSource::Detector | FaceSource::Frame => false,
        };
        if !upstream.is_empty() || !waiting {
            self.faces.values_mut().for_each(|face| face.vouched = false);
        }
        if !self.from_upstream || upstream.is_empty() {
            return;
        }
        // What upstream marked is marked.
        self.beyond.clear();
        let association = self.tracker.adopt(t, upstream);
        self.ignored = association.ignored;
        for (index, id) in association.ids.iter().enumerate() {
            if let Some(id) = id {
                let face = self.faces.entry(*id).or_default();
                face.confirmed = true;
                face.upstream = Some(index);
                face.vouched = true;
            }
        }
    }

    /// The whole frame for the detector, when it is due.
    pub fn detection(&mut self, frame: &FrameView<'_>) -> Option<Job> {
        let spec = self.demands.detector.as_ref()?;
        if self.from_upstream || self.settings.source == FaceSource::Frame {
            return None;
        }
        let due = slot(self.now, self.settings.detect_interval);
        if self.detected == Some(due) {
            return None;
        }
        self.detected = Some(due);
        let (width, height) = spec.frame_size_for((frame.width(), frame.height()));
        let (width, height) = (width * find::DETAIL, height * find::DETAIL);
        let map = crop::letterbox(frame.width(), frame.height(), width, height);
        let picture = frame.sample(&map, width, height, spec.channels, Outside::Gray);
        Some(Job::Detect { t: self.now, picture, map })
    }

    /// The faces that are due to be looked at, the largest first.
    pub fn faces(&mut self, frame: &FrameView<'_>) -> Vec<Job> {
        let due = slot(self.now, self.demands.look_interval());
        if self.settings.source == FaceSource::Frame {
            return self.whole_frame(frame, due);
        }
        let ids: Vec<u64> = self.tracker.largest_first().iter().map(|track| track.id).collect();
        let mut jobs = Vec::new();
        for id in ids.into_iter().take(self.settings.tracker.max_faces) {
            let Some(rect) = self.tracker.predict(id, self.now).filter(Rect::is_sane) else {
                continue;
            };
            let face = self.faces.entry(id).or_default();
            if face.looked == Some(due)
                || rect.clipped(frame.width() as f32, frame.height() as f32).is_none()
            {
                continue;
            }
            face.looked = Some(due);
            let side = self.demands.patch;
            let map = crop::track_window(&rect, side);
            let picture = frame.sample(&map, side, side, Channels::Rgb, Outside::Edge);
            // Where upstream marks a face there is one, whatever our detector says.
            let must_find = !face.vouched && self.demands.detector.is_some();
            let cut = Cut::Patch { map, face: rect, must_find };
            jobs.push(Job::Face { t: self.now, track: id, picture, cut });
        }
        jobs
    }

    fn whole_frame(&mut self, frame: &FrameView<'_>, due: u64) -> Vec<Job> {
        let face = self.faces.entry(WHOLE_FRAME).or_default();
        if face.looked == Some(due) {
            return Vec::new();
        }
        face.looked = Some(due);
        face.confirmed = true;
        let spec = &self.demands.expression;
        let map = crop::whole(frame.width(), frame.height(), spec.size);
        let map = crop::enlarged(&map, spec.size, spec.crop.scale_at(self.now));
        let picture = frame.sample(&map, spec.size, spec.size, spec.channels, Outside::Edge);
        vec![Job::Face { t: self.now, track: WHOLE_FRAME, picture, cut: Cut::Crop }]
    }

    /// What a job came to; also of an earlier frame.
    pub fn absorb(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Faces { t, faces } => {
                let association = self.tracker.associate(t, &faces);
                self.ignored = association.ignored;
                let free = faces.iter().zip(&association.ids).filter(|(_, id)| id.is_none());
                self.beyond = free.map(|(face, _)| face.rect).filter(Rect::is_sane).collect();
            }
            Outcome::Look(look) => self.absorb_look(look),
        }
    }

    fn absorb_look(&mut self, look: Look) {
        let whole = self.settings.source == FaceSource::Frame;
        if !whole && self.tracker.get(look.track).is_none() {
            return;
        }
        let face = self.faces.entry(look.track).or_default();
        if let Some(found) = look.found {
            // Upstream's boxes are upstream's affair.
            if !self.from_upstream {
                let Detection { rect, landmarks, score } = found;
                self.tracker.observe(look.track, look.t, rect, Some(landmarks), score);
            }
            face.score += LOOK_WEIGHT * (found.score - face.score);
            let enough = self.demands.detector.as_ref().map_or(0.0, |d| d.score_threshold);
            face.confirmed |= found.score >= SURE * enough || face.score >= enough;
        }
        if look.missed {
            self.tracker.miss(look.track, look.t);
            face.missed_since.get_or_insert(look.t);
        } else {
            face.missed_since = None;
        }
        if let Some(new) = look.quality {
            face.quality = Some(match face.quality {
                Some(old) => old * QUALITY_MEMORY + new * (1.0 - QUALITY_MEMORY),
                None => new,
            });
        }
        if let Some(verdict) = look.verdict {
            if face.quality.is_some_and(|q| q < self.settings.decision.min_quality) {
                face.status = Some(Status::LowQuality);
                face.label = None;
            } else {
                let (status, label) = face.decision.update(&verdict, &self.settings.decision);
                face.status = Some(status);
                face.label = label;
            }
            face.verdict = Some(verdict);
        }
    }

    /// Faces of the current frame, the largest first; new ones once they are confirmed.
    pub fn results(&self, width: usize, height: usize) -> Vec<FaceResult> {
        if self.settings.source == FaceSource::Frame {
            let rect = Rect::new(0.0, 0.0, width as f32, height as f32);
            return self
                .faces
                .get(&WHOLE_FRAME)
                .map(|f| self.result(WHOLE_FRAME, f, rect))
                .into_iter()
                .collect();
        }
        let confirmed = self.visible(width, height).into_iter().filter_map(|(id, rect)| {
            let face = self.faces.get(&id).filter(|f| f.confirmed)?;
            Some(self.result(id, face, rect))
        });
        confirmed.take(self.settings.tracker.max_faces).collect()
    }

    /// Where faces are or may be that are not among these [`Engine::results`]: those not confirmed
    /// yet, and those beyond the limit of faces as the newest detection saw them.
    pub fn unreported(&self, width: usize, height: usize, results: &[FaceResult]) -> Vec<Rect> {
        if self.settings.source == FaceSource::Frame {
            return Vec::new();
        }
        let told = |id: u64| results.iter().any(|r| r.expression.track_id == Some(id));
        let tracks = self.visible(width, height).into_iter().filter(|(id, _)| !told(*id));
        tracks.map(|(_, rect)| rect).chain(self.beyond.iter().copied()).collect()
    }

    /// Tracks and where they are expected in the picture, the largest first.
    fn visible(&self, width: usize, height: usize) -> Vec<(u64, Rect)> {
        let tracks = self.tracker.largest_first().into_iter();
        tracks
            .filter_map(|track| {
                let rect = self.tracker.predict(track.id, self.now)?;
                rect.clipped(width as f32, height as f32).map(|_| (track.id, rect))
            })
            .collect()
    }

    fn result(&self, id: u64, face: &Face, rect: Rect) -> FaceResult {
        let mut e = Expression::new(Some(id), face.status.unwrap_or(Status::WarmingUp));
        e.face_quality = face.quality;
        e.model = Some(self.model.clone());
        if let Some(verdict) = &face.verdict {
            e.label = face.label.clone();
            e.probability = e.label.as_deref().and_then(|label| verdict.probabilities.get(label));
            e.raw_label = verdict.probabilities.top().map(|(label, _)| label.clone());
            e.probabilities = Some(verdict.probabilities.clone());
            e.agreement = Some(verdict.agreement);
            e.clips = Some(verdict.clips);
            e.votes = Some(verdict.votes);
            let has_streams = verdict.streams.short.is_some() || verdict.streams.long.is_some();
            e.streams = has_streams.then(|| verdict.streams.clone());
            e.clip_start = Some(verdict.start);
            e.clip_end = Some(verdict.t);
            e.clip_frames = Some(verdict.frames);
            e.key_times = verdict.key_times.clone();
            e.age = Some(self.now.saturating_sub(verdict.t));
        }
        if face.missed_since.is_some_and(|since| self.now.saturating_sub(since) > MISSED_TOO_LONG) {
            e.status = Status::LowQuality;
            e.label = None;
            e.probability = None;
        }
        let track = self.tracker.get(id);
        FaceResult {
            rect,
            upstream: face.upstream,
            score: track.map_or(1.0, |track| track.score),
            first_seen: track.map(|track| track.first_seen),
            expression: e,
        }
    }

    /// Which of these results differ in their stable label from what was last announced of the
    /// face, and faces with such a label of which there is no result any more; they count as announced
    /// from now on.
    pub fn changes(&mut self, results: &[FaceResult]) -> Changes {
        let (mut changed, before) = (Vec::new(), std::mem::take(&mut self.announced));
        for (i, result) in results.iter().enumerate() {
            let e = &result.expression;
            let stable = match e.status {
                Status::Stable => e.label.clone(),
                // A wavering label is still the last one announced.
                Status::Changing => e.track_id.and_then(|id| before.get(&id).cloned()),
                _ => None,
            };
            let Some(id) = e.track_id else { continue };
            if before.get(&id) != stable.as_ref() {
                changed.push(i);
            }
            if let Some(label) = stable {
                self.announced.insert(id, label);
            }
        }
        let told = |id: &u64| results.iter().any(|r| r.expression.track_id == Some(*id));
        let lost = before.into_keys().filter(|id| !told(id)).collect();
        Changes { changed, lost }
    }

    /// Faces of the newest detection that could not be followed.
    pub fn ignored(&self) -> usize {
        self.ignored
    }
}
