// SPDX-License-Identifier: MPL-2.0

//! The inference thread of `mode=live`: bounded, newest first, never waited for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::core::Error;
use crate::core::analyst::{Analyst, Job, Outcome, Stage};

/// Runs jobs on a thread of its own. At most one detection and one look per face wait; a newer
/// one takes the place of the older, which counts as dropped. Dropping the worker ends the thread
/// after the job in hand.
pub struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    wake: Condvar,
}

#[derive(Default)]
struct Mailbox {
    /// Rises with every reset; what belongs to an earlier one is thrown away.
    generation: u64,
    detection: Option<Job>,
    /// The newest work taken was a detection.
    detected: bool,
    faces: VecDeque<(u64, Job)>,
    done: Vec<Result<Outcome, Error>>,
    spent: Vec<(Stage, Duration)>,
    dropped: u64,
    stop: bool,
}

/// What the thread finished since the last look.
#[derive(Default)]
pub struct Done {
    pub outcomes: Vec<Result<Outcome, Error>>,
    pub spent: Vec<(Stage, Duration)>,
    /// Jobs dropped since.
    pub dropped: u64,
}

impl Worker {
    /// Starts the thread. Fails when the system has no thread left.
    pub fn spawn(name: &str, analyst: Analyst) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let together = analyst.together();
        let thread = std::thread::Builder::new()
            .name(format!("{name}:infer"))
            .spawn(move || theirs.work(analyst, together))
            .map_err(|e| Error::Runtime {
                runtime: "inference thread".into(),
                reason: e.to_string(),
            })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands a job over without waiting.
    pub fn submit(&self, job: Job) {
        let mut mailbox = self.shared.lock();
        match &job {
            Job::Detect { .. } => {
                if mailbox.detection.replace(job).is_some() {
                    mailbox.dropped += 1;
                }
            }
            Job::Face { track, .. } => {
                let track = *track;
                match mailbox.faces.iter_mut().find(|(id, _)| *id == track) {
                    Some(waiting) => {
                        waiting.1 = job;
                        mailbox.dropped += 1;
                    }
                    None => mailbox.faces.push_back((track, job)),
                }
            }
        }
        drop(mailbox);
        self.shared.wake.notify_one();
    }

    /// What was finished; never waits.
    pub fn collect(&self) -> Done {
        let mut mailbox = self.shared.lock();
        Done {
            outcomes: std::mem::take(&mut mailbox.done),
            spent: std::mem::take(&mut mailbox.spent),
            dropped: std::mem::take(&mut mailbox.dropped),
        }
    }

    /// Forgets what waits and what is remembered; the job in hand ends in vain.
    pub fn reset(&self) {
        let mut mailbox = self.shared.lock();
        mailbox.generation += 1;
        mailbox.detection = None;
        mailbox.faces.clear();
        mailbox.done.clear();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported as an outcome.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut analyst: Analyst, together: usize) {
        let mut generation = 0;
        loop {
            let mut mailbox = self.lock();
            let jobs = loop {
                if mailbox.stop {
                    return;
                }
                let jobs = mailbox.take(together);
                if !jobs.is_empty() {
                    break jobs;
                }
                mailbox = self.wake.wait(mailbox).unwrap_or_else(PoisonError::into_inner);
            };
            if mailbox.generation != generation {
                generation = mailbox.generation;
                analyst.reset();
            }
            drop(mailbox);
            let outcomes = run(&mut analyst, jobs);
            let mut mailbox = self.lock();
            mailbox.spent.append(&mut analyst.spent);
            if mailbox.generation == generation {
                match outcomes {
                    Ok(outcomes) => mailbox.done.extend(outcomes.into_iter().map(Ok)),
                    Err(error) => mailbox.done.push(Err(error)),
                }
            }
        }
    }
}

impl Mailbox {
    /// A detection, else as many faces as are worth looking at together. They take turns where both
    /// wait: detections alone that are due faster than they are done would leave no time for faces.
    fn take(&mut self, together: usize) -> Vec<Job> {
        let faces_first = self.detected && !self.faces.is_empty();
        if !faces_first && let Some(job) = self.detection.take() {
            self.detected = true;
            return vec![job];
        }
        self.detected = false;
        let count = self.faces.len().min(together);
        self.faces.drain(..count).map(|(_, job)| job).collect()
    }
}

/// Runs jobs; a panic below becomes an error.
pub fn run(analyst: &mut Analyst, jobs: Vec<Job>) -> Result<Vec<Outcome>, Error> {
    catch_unwind(AssertUnwindSafe(|| analyst.run(jobs))).unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it panicked");
        Err(Error::Inference { network: "analysis".into(), reason: reason.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::analyst::Cut;
    use crate::core::pixels::{Affine, Channels, Picture};

    #[test]
    fn detections_and_faces_take_turns() {
        let picture = || Picture::filled(Channels::Gray, 1, 1, 0);
        let detection = || Job::Detect { t: 0, picture: picture(), map: Affine::identity() };
        let look = |track| (track, Job::Face { t: 0, track, picture: picture(), cut: Cut::Crop });
        let mut mailbox = Mailbox::default();
        mailbox.faces.extend([1, 2, 3].map(look));
        let mut taken = Vec::new();
        // A new detection waits whenever one is taken.
        for _ in 0..6 {
            mailbox.detection.get_or_insert_with(detection);
            taken.push(match &mailbox.take(1)[..] {
                [Job::Detect { .. }] => 0,
                [Job::Face { track, .. }] => *track,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(taken, [0, 1, 0, 2, 0, 3]);
        assert_eq!(mailbox.take(1).len(), 1, "alone it does not wait");
        assert!(mailbox.take(1).is_empty());
    }
}
