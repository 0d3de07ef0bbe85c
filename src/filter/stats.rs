// SPDX-License-Identifier: MPL-2.0

//! Counts and times behind the property `stats`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::core::analyst::Stage;

/// Durations remembered per stage; percentiles are those of the newest ones.
const WINDOW: usize = 512;

#[derive(Debug, Default)]
pub struct Stats {
    pub frames: u64,
    pub faces: u64,
    pub ignored: u64,
    pub decided: u64,
    pub dropped: u64,
    /// Name of the running mode, `live` or `sync`.
    pub mode: &'static str,
    counts: BTreeMap<Stage, u64>,
    times: BTreeMap<Stage, VecDeque<Duration>>,
}

impl Stats {
    pub fn spent(&mut self, spent: &[(Stage, Duration)]) {
        for (stage, time) in spent {
            *self.counts.entry(*stage).or_default() += 1;
            let times = self.times.entry(*stage).or_default();
            if times.len() == WINDOW {
                times.pop_front();
            }
            times.push_back(*time);
        }
        self.decided = self.count(Stage::Decide);
    }

    fn count(&self, stage: Stage) -> u64 {
        self.counts.get(&stage).copied().unwrap_or(0)
    }

    /// The structure `dfer-stats`; times in nanoseconds.
    pub fn structure(&self) -> gst::Structure {
        let mut s = gst::Structure::builder("dfer-stats")
            .field("mode", self.mode)
            .field("frames", self.frames)
            .field("faces", self.faces)
            .field("ignored-faces", self.ignored)
            .field("detected", self.count(Stage::Detect))
            .field("encoded", self.count(Stage::Encode))
            .field("decided", self.decided)
            .field("dropped", self.dropped)
            .build();
        for (stage, times) in &self.times {
            let name = format!("{stage:?}").to_lowercase();
            let mut sorted: Vec<u64> = times.iter().map(|d| d.as_nanos() as u64).collect();
            sorted.sort_unstable();
            for percent in [50, 95] {
                let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
                s.set(format!("{name}-p{percent}"), sorted.get(at).copied().unwrap_or(0));
            }
        }
        s
    }
}
