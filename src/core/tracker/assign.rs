// SPDX-License-Identifier: MPL-2.0

use super::motion::State;
use super::{TAKES_PLACE, Track, Tracker, same_face};
use crate::core::types::{Landmarks, Ns, Point, Rect, SECOND};

/// What became of the boxes of one frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Association {
    /// For every box in the order given: its track. `None` for boxes that are no face, a second
    /// box of a face, or one face too many.
    pub ids: Vec<Option<u64>>,
    /// Tracks that began here.
    pub opened: Vec<u64>,
    /// Boxes that could not be a face, and faces beyond the largest `max_faces`.
    pub ignored: usize,
}

/// One box to be given to a track.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Its place in the caller's list.
    pub index: usize,
    pub rect: Rect,
    pub landmarks: Option<Landmarks>,
    pub score: f32,
    /// Id that it brings along.
    pub external: Option<u64>,
}

/// Overlap (IoU) from which a box can be the expected face.
const MIN_IOU: f32 = 0.15;
/// Without that overlap: distance of the centres, in face heights, up to which it still can.
const NEAR: f32 = 0.8;
/// Then the heights may differ by this factor at most.
const ALIKE: f32 = 1.6;
/// A box from a look of its own holds for this long against those of whole frames.
const FRESH: Ns = SECOND / 5;
/// Boxes looked at for every place there is; the smaller ones beyond that are ignored unseen.
const BOXES_PER_PLACE: usize = 4;

impl Tracker {
    pub(super) fn assign(&mut self, t: Ns, candidates: Vec<Candidate>) -> Association {
        let mut done = Association { ids: vec![None; candidates.len()], ..Association::default() };
        let all = candidates.len();
        let mut boxes: Vec<Candidate> =
            candidates.into_iter().filter(|c| c.rect.is_sane() && c.score.is_finite()).collect();
        boxes.sort_by(Candidate::order);
        boxes.truncate(self.settings.max_faces.saturating_mul(BOXES_PER_PLACE));
        done.ignored = all - boxes.len();
        suppress(&mut boxes);

        let known = self.tracks.len();
        let mut taken = vec![false; known];
        let mut left = Vec::new();
        let pairs = self.pairs(t, &boxes, &mut taken);
        for (candidate, pair) in boxes.into_iter().zip(pairs) {
            match pair {
                Some(at) => {
                    let track = &mut self.tracks[at];
                    // A look at the face alone is finer than one at the whole frame.
                    let finer = track.looked_at.is_some_and(|l| t.abs_diff(l) <= FRESH);
                    if candidate.landmarks.is_none() || track.missing || !finer {
                        track.update(t, candidate.rect, candidate.landmarks, candidate.score);
                    }
                    done.ids[candidate.index] = Some(track.id);
                }
                None => left.push(candidate),
            }
        }
        for (track, taken) in self.tracks.iter_mut().zip(taken) {
            track.missing |= !taken && t >= track.last_seen;
        }
        for candidate in left {
            self.open(t, candidate, &mut done);
        }
        self.make_room(&mut done);
        done
    }

    /// The track of every box; ids first, then the best pairs first.
    fn pairs(&self, t: Ns, boxes: &[Candidate], taken: &mut [bool]) -> Vec<Option<usize>> {
        let mut of: Vec<Option<usize>> = vec![None; boxes.len()];
        for (b, candidate) in boxes.iter().enumerate() {
            if let Some(at) = candidate.external.and_then(|id| self.position(id)) {
                (of[b], taken[at]) = (Some(at), true);
            }
        }
        let expected: Vec<Rect> = self.tracks.iter().map(|track| track.expected(t)).collect();
        let mut pairs = Vec::new();
        for (at, rect) in expected.iter().enumerate().filter(|(at, _)| !taken[*at]) {
            for (b, candidate) in boxes.iter().enumerate().filter(|(_, c)| c.external.is_none()) {
                if let Some(affinity) = affinity(rect, &candidate.rect) {
                    pairs.push((affinity, at, b));
                }
            }
        }
        pairs.sort_by(|p, q| q.0.total_cmp(&p.0).then((p.1, p.2).cmp(&(q.1, q.2))));
        for (_, at, b) in pairs {
            if !taken[at] && of[b].is_none() {
                (of[b], taken[at]) = (Some(at), true);
            }
        }
        of
    }

