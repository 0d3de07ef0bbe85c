// SPDX-License-Identifier: MPL-2.0

//! Runs of one graph by several streams, put together: what waits at the same time runs at once.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use ndarray::{ArrayD, ArrayViewD, Axis, Slice, concatenate};

use super::graph::Graph;
use crate::core::Error;

/// How batches form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sets of inputs in one run at most; 1 or more.
    pub most: usize,
    /// How long a set may wait for others.
    pub timeout: Duration,
}

/// Runs that were made, and sets of inputs in them; shared by the graphs of a backend.
#[derive(Debug, Default)]
pub struct Counters {
    pub runs: AtomicU64,
    pub sets: AtomicU64,
}

/// A graph with a queue and a thread. A caller waits for its own answers only, and gets them in
/// its own order; callers are served in turn, so that one with many faces does not hold up the
/// others.
pub struct Batched {
    network: String,
    limits: Limits,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

type Answer = Result<Vec<ArrayD<f32>>, Error>;

struct Request {
    caller: ThreadId,
    since: Instant,
    inputs: Vec<ArrayD<f32>>,
    /// Position among the sets of the same call.
    position: usize,
    reply: Sender<(usize, Answer)>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// In the order in which they came.
    waiting: Vec<Request>,
    /// Who has called lately, and when.
    callers: HashMap<ThreadId, Instant>,
    stop: bool,
}

/// Who has not called for this long is not waited for.
const LATELY: Duration = Duration::from_millis(500);

impl Batched {
    /// `run` gets sets of inputs, each of one or more rows, one behind the other along the first
    /// axis, and answers in the same manner. `network` names it in errors. Fails when the system
    /// has no thread left.
    pub fn spawn(
        network: &str,
        limits: Limits,
        counters: Arc<Counters>,
        run: impl FnMut(&[ArrayD<f32>]) -> Answer + Send + 'static,
    ) -> Result<Self, Error> {
        let queue = Arc::new(Queue::default());
        let mut engine = Engine { network: network.to_owned(), run, counters };
        let theirs = queue.clone();
        let thread = std::thread::Builder::new()
            .name("dfer:batch".to_owned())
            .spawn(move || {
                while let Some(batch) = theirs.next(limits) {
                    engine.answer(batch);
                }
            })
            .map_err(|e| Error::Runtime {
                runtime: "batch thread".into(),
                reason: e.to_string(),
            })?;
        Ok(Self { network: network.to_owned(), limits, queue, thread: Some(thread) })
    }

    fn submit(&self, sets: Vec<Vec<ArrayD<f32>>>) -> Receiver<(usize, Answer)> {
        let (reply, answers) = channel();
        let (caller, since) = (std::thread::current().id(), Instant::now());
        let mut state = self.queue.lock();
        state.callers.insert(caller, since);
        state.waiting.extend(sets.into_iter().enumerate().map(|(position, inputs)| Request {
            caller,
            since,
            inputs,
            position,
            reply: reply.clone(),
        }));
        drop(state);
        self.queue.wake.notify_one();
        answers
    }
}

impl Graph for Batched {
    fn run(&self, inputs: &[ArrayViewD<'_, f32>]) -> Answer {
        let set = inputs.iter().map(|array| array.as_standard_layout().into_owned()).collect();
        Ok(self.run_all(vec![set])?.remove(0))
    }

    fn together(&self) -> usize {
        self.limits.most
    }

    fn run_all(&self, sets: Vec<Vec<ArrayD<f32>>>) -> Result<Vec<Vec<ArrayD<f32>>>, Error> {
        let mut all: Vec<Option<Vec<ArrayD<f32>>>> = sets.iter().map(|_| None).collect();
        for (position, answer) in self.submit(sets) {
            all[position] = Some(answer?);
        }
        let lost = || failed(&self.network, "the thread that runs it has ended");
        all.into_iter().collect::<Option<Vec<_>>>().ok_or_else(lost)
    }
}

impl Drop for Batched {
    fn drop(&mut self) {
        self.queue.lock().stop = true;
        self.queue.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // It catches every panic of the graph's.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, waited for; `None` at the end.
    fn next(&self, limits: Limits) -> Option<Vec<Request>> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            let Some(first) = state.waiting.first() else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (now, due) = (Instant::now(), first.since + limits.timeout);
            if state.waiting.len() >= limits.most || now >= due || state.all_wait(now) {
                return Some(state.pick(limits.most));
            }
            let (locked, _) =
                self.wake.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner);
            state = locked;
        }
    }
}

