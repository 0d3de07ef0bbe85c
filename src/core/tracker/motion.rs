// SPDX-License-Identifier: MPL-2.0

use super::Track;
use crate::core::types::{Landmarks, Ns, Point, Rect, SECOND};

/// A face that is no longer seen slows down: after this many seconds 63 % of its way is done.
const COAST: f32 = 0.5;
/// Seconds over which the velocity is averaged.
const SMOOTH: f32 = 0.1;
/// Nothing moves faster than this many of its heights a second.
const MAX_SPEED: f32 = 10.0;

/// What an observation changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct State {
    rect: Rect,
    landmarks: Option<Landmarks>,
    velocity: Point,
    seen: Ns,
    /// Where the face was expected when it was observed.
    expected: Point,
}

impl State {
    pub fn new(rect: Rect, landmarks: Option<Landmarks>, t: Ns) -> Self {
        Self { rect, landmarks, velocity: Point::default(), seen: t, expected: rect.center() }
    }
}

impl Track {
    /// Constant velocity, damped; works backwards for times before the newest observation.
    pub(super) fn expected(&self, t: Ns) -> Rect {
        let seconds = seconds(self.last_seen, t);
        let way = seconds.signum() * COAST * (1.0 - (-seconds.abs() / COAST).exp());
        self.rect.moved(self.velocity.x * way, self.velocity.y * way)
    }

    /// False when something newer is known.
    pub(super) fn update(
        &mut self,
        t: Ns,
        rect: Rect,
        landmarks: Option<Landmarks>,
        score: f32,
    ) -> bool {
        if t < self.last_seen {
            return false;
        }
        if t > self.last_seen {
            self.before = State {
                rect: self.rect,
                landmarks: self.landmarks,
                velocity: self.velocity,
                seen: self.last_seen,
                expected: self.expected(t).center(),
            };
            let dt = seconds(self.last_seen, t);
            let share = 1.0 - (-dt / SMOOTH).exp();
            let (from, to) = (self.rect.center(), rect.center());
            let limit = MAX_SPEED * rect.h.max(self.rect.h);
            let mix = |old: f32, way: f32| (old + share * (way / dt - old)).clamp(-limit, limit);
            self.velocity = Point::new(
                mix(self.velocity.x, to.x - from.x),
                mix(self.velocity.y, to.y - from.y),
            );
        }
        self.rect = rect;
        self.landmarks = landmarks.filter(|l| l.iter().all(|p| p.x.is_finite() && p.y.is_finite()));
        self.score = score;
        self.last_seen = t;
        self.missing = false;
        true
    }

    /// How far from where it was expected the face was seen, in its heights.
    pub(super) fn surprise(&self) -> f32 {
        let (seen, expected) = (self.rect.center(), self.before.expected);
        (seen.x - expected.x).hypot(seen.y - expected.y) / self.rect.h
    }

    /// Undoes the newest observation.
    pub(super) fn step_back(&mut self) {
        self.rect = self.before.rect;
        self.landmarks = self.before.landmarks;
        self.velocity = self.before.velocity;
        self.last_seen = self.before.seen;
        self.missing = true;
    }
}

/// From `a` to `b`, at most ten either way.
fn seconds(a: Ns, b: Ns) -> f32 {
    let way = a.abs_diff(b).min(10 * SECOND) as f32 / SECOND as f32;
    if b >= a { way } else { -way }
}
