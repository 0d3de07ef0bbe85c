// SPDX-License-Identifier: MPL-2.0

//! Which face of one frame is which face of the next: overlap with where each face is expected,
//! best pairs first, whatever the order of the boxes.

use super::networks::Detection;
use super::types::{Landmarks, Ns, Point, Rect, SECOND};

mod assign;
mod motion;
#[cfg(test)]
mod tests;

pub use assign::Association;
use assign::Candidate;
use motion::State;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackerSettings {
    /// A face not seen for longer than this is lost.
    pub track_timeout: Ns,
    /// Visible faces that are followed, the largest first.
    pub max_faces: usize,
    /// Faces remembered, those not visible at the moment included; never less than `max_faces`.
    pub max_tracks: usize,
}

/// One face over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    pub id: u64,
    /// Where it was last seen.
    pub rect: Rect,
    pub landmarks: Option<Landmarks>,
    /// Of the newest detection, 0 to 1.
    pub score: f32,
    pub first_seen: Ns,
    pub last_seen: Ns,
    /// Not found where it was last looked for.
    pub missing: bool,
    /// When it was last found by a look of its own.
    looked_at: Option<Ns>,
    /// The id is that of an upstream detector.
    external: bool,
    /// Pixels a second.
    velocity: Point,
    /// Before the newest observation, to go back to when that turns out to be another face.
    before: State,
}

/// Follows faces. Times are stream times and may come late; [`Tracker::reset`] after a jump back.
#[derive(Debug, Clone)]
pub struct Tracker {
    settings: TrackerSettings,
    /// In order of age.
    tracks: Vec<Track>,
    /// Given up, not yet told to the caller.
    lost: Vec<u64>,
    next_id: u64,
}

/// Two boxes that overlap this much (intersection over union) are one face.
const SAME_FACE: f32 = 0.5;
/// Two boxes of which this part of the smaller lies in the larger are one face.
const INSIDE: f32 = 0.85;
/// A face this many times larger takes the place of the smallest one when all places are taken.
const TAKES_PLACE: f32 = 1.5;
/// Ids from upstream beyond this are not taken over, so that ours cannot run out.
const MAX_EXTERNAL: u64 = u64::MAX / 2;
/// Tracks observed within this time of each other are compared for standing on one face.
const TOGETHER: Ns = SECOND / 4;
/// Face heights by which one of two tracks on a face must have been nearer to own it by that.
const CLEARLY_NEARER: f32 = 0.15;

impl Default for TrackerSettings {
    fn default() -> Self {
        Self { track_timeout: SECOND, max_faces: 8, max_tracks: 32 }
    }
}

impl Tracker {
    pub fn new(settings: TrackerSettings) -> Self {
        Self { settings, tracks: Vec::new(), lost: Vec::new(), next_id: 1 }
    }

    /// Takes effect with the next association.
    pub fn set_settings(&mut self, settings: TrackerSettings) {
        self.settings = settings;
    }

    /// Faces found in the whole frame of time `t`. What matches no face opens a new track, a face
    /// that matches nothing is `missing` from now on.
    pub fn associate(&mut self, t: Ns, detections: &[Detection]) -> Association {
        let candidates = detections.iter().enumerate().map(|(index, d)| Candidate {
            index,
            rect: d.rect,
            landmarks: Some(d.landmarks),
            score: d.score,
            external: None,
        });
        self.assign(t, candidates.collect())
    }

    /// Boxes of an upstream detector at time `t`. An upstream id that comes once in the list is
    /// kept; the other boxes are associated as detections are.
    pub fn adopt(&mut self, t: Ns, upstream: &[(Option<u64>, Rect)]) -> Association {
        let mut ids: Vec<u64> = upstream.iter().filter_map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let usable = |id: u64| {
            let times = ids.partition_point(|i| *i <= id) - ids.partition_point(|i| *i < id);
            let ours = self.tracks.iter().any(|track| track.id == id && !track.external);
            times == 1 && id <= MAX_EXTERNAL && !ours
        };
        let candidates = upstream.iter().enumerate().map(|(index, (id, rect))| Candidate {
            index,
            rect: *rect,
            landmarks: None,
            score: 1.0,
            external: id.filter(|id| usable(*id)),
        });
        let candidates = candidates.collect();
        self.assign(t, candidates)
    }

