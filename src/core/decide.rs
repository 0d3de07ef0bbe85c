// SPDX-License-Identifier: MPL-2.0

//! Decisions: the clips of a face's window, put to the network.

use super::decision::{Consensus, Verdict};
use super::error::Error;
use super::history::History;
use super::networks::{Clip, ClipAnswer, ExpressionNetwork, ExpressionSpec, Feature};
use super::sampling::{self, Span};
use super::types::{Ns, SECOND};

/// The newest part of a window that is looked at by itself: as long as a first decision needs.
const RECENT: Ns = 8 * SECOND / 10;
/// By how much the window must be longer than that.
const LONGER: Ns = SECOND / 5;
/// Probability that a new class needs in the newest part, and its lead over the old one there.
const SURE: f32 = 0.6;
const LEAD: f32 = 0.2;

/// One decision: K clips of the window that ends with the newest frame. See [`decide_all`].
pub fn decide(
    network: &dyn ExpressionNetwork,
    history: &mut History,
    clips: usize,
) -> Result<Verdict, Error> {
    Ok(decide_all(network, vec![history], clips)?.remove(0))
}

/// One decision on each face; the network looks at the clips of all of them together.
///
/// Where the newest part of a window surely speaks for another class than the whole, the expression
/// has changed: that part is the answer, and what lies before it is forgotten, so that no window
/// mixes the two for longer than it must.
pub fn decide_all(
    network: &dyn ExpressionNetwork,
    mut histories: Vec<&mut History>,
    clips: usize,
) -> Result<Vec<Verdict>, Error> {
    let whole = histories.iter_mut().map(|history| history.frames()).collect();
    let mut decided = verdicts(network, whole, clips)?;
    let mut faces = Vec::new();
    let mut newest = Vec::new();
    for (face, (history, whole)) in histories.iter_mut().zip(&decided).enumerate() {
        let start = whole.t.saturating_sub(RECENT);
        let frames = history.frames();
        // A network of whole clips pays for each clip; a second look would cost as much as the first.
        let cheap = matches!(frames.first(), Some((_, Feature::Embedding(_))));
        if cheap && start >= whole.start + LONGER {
            faces.push(face);
            newest.push(&frames[frames.partition_point(|(t, _)| *t < start)..]);
        }
    }
    let newest = verdicts(network, newest, clips)?;
    for (face, newest) in faces.into_iter().zip(newest) {
        if changed(&decided[face], &newest, network.spec()) {
            histories[face].forget_before(newest.start);
            decided[face] = newest;
        }
    }
    Ok(decided)
}

/// Whether the newest part of a window surely speaks for another class than the whole.
fn changed(whole: &Verdict, newest: &Verdict, spec: &ExpressionSpec) -> bool {
    let (Some((before, _)), Some((now, p))) =
        (whole.probabilities.top(), newest.probabilities.top())
    else {
        return false;
    };
    let rival = newest.probabilities.get(before).unwrap_or(0.0);
    now != before && newest.agreement >= spec.min_agreement && p >= SURE && p - rival >= LEAD
}

/// Frames of a window with their times.
type Remembered<'h> = &'h [(Ns, Feature)];

/// The window of one decision and its clips.
struct Window<'h> {
    frames: Remembered<'h>,
    whole: Span,
    spans: Vec<Span>,
    key_times: Vec<Ns>,
}

/// What K clips of each of these windows say; their frames are oldest first.
fn verdicts(
    network: &dyn ExpressionNetwork,
    remembered: Vec<Remembered<'_>>,
    clips: usize,
) -> Result<Vec<Verdict>, Error> {
    let spec = network.spec();
    let sampling = spec.sampling;
    let parts = sampling::parts(clips);
    let mut windows = Vec::with_capacity(remembered.len());
    for frames in remembered {
        let (Some((start, _)), Some((end, _))) = (frames.first(), frames.last()) else {
            return Err(Error::Inference {
                network: spec.model.clone(),
                reason: "a decision needs frames".into(),
            });
        };
        let whole = Span { start: *start, end: *end };
        let spans = parts.iter().map(|part| whole.part(part)).collect();
        windows.push(Window { frames, whole, spans, key_times: Vec::new() });
    }
    let mut looks = Vec::with_capacity(windows.len() * parts.len());
    for window in &windows {
        let frames = window.frames;
        looks.extend(parts.iter().zip(&window.spans).map(|(part, span)| Clip {
            synopsis: sampling::synopsis(frames, *span, part.phase, &sampling),
            detail: Vec::new(),
        }));
    }
    if sampling.moments > 0 && !looks.is_empty() {
        let scores = network.moments(&looks)?;
        for (i, (clip, scores)) in looks.iter_mut().zip(scores).enumerate() {
            let (window, part) = (&mut windows[i / parts.len()], i % parts.len());
            let keys = sampling::key_moments(&scores, sampling.moments);
            let times: Vec<Ns> = keys.into_iter().map(|k| clip.synopsis[k].0).collect();
            let (frames, span) = (window.frames, window.spans[part]);
            clip.detail =
                times.iter().map(|t| sampling::detail(frames, span, *t, &sampling)).collect();
            if part == 0 {
                window.key_times = times;
                window.key_times.dedup();
            }
        }
    }
    let answers = if looks.is_empty() { Vec::new() } else { network.answer(&looks)? };
    let verdict = |(window, answers): (&Window<'_>, &[ClipAnswer])| {
        let all =
            Consensus::of(answers, &spec.classes, spec.temperature, spec.agreement_temperature);
        Verdict {
            t: window.whole.end,
            start: window.whole.start,
            frames: window.frames.len() as u32,
            probabilities: all.probabilities,
            agreement: all.agreement,
            clips: answers.len() as u32,
            votes: all.votes,
            streams: all.streams,
            key_times: window.key_times.clone(),
        }
    };
    Ok(windows.iter().zip(answers.chunks(parts.len())).map(verdict).collect())
}

#[cfg(test)]
mod tests;
