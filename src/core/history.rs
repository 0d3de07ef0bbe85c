// SPDX-License-Identifier: MPL-2.0

//! What is remembered of one face: the features of its newest frames, by time.

use std::collections::VecDeque;

use super::networks::Feature;
use super::types::{Ns, SECOND};

/// A pause longer than this ends a clip: what lies before says nothing of the face now.
const LONGEST_PAUSE: Ns = SECOND;

/// The encoded frames of one face, oldest first, never more than one window of them.
#[derive(Debug)]
pub struct History {
    window: Ns,
    most: usize,
    frames: VecDeque<(Ns, Feature)>,
}

impl History {
    /// Remembers `window` nanoseconds of at most `rate` frames a second.
    pub fn new(window: Ns, rate: f64) -> Self {
        let most = (window as f64 / SECOND as f64 * rate).ceil() as usize + 2;
        Self { window, most, frames: VecDeque::with_capacity(most) }
    }

    /// Adds a frame. One that is not newer than all others, or comes after a long pause, starts
    /// the history anew.
    pub fn push(&mut self, t: Ns, feature: Feature) {
        if let Some((last, _)) = self.frames.back()
            && (t <= *last || t - last > LONGEST_PAUSE)
        {
            self.frames.clear();
        }
        self.frames.push_back((t, feature));
        let oldest = t.saturating_sub(self.window);
        while self.frames.len() > self.most || self.frames.front().is_some_and(|(t, _)| *t < oldest)
        {
            self.frames.pop_front();
        }
    }

    /// Drops the frames before `t`.
    pub fn forget_before(&mut self, t: Ns) {
        while self.frames.front().is_some_and(|(at, _)| *at < t) {
            self.frames.pop_front();
        }
    }

    /// Frames with their times, oldest first.
    pub fn frames(&mut self) -> &[(Ns, Feature)] {
        self.frames.make_contiguous()
    }

    /// Time between the oldest and the newest frame.
    pub fn span(&self) -> Ns {
        match (self.frames.front(), self.frames.back()) {
            (Some((first, _)), Some((last, _))) => last - first,
            _ => 0,
        }
    }

    pub fn last(&self) -> Option<Ns> {
        self.frames.back().map(|(t, _)| *t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature() -> Feature {
        Feature::Embedding(Box::new([0.0]))
    }

    #[test]
    fn keeps_one_window_and_no_more() {
        let mut history = History::new(SECOND, 10.0);
        for i in 0..100 {
            history.push(i * SECOND / 10, feature());
            assert!(history.frames().len() <= 11);
            assert!(history.span() <= SECOND);
        }
        assert_eq!(history.frames().len(), 11);
        assert_eq!(history.last(), Some(99 * SECOND / 10));
    }

    #[test]
    fn forgets_what_lies_before() {
        let mut history = History::new(SECOND, 10.0);
        for i in 0..10 {
            history.push(i * SECOND / 10, feature());
        }
        history.forget_before(SECOND / 2);
        assert_eq!(history.frames().first().map(|(t, _)| *t), Some(SECOND / 2));
        history.forget_before(5 * SECOND);
        assert_eq!((history.frames().len(), history.last()), (0, None));
    }

    #[test]
    fn memory_is_bounded_even_when_frames_come_too_fast() {
        let mut history = History::new(SECOND, 10.0);
        for i in 0..10_000 {
            history.push(i, feature());
        }
        assert_eq!(history.frames().len(), 12);
    }

    #[test]
    fn a_pause_or_a_step_back_starts_anew() {
        let mut history = History::new(3 * SECOND, 10.0);
        history.push(SECOND, feature());
        history.push(2 * SECOND, feature());
        assert_eq!(history.frames().len(), 2);
        history.push(3 * SECOND + 1, feature());
        assert_eq!(history.frames().len(), 1);
        history.push(SECOND, feature());
        assert_eq!(history.frames().len(), 1);
        assert_eq!(history.span(), 0);
    }
}