    /// The face was looked for alone in the frame of time `t` and found there. False, and nothing
    /// changes, when the track is gone, something newer is known, or the box cannot be a face.
    /// Where two tracks come to stand on one face it stays with the one that was expected there
    /// (the older one when both were); the other is `missing`, goes on from where it was before,
    /// and is lost in the end unless it finds a face of its own.
    pub fn observe(
        &mut self,
        id: u64,
        t: Ns,
        rect: Rect,
        landmarks: Option<Landmarks>,
        score: f32,
    ) -> bool {
        let Some(at) = self.position(id) else { return false };
        if !rect.is_sane() || !self.tracks[at].update(t, rect, landmarks, score) {
            return false;
        }
        self.tracks[at].looked_at = Some(t);
        let rival = (0..self.tracks.len()).find(|&other| {
            let track = &self.tracks[other];
            other != at
                && !track.missing
                && track.last_seen.abs_diff(t) <= TOGETHER
                && track.rect.iou(&rect) > SAME_FACE
        });
        if let Some(other) = rival {
            let (mine, theirs) = (self.tracks[at].surprise(), self.tracks[other].surprise());
            // Older tracks come first.
            let loser = match mine - theirs {
                d if d > CLEARLY_NEARER => at,
                d if d < -CLEARLY_NEARER => other,
                _ => at.max(other),
            };
            self.tracks[loser].step_back();
        }
        true
    }

    /// The face was looked for in the frame of time `t` and not found.
    pub fn miss(&mut self, id: u64, t: Ns) {
        if let Some(at) = self.position(id)
            && t >= self.tracks[at].last_seen
        {
            self.tracks[at].missing = true;
        }
    }

    /// Forgets faces not seen for longer than the timeout. Ids of all that were lost since the last
    /// call, those that had to make room included.
    pub fn expire(&mut self, t: Ns) -> Vec<u64> {
        let timeout = self.settings.track_timeout;
        let lost = &mut self.lost;
        self.tracks.retain(|track| {
            let keep = t.saturating_sub(track.last_seen) <= timeout;
            if !keep {
                lost.push(track.id);
            }
            keep
        });
        std::mem::take(lost)
    }

    /// Where the face is expected at time `t`; `None` when there is no such track.
    pub fn predict(&self, id: u64, t: Ns) -> Option<Rect> {
        self.get(id).map(|track| track.expected(t))
    }

    pub fn get(&self, id: u64) -> Option<&Track> {
        self.position(id).map(|at| &self.tracks[at])
    }

    /// All tracks, the oldest first.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter()
    }

    /// All tracks, the largest first.
    pub fn largest_first(&self) -> Vec<&Track> {
        let mut all: Vec<&Track> = self.tracks.iter().collect();
        all.sort_by(|a, b| b.rect.area().total_cmp(&a.rect.area()).then(a.id.cmp(&b.id)));
        all
    }

    /// Forgets every face at once; ids go on where they were. Losses are not reported.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.lost.clear();
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.tracks.iter().position(|track| track.id == id)
    }
}

/// Whether two boxes show one face.
fn same_face(a: &Rect, b: &Rect) -> bool {
    let w = (a.x + a.w).min(b.x + b.w) - a.x.max(b.x);
    let h = (a.y + a.h).min(b.y + b.h) - a.y.max(b.y);
    let both = w.max(0.0) * h.max(0.0);
    a.iou(b) > SAME_FACE || both > INSIDE * a.area().min(b.area())
}
