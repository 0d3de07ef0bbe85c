// SPDX-License-Identifier: MPL-2.0

//! Which of the remembered frames make up a clip, chosen by time, never by frame count.
//!
//! Synopsis, key moments and detail follow the key expression re-sampling of RDFER (arXiv
//! 2502.16129). Several clips of one window differ in the part they cover and in phase: clips that
//! saw the same frames would agree by construction.

use super::networks::{Feature, SamplingSpec};
use super::types::{Ns, SECOND};

/// The most clips that can be compared.
pub const MAX_CLIPS: usize = PARTS.len();

/// Part of the window that a clip covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// 0 = start of the window, 1 = its end.
    pub start: f64,
    pub end: f64,
    /// Where the first synopsis frame lies, in steps of the synopsis.
    pub phase: f64,
}

/// Each covers at least 60 % of the window. The first, the whole, is the one clip of K = 1.
const PARTS: [Part; 9] = [
    Part { start: 0.0, end: 1.0, phase: 0.0 },
    Part { start: 0.4, end: 1.0, phase: 0.5 },
    Part { start: 0.0, end: 0.7, phase: 0.25 },
    Part { start: 0.2, end: 0.9, phase: 0.75 },
    Part { start: 0.1, end: 1.0, phase: 0.4 },
    Part { start: 0.3, end: 1.0, phase: 0.1 },
    Part { start: 0.0, end: 0.6, phase: 0.6 },
    Part { start: 0.2, end: 0.8, phase: 0.3 },
    Part { start: 0.0, end: 0.85, phase: 0.9 },
];

/// The parts that `clips` clips cover, 1 to [`MAX_CLIPS`].
pub fn parts(clips: usize) -> &'static [Part] {
    &PARTS[..clips.clamp(1, MAX_CLIPS)]
}

/// A stretch of time of the history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub start: Ns,
    pub end: Ns,
}

impl Span {
    /// `part` of this span.
    pub fn part(self, part: &Part) -> Self {
        let at = |f: f64| self.start + ((self.end - self.start) as f64 * f).round() as Ns;
        Self { start: at(part.start), end: at(part.end) }
    }
}

/// Index of the frame nearest to `t`, the earlier of two equally near; `frames` is not empty.
fn nearest<T>(frames: &[(Ns, T)], t: Ns) -> usize {
    let after = frames.partition_point(|(at, _)| *at < t);
    if after == 0 {
        return 0;
    }
    if after == frames.len() || t - frames[after - 1].0 <= frames[after].0 - t {
        return after - 1;
    }
    after
}

fn pick(frames: &[(Ns, Feature)], t: Ns) -> (Ns, &Feature) {
    let (at, feature) = &frames[nearest(frames, t)];
    (*at, feature)
}

/// The uniform look: `spec.synopsis` frames, the i-th nearest to start + (i + phase) · step.
/// Where frames are missing their neighbours stand in.
pub fn synopsis<'a>(
    frames: &'a [(Ns, Feature)],
    span: Span,
    phase: f64,
    spec: &SamplingSpec,
) -> Vec<(Ns, &'a Feature)> {
    let step = (span.end - span.start) as f64 / spec.synopsis as f64;
    (0..spec.synopsis)
        .map(|i| pick(frames, span.start + ((i as f64 + phase) * step).round() as Ns))
        .collect()
}