impl State {
    /// Whether everybody who has called lately waits already: nobody else is to be expected.
    fn all_wait(&mut self, now: Instant) -> bool {
        self.callers.retain(|_, last| now.saturating_duration_since(*last) < LATELY);
        let waiting: HashSet<ThreadId> = self.waiting.iter().map(|r| r.caller).collect();
        self.callers.keys().all(|caller| waiting.contains(caller))
    }

    /// Takes out the first request of every caller, then the second of every caller, and so on.
    fn pick(&mut self, most: usize) -> Vec<Request> {
        let mut earlier: HashMap<ThreadId, usize> = HashMap::new();
        let mut order: Vec<(usize, usize)> = Vec::with_capacity(self.waiting.len());
        for (arrival, request) in self.waiting.iter().enumerate() {
            let turn = earlier.entry(request.caller).or_default();
            order.push((*turn, arrival));
            *turn += 1;
        }
        order.sort_unstable();
        let taken: HashSet<usize> = order.iter().take(most).map(|(_, arrival)| *arrival).collect();
        let mut arrival = 0..;
        self.waiting
            .extract_if(.., |_| arrival.next().is_some_and(|a| taken.contains(&a)))
            .collect()
    }
}

struct Engine<F> {
    network: String,
    run: F,
    counters: Arc<Counters>,
}

impl<F: FnMut(&[ArrayD<f32>]) -> Answer> Engine<F> {
    fn answer(&mut self, batch: Vec<Request>) {
        let sets: Vec<&[ArrayD<f32>]> = batch.iter().map(|r| &*r.inputs).collect();
        let answers = match self.together(&sets) {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if batch.len() == 1 => vec![Err(error)],
            // What is wrong with one face is no other's affair.
            Err(_) => sets.iter().map(|set| Ok(self.together(&[set])?.remove(0))).collect(),
        };
        for (request, answer) in batch.into_iter().zip(answers) {
            // A caller that took an earlier error for its answer has gone.
            let _ = request.reply.send((request.position, answer));
        }
    }

    /// One run of these sets; their answers in the same order.
    fn together(&mut self, sets: &[&[ArrayD<f32>]]) -> Result<Vec<Vec<ArrayD<f32>>>, Error> {
        let outputs = match sets {
            [one] => self.run(one)?,
            _ => {
                let inputs = (0..sets[0].len()).map(|i| {
                    let parts: Vec<_> = sets.iter().map(|set| set[i].view()).collect();
                    concatenate(Axis(0), &parts).map_err(|e| self.failed(&e.to_string()))
                });
                let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
                self.run(&inputs)?
            }
        };
        self.counters.runs.fetch_add(1, Ordering::Relaxed);
        self.counters.sets.fetch_add(sets.len() as u64, Ordering::Relaxed);
        if let Some(odd) = outputs.iter().find(|o| o.ndim() == 0 || o.shape()[0] % sets.len() != 0)
        {
            let (count, shape) = (sets.len(), odd.shape());
            return Err(self.failed(&format!("{count} sets of inputs gave an output of {shape:?}")));
        }
        let part = |i: usize, output: &ArrayD<f32>| {
            let rows = output.shape()[0] / sets.len();
            let rows = Slice::from(i * rows..(i + 1) * rows);
            output.slice_axis(Axis(0), rows).to_owned()
        };
        Ok((0..sets.len()).map(|i| outputs.iter().map(|o| part(i, o)).collect()).collect())
    }

    fn run(&mut self, inputs: &[ArrayD<f32>]) -> Answer {
        catch_unwind(AssertUnwindSafe(|| (self.run)(inputs)))
            .unwrap_or_else(|_| Err(self.failed("it panicked")))
    }

    fn failed(&self, reason: &str) -> Error {
        failed(&self.network, reason)
    }
}

fn failed(network: &str, reason: &str) -> Error {
    Error::Inference { network: network.to_owned(), reason: reason.to_owned() }
}