    /// A new track, when the face has none and there is a place or it is much larger than another.
    fn open(&mut self, t: Ns, candidate: Candidate, done: &mut Association) {
        let visible = || self.tracks.iter().enumerate().filter(|(_, track)| !track.missing);
        let double = candidate.external.is_none()
            && visible().any(|(_, track)| same_face(&track.rect, &candidate.rect));
        if double {
            return;
        }
        if visible().count() >= self.settings.max_faces {
            let smallest = visible().min_by(|a, b| a.1.rect.area().total_cmp(&b.1.rect.area()));
            match smallest.map(|(at, track)| (at, track.rect.area())) {
                Some((at, area)) if area * TAKES_PLACE < candidate.rect.area() => {
                    self.drop_track(at, done)
                }
                _ => {
                    done.ignored += 1;
                    return;
                }
            }
        }
        let id = candidate.external.unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id + 1);
        let finite = |l: &Landmarks| l.iter().all(|p| p.x.is_finite() && p.y.is_finite());
        let landmarks = candidate.landmarks.filter(finite);
        self.tracks.push(Track {
            id,
            rect: candidate.rect,
            landmarks,
            score: candidate.score,
            first_seen: t,
            last_seen: t,
            missing: false,
            looked_at: None,
            external: candidate.external.is_some(),
            velocity: Point::default(),
            before: State::new(candidate.rect, landmarks, t),
        });
        done.ids[candidate.index] = Some(id);
        done.opened.push(id);
    }

    /// Keeps to the limits: the smallest visible faces go, then those missing the longest.
    fn make_room(&mut self, done: &mut Association) {
        loop {
            let visible = self.tracks.iter().enumerate().filter(|(_, track)| !track.missing);
            if visible.clone().count() <= self.settings.max_faces {
                break;
            }
            let Some((at, _)) = visible.min_by(|a, b| a.1.rect.area().total_cmp(&b.1.rect.area()))
            else {
                break;
            };
            self.drop_track(at, done);
        }
        while self.tracks.len() > self.settings.max_tracks.max(self.settings.max_faces) {
            let missing = self.tracks.iter().enumerate().filter(|(_, track)| track.missing);
            let Some((at, _)) = missing.min_by_key(|(_, track)| track.last_seen) else { break };
            self.drop_track(at, done);
        }
    }

    fn drop_track(&mut self, at: usize, done: &mut Association) {
        let id = self.tracks.remove(at).id;
        match done.opened.iter().position(|opened| *opened == id) {
            // It never was there for the caller.
            Some(new) => drop(done.opened.remove(new)),
            None => self.lost.push(id),
        }
        for slot in done.ids.iter_mut().filter(|slot| **slot == Some(id)) {
            *slot = None;
            done.ignored += 1;
        }
    }
}

impl Candidate {
    /// The largest first, and the same order whatever the order of the list.
    fn order(a: &Self, b: &Self) -> std::cmp::Ordering {
        let place = |c: &Self| [c.score, c.rect.x, c.rect.y, c.rect.w];
        let area = b.rect.area().total_cmp(&a.rect.area());
        let places = place(b).into_iter().zip(place(a)).map(|(q, p)| q.total_cmp(&p));
        places.fold(area, |order, next| order.then(next)).then(a.external.cmp(&b.external))
    }
}

/// Leaves one box a face, that of the best score. Boxes with an id of their own all stay.
fn suppress(boxes: &mut Vec<Candidate>) {
    let mut kept: Vec<Candidate> = Vec::with_capacity(boxes.len());
    let mut by_score: Vec<&Candidate> = boxes.iter().collect();
    by_score.sort_by(|a, b| {
        b.external.is_some().cmp(&a.external.is_some()).then(b.score.total_cmp(&a.score))
    });
    for candidate in by_score {
        if candidate.external.is_some() || !kept.iter().any(|k| same_face(&k.rect, &candidate.rect))
        {
            kept.push(candidate.clone());
        }
    }
    kept.sort_by(Candidate::order);
    *boxes = kept;
}

/// How well a box fits an expected face: above 1 by overlap, below by nearness.
fn affinity(expected: &Rect, found: &Rect) -> Option<f32> {
    let iou = expected.iou(found);
    if iou >= MIN_IOU {
        return Some(1.0 + iou);
    }
    let (a, b) = (expected.center(), found.center());
    let distance = (a.x - b.x).hypot(a.y - b.y) / expected.h.max(found.h);
    let ratio = expected.h.max(found.h) / expected.h.min(found.h);
    (distance <= NEAR && ratio <= ALIKE).then_some(1.0 - distance)
}