/// The `count` best moments in order of time: indices into `scores`. Neighbours of a chosen one
/// are left out unless nothing else remains.
pub fn key_moments(scores: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let mut chosen: Vec<usize> = Vec::with_capacity(count);
    for &i in &order {
        if chosen.len() < count && chosen.iter().all(|&c| c.abs_diff(i) > 1) {
            chosen.push(i);
        }
    }
    for &i in &order {
        if chosen.len() < count && !chosen.contains(&i) {
            chosen.push(i);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// The dense look around `key`: `spec.detail` frames one sampling step apart, the one before the
/// last at `key` itself when there are four; moved as a whole to stay inside `span`.
pub fn detail<'a>(
    frames: &'a [(Ns, Feature)],
    span: Span,
    key: Ns,
    spec: &SamplingSpec,
) -> Vec<(Ns, &'a Feature)> {
    let step = (SECOND as f64 / spec.rate) as Ns;
    let length = step * (spec.detail as Ns - 1);
    let latest = span.end.saturating_sub(length).max(span.start);
    let first = key.saturating_sub(step * (spec.detail as Ns / 2)).clamp(span.start, latest);
    (0..spec.detail as Ns).map(|i| pick(frames, (first + i * step).min(span.end))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: SamplingSpec =
        SamplingSpec { rate: 15.0, window: 2_560_000_000, synopsis: 16, moments: 4, detail: 4 };

    /// Frames at `fps`, thinned to 15 a second as the engine does, each feature its own time.
    fn frames(fps: f64, drop: impl Fn(usize) -> bool) -> Vec<(Ns, Feature)> {
        let mut slot = None;
        let mut all = Vec::new();
        for i in 0..(fps * 2.6) as usize {
            let t = (i as f64 / fps * SECOND as f64) as Ns;
            let now = crate::core::types::slot(t, (SECOND as f64 / SPEC.rate) as Ns);
            if slot != Some(now) && !drop(i) {
                slot = Some(now);
                all.push((t, Feature::Embedding(Box::new([t as f32 / SECOND as f32]))));
            }
        }
        all
    }

    fn seconds(clip: &[(Ns, &Feature)]) -> Vec<f64> {
        clip.iter().map(|(t, _)| *t as f64 / SECOND as f64).collect()
    }

    #[test]
    fn every_part_covers_most_of_the_window_and_no_two_are_alike() {
        for (i, part) in PARTS.iter().enumerate() {
            assert!(part.end - part.start >= 0.6 - 1e-9 && part.end <= 1.0);
            assert!((0.0..1.0).contains(&part.phase));
            assert!(!PARTS[..i].contains(part));
        }
        assert_eq!(parts(0).len(), 1);
        assert_eq!(parts(99).len(), MAX_CLIPS);
    }

    #[test]
    fn the_same_times_at_every_frame_rate() {
        let span = Span { start: 0, end: 2_500_000_000 };
        let want = synopsis_times(&frames(15.0, |_| false), span);
        for fps in [25.0, 29.97, 30.0, 60.0] {
            let got = synopsis_times(&frames(fps, |_| false), span);
            for (a, b) in want.iter().zip(&got) {
                // One step of the grid, where a time lies between two frames.
                assert!((a - b).abs() <= 0.067, "{fps} fps: {a} became {b}");
            }
        }
    }

    fn synopsis_times(frames: &[(Ns, Feature)], span: Span) -> Vec<f64> {
        let clip = synopsis(frames, span, 0.25, &SPEC);
        assert_eq!(clip.len(), SPEC.synopsis);
        seconds(&clip)
    }

    #[test]
    fn dropped_frames_are_stood_in_for_by_their_neighbours() {
        let span = Span { start: 0, end: 2_500_000_000 };
        let whole = synopsis_times(&frames(30.0, |_| false), span);
        let holey = synopsis_times(&frames(30.0, |i| i % 7 == 0 || (20..30).contains(&i)), span);
        for (a, b) in whole.iter().zip(&holey) {
            assert!((a - b).abs() <= 0.21, "{a} became {b}");
        }
    }

    #[test]
    fn a_single_frame_fills_a_clip() {
        let one = vec![(5, Feature::Embedding(Box::new([1.0])))];
        let span = Span { start: 5, end: 5 };
        assert_eq!(synopsis(&one, span, 0.5, &SPEC).len(), 16);
        assert_eq!(detail(&one, span, 5, &SPEC).len(), 4);
    }

    #[test]
    fn key_moments_are_apart_in_order_and_always_enough() {
        assert_eq!(key_moments(&[0.0, 5.0, 4.9, 1.0, 3.0, 0.5, 0.2, 2.0], 3), [1, 4, 7]);
        assert_eq!(key_moments(&[1.0; 16], 4), [0, 2, 4, 6]);
        assert_eq!(key_moments(&[3.0, 2.0, 1.0], 3), [0, 1, 2]);
        assert_eq!(key_moments(&[f32::NAN, 1.0], 1).len(), 1);
        assert!(key_moments(&[1.0, 2.0], 0).is_empty());
    }

    #[test]
    fn detail_is_dense_and_stays_inside_the_part() {
        let frames = frames(30.0, |_| false);
        let span = Span { start: SECOND, end: 2 * SECOND };
        let middle = seconds(&detail(&frames, span, 22 * SECOND / 15, &SPEC));
        assert!(middle.windows(2).all(|w| (w[1] - w[0] - 1.0 / 15.0).abs() < 0.001), "{middle:?}");
        assert!((middle[2] - 22.0 / 15.0).abs() < 0.001);
        for key in [SECOND, 2 * SECOND] {
            let clip = seconds(&detail(&frames, span, key, &SPEC));
            assert!(clip[0] >= 0.96 && clip[3] <= 2.04, "{clip:?}");
            assert!(clip.windows(2).all(|w| w[1] > w[0]));
        }
    }
}
