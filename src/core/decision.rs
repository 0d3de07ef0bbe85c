// SPDX-License-Identifier: MPL-2.0

//! From a stream of decisions to a label that can be shown: hysteresis and abstention.

use std::sync::Arc;

use super::agreement;
use super::networks::ClipAnswer;
use super::result::{Probabilities, Status, StreamAnswer, Streams};
use super::types::Ns;

/// What the clips of one window say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Time of the newest frame looked at.
    pub t: Ns,
    /// Time of the oldest.
    pub start: Ns,
    /// Encoded frames between the two.
    pub frames: u32,
    /// Mean of the clips' calibrated distributions.
    pub probabilities: Probabilities,
    pub agreement: f32,
    pub clips: u32,
    pub votes: u32,
    pub streams: Streams,
    pub key_times: Vec<Ns>,
}

/// The clips' answers put together: calibrated, averaged, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Consensus {
    pub probabilities: Probabilities,
    pub agreement: f32,
    pub votes: u32,
    pub streams: Streams,
}

impl Consensus {
    /// `answers` of at least one clip; `classes` in the order of the logits. Probabilities are taken
    /// at `temperature`, agreement at a sharper one: see `ExpressionSpec`.
    pub fn of(
        answers: &[ClipAnswer],
        classes: &[Arc<str>],
        temperature: f32,
        agreement_temperature: f32,
    ) -> Self {
        let at = |temperature: f32, pick: &dyn Fn(&ClipAnswer) -> Option<&Vec<f32>>| {
            let clips = answers.iter().filter_map(pick);
            clips.map(|l| agreement::softmax(l, temperature)).collect::<Vec<_>>()
        };
        let soft = |pick: &dyn Fn(&ClipAnswer) -> Option<&Vec<f32>>| at(temperature, pick);
        let fused = soft(&|a| Some(&a.fused));
        let compared = at(agreement_temperature, &|a| Some(&a.fused));
        let mean = agreement::mean(&fused);
        let winner = agreement::argmax(&mean);
        let stream = |distributions: Vec<Vec<f32>>| {
            let mean = agreement::mean(&distributions);
            let top = agreement::argmax(&mean);
            let label = classes.get(top)?.clone();
            Some(StreamAnswer { label, probability: *mean.get(top)? })
        };
        Self {
            votes: fused.iter().filter(|d| agreement::argmax(d) == winner).count() as u32,
            agreement: agreement::agreement(&compared),
            streams: Streams {
                short: stream(soft(&|a| a.short.as_ref())),
                long: stream(soft(&|a| a.long.as_ref())),
            },
            probabilities: Probabilities(classes.iter().cloned().zip(mean).collect()),
        }
    }
}

/// When a label may be shown and when it may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecisionSettings {
    /// Agreement under which a decision is `uncertain`, 0 to 1.
    pub min_agreement: f32,
    /// Probability of the winner under which a decision is `uncertain`, 0 to 1.
    pub min_confidence: f32,
    /// Face quality under which nothing is decided, 0 to 1.
    pub min_quality: f32,
    /// Decisions in a row that must speak for another label.
    pub switch_votes: u32,
    /// Time over which they must do so.
    pub switch_time: Ns,
    /// By how much the other label's probability must exceed the stable one's in the last of them.
    pub switch_lead: f32,
    /// How long a stable label is remembered through uncertainty.
    pub hold_time: Ns,
}

/// Hysteresis over one face's decisions.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    stable: Option<(Arc<str>, Ns)>,
    candidate: Option<Candidate>,
}

#[derive(Debug, Clone)]
struct Candidate {
    label: Arc<str>,
    since: Ns,
    votes: u32,
}

impl Decision {
    /// Takes the newest verdict into account. The label is there for `Stable` and, where one was
    /// stable before, for `Changing`.
    pub fn update(
        &mut self,
        verdict: &Verdict,
        settings: &DecisionSettings,
    ) -> (Status, Option<Arc<str>>) {
        let t = verdict.t;
        self.forget(t, settings);
        let Some((top, p)) = verdict.probabilities.top() else { return (Status::Uncertain, None) };
        if verdict.agreement < settings.min_agreement || p < settings.min_confidence {
            self.candidate = None;
            return (Status::Uncertain, None);
        }
        if let Some((label, last)) = &mut self.stable
            && label == top
        {
            *last = t;
            self.candidate = None;
            return (Status::Stable, Some(top.clone()));
        }
        let candidate = match self.candidate.take() {
            Some(c) if c.label == *top => Candidate { votes: c.votes + 1, ..c },
            _ => Candidate { label: top.clone(), since: t, votes: 1 },
        };
        let rival = self.stable.as_ref().and_then(|(label, _)| verdict.probabilities.get(label));
        if candidate.votes >= settings.switch_votes
            && t.saturating_sub(candidate.since) >= settings.switch_time
            && p - rival.unwrap_or(0.0) >= settings.switch_lead
        {
            self.stable = Some((candidate.label.clone(), t));
            return (Status::Stable, Some(candidate.label));
        }
        self.candidate = Some(candidate);
        (Status::Changing, self.stable.as_ref().map(|(label, _)| label.clone()))
    }

    /// The stable label is forgotten when nothing has spoken for it for the hold time.
    pub fn forget(&mut self, t: Ns, settings: &DecisionSettings) {
        if self
            .stable
            .as_ref()
            .is_some_and(|(_, last)| t.saturating_sub(*last) > settings.hold_time)
        {
            self.stable = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Ns = 200_000_000;
    const SETTINGS: DecisionSettings = DecisionSettings {
        min_agreement: 0.6,
        min_confidence: 0.4,
        min_quality: 0.3,
        switch_votes: 3,
        switch_time: 2 * STEP,
        switch_lead: 0.1,
        hold_time: 5 * STEP,
    };

    fn verdict(n: Ns, happy: f32, agreement: f32) -> Verdict {
        Verdict {
            t: n * STEP,
            start: 0,
            frames: 10,
            probabilities: Probabilities(vec![
                ("happy".into(), happy),
                ("sad".into(), 1.0 - happy),
            ]),
            agreement,
            clips: 5,
            votes: 5,
            streams: Streams::default(),
            key_times: Vec::new(),
        }
    }

    /// Rows of (probability of happy, agreement, status, label).
    fn table(rows: &[(f32, f32, Status, Option<&str>)]) {
        let mut decision = Decision::default();
        for (i, (happy, agreement, status, label)) in rows.iter().enumerate() {
            let got = decision.update(&verdict(i as Ns, *happy, *agreement), &SETTINGS);
            assert_eq!((got.0, got.1.as_deref()), (*status, *label), "row {i}");
        }
    }

    use Status::{Changing, Stable, Uncertain};

    #[test]
    fn a_label_becomes_stable_after_votes_and_time() {
        table(&[
            (0.9, 0.9, Changing, None),
            (0.9, 0.9, Changing, None),
            (0.9, 0.9, Stable, Some("happy")),
            (0.9, 0.9, Stable, Some("happy")),
        ]);
    }

    #[test]
    fn one_outlier_changes_nothing() {
        table(&[
            (0.9, 0.9, Changing, None),
            (0.9, 0.9, Changing, None),
            (0.9, 0.9, Stable, Some("happy")),
            (0.2, 0.9, Changing, Some("happy")),
            (0.9, 0.9, Stable, Some("happy")),
            (0.2, 0.9, Changing, Some("happy")),
            (0.2, 0.9, Changing, Some("happy")),
            (0.2, 0.9, Stable, Some("sad")),
        ]);
    }

    #[test]
    fn a_small_lead_is_not_enough() {
        table(&[
            (0.9, 0.9, Changing, None),
            (0.9, 0.9, Changing, None),
            (0.9, 0.9, Stable, Some("happy")),
            (0.47, 0.9, Changing, Some("happy")),
            (0.47, 0.9, Changing, Some("happy")),
            (0.47, 0.9, Changing, Some("happy")),
            (0.3, 0.9, Stable, Some("sad")),
        ]);
    }

    #[test]
    fn disagreement_has_no_label_and_a_long_one_forgets_it() {
        let mut rows = vec![
            (0.9, 0.9, Changing, None),
            (0.9, 0.9, Changing, None),
            (0.9, 0.9, Stable, Some("happy")),
            (0.9, 0.5, Uncertain, None),
            (0.9, 0.9, Stable, Some("happy")),
        ];
        rows.extend([(0.9, 0.5, Uncertain, None); 6]);
        rows.push((0.9, 0.9, Changing, None));
        table(&rows);
    }

    #[test]
    fn consensus_counts_votes_and_averages() {
        let answer =
            |a: f32, b: f32| ClipAnswer { fused: vec![a, b], long: None, short: Some(vec![b, a]) };
        let classes = ["happy".into(), "sad".into()];
        let big = 50.0;
        let clips = [answer(big, 0.0), answer(big, 0.0), answer(0.0, big)];
        let all = Consensus::of(&clips, &classes, 1.0, 1.0);
        assert_eq!(all.votes, 2);
        assert!((all.agreement - 1.0 / 3.0).abs() < 1e-5);
        assert!((all.probabilities.get("happy").unwrap() - 2.0 / 3.0).abs() < 1e-5);
        assert_eq!(all.streams.long, None);
        assert_eq!(&*all.streams.short.unwrap().label, "sad");
    }

    #[test]
    fn agreement_has_a_temperature_of_its_own() {
        let clip = |a: f32| ClipAnswer { fused: vec![a, 0.0], long: None, short: None };
        let classes = ["happy".into(), "sad".into()];
        let of = |sharp| Consensus::of(&[clip(1.0), clip(-1.0)], &classes, 2.0, sharp);
        let (soft, sharp) = (of(2.0), of(0.01));
        assert_eq!(soft.probabilities, sharp.probabilities);
        assert!(soft.agreement > 0.9 && sharp.agreement < 1e-5);
    }
}
