// SPDX-License-Identifier: MPL-2.0

//! Several streams through one queue, with a scripted provider: a backend whose graphs are
//! functions of the test's, row by row, and that notes what it runs together.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gst::prelude::*;
use gstdfer::core::Error;
use gstdfer::core::analyst::Networks;
use gstdfer::meta::FrameResults;
use gstdfer::runtime::batch::{Batched, Counters, Limits};
use gstdfer::runtime::fake::ScriptedDetector;
use gstdfer::runtime::graph::{Backend, Graph};
use gstdfer::runtime::models;
use ndarray::{ArrayD, ArrayView1, ArrayViewD, Axis};

use crate::common::folder;
use crate::studio::{Drawn, analysed, filter, find, frame, harness};

/// A door that runs wait at.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn set(&self, open: bool) {
        *self.0.0.lock().unwrap() = open;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

type Rows = fn(&[ArrayD<f32>], &[&str]) -> Vec<ArrayD<f32>>;

/// Runs the graphs of `common::folder::factored`, whatever the ONNX files hold.
struct Provider {
    name: String,
    limits: Limits,
    rows: Rows,
    gate: Gate,
    /// Sets of inputs in every run of the encoder and of the head.
    sizes: Arc<Mutex<Vec<(bool, usize)>>>,
}

impl Provider {
    fn new(most: usize, timeout: Duration) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let gate = Gate::default();
        gate.set(true);
        Self {
            // Networks are shared by name.
            name: format!("scripted {}", COUNT.fetch_add(1, Ordering::Relaxed)),
            limits: Limits { most, timeout },
            rows,
            gate,
            sizes: Arc::default(),
        }
    }
}

impl Backend for Provider {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(
        &self,
        network: &str,
        _onnx: &[u8],
        inputs: &[(&str, Vec<usize>)],
        outputs: &[&str],
    ) -> Result<Box<dyn Graph>, Error> {
        let outputs: Vec<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
        let (rows, gate, sizes) = (self.rows, self.gate.clone(), self.sizes.clone());
        let (unit, encoder) = (inputs[0].1[0], inputs.len() == 1);
        let run = move |inputs: &[ArrayD<f32>]| {
            gate.pass();
            sizes.lock().unwrap().push((encoder, inputs[0].shape()[0] / unit));
            // What takes time on a device.
            std::thread::sleep(Duration::from_micros(500));
            let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
            Ok(rows(inputs, &names))
        };
        Ok(Box::new(Batched::spawn(network, self.limits, Arc::<Counters>::default(), run)?))
    }
}

/// An embedding is its crop's mean brightness; the head finds class 0 bright, class 1 dark, and
/// class 2 in between, by the mean of what it is given.
fn rows(inputs: &[ArrayD<f32>], outputs: &[&str]) -> Vec<ArrayD<f32>> {
    let count = inputs[0].shape()[0];
    let means: Vec<f32> =
        inputs[0].axis_iter(Axis(0)).map(|row: ArrayViewD<'_, f32>| row.mean().unwrap()).collect();
    let output = |name: &&str| {
        let width = match *name {
            "embedding" => 8,
            "moments" => 4,
            _ => 3,
        };
        let mut all = ArrayD::zeros(vec![count, width]);
        for (mut row, mean) in all.axis_iter_mut(Axis(0)).zip(&means) {
            match *name {
                "embedding" | "moments" => row.fill(*mean),
                _ => {
                    let logits = [10.0 * mean, -10.0 * mean, 2.0 - 20.0 * mean.abs()];
                    row.assign(&ArrayView1::from(&logits));
                }
            }
        }
        all
    };
    outputs.iter().map(output).collect()
}

fn networks(provider: &Arc<dyn Backend>, model: &folder::Folder) -> Networks {
    Networks {
        detector: Some(Arc::new(ScriptedDetector::new(find))),
        expression: models::expression(provider, Some(model.path()), 3).unwrap(),
    }
}

/// Two faces that no other stream has.
fn faces(stream: usize) -> [Drawn; 2] {
    let level = |k: usize| (60 + (stream * 2 + k) * 9) as u8;
    [(40, 60, 60, 80, level(0)), (200, 80, 50, 70, level(1))]
}

/// Two seconds of a stream; what it is told.
fn play(stream: usize, networks: Networks) -> Vec<FrameResults> {
    let mut h = harness(&filter("sync", networks));
    (0..60).map(|i| analysed(&mut h, frame(i, &faces(stream)))).collect()
}

#[test]
fn every_stream_gets_its_own_results_in_order() {
    let model = folder::factored();
    let alone: Arc<dyn Backend> = Arc::new(Provider::new(1, Duration::ZERO));
    let want: Vec<_> = (0..8).map(|stream| play(stream, networks(&alone, &model))).collect();
    // The streams differ, or nothing would be shown.
    assert!((1..8).all(|stream| want[stream] != want[0]));
    assert_eq!(want[0].last().unwrap().faces.len(), 2);

    let provider = Provider::new(16, Duration::from_millis(20));
    let sizes = provider.sizes.clone();
    let provider: Arc<dyn Backend> = Arc::new(provider);
    std::thread::scope(|scope| {
        for (stream, want) in want.iter().enumerate() {
            let networks = networks(&provider, &model);
            scope.spawn(move || {
                let found = play(stream, networks);
                for (i, (found, want)) in found.iter().zip(want).enumerate() {
                    assert_eq!(found, want, "stream {stream}, frame {i}");
                }
            });
        }
    });
    for (encoder, what) in [(true, "encoder"), (false, "head")] {
        let sizes = sizes.lock().unwrap();
        let sizes: Vec<usize> =
            sizes.iter().filter(|(e, _)| *e == encoder).map(|(_, n)| *n).collect();
        let (runs, sets) = (sizes.len(), sizes.iter().sum::<usize>());
        let most = sizes.iter().max().unwrap();
        println!("{what}: {sets} sets in {runs} runs, {most} at most");
        assert!(*most <= 16);
        // Both faces of a stream always go together; several streams mostly do.
        assert!(sets >= 3 * runs, "{what}: {sets} sets in {runs} runs");
        assert!(*most > 2, "{what}: never more than one stream in a run");
    }
}

/// One number per set, which comes back with 1000 added; runs are noted.
fn counting(most: usize, timeout: Duration, gate: &Gate) -> (Batched, Arc<Mutex<Vec<Vec<f32>>>>) {
    let log: Arc<Mutex<Vec<Vec<f32>>>> = Arc::default();
    let (theirs, gate) = (log.clone(), gate.clone());
    let run = move |inputs: &[ArrayD<f32>]| {
        let values: Vec<f32> = inputs[0].iter().copied().collect();
        if values.contains(&-2.0) {
            panic!("scripted");
        }
        if values.contains(&-1.0) {
            return Err(Error::Inference {
                network: "scripted".into(),
                reason: "it is bad".into(),
            });
        }
        gate.pass();
        theirs.lock().unwrap().push(values);
        Ok(vec![inputs[0].mapv(|v| v + 1000.0)])
    };
    let counters = Arc::<Counters>::default();
    (Batched::spawn("scripted", Limits { most, timeout }, counters, run).unwrap(), log)
}

fn set(value: f32) -> Vec<ArrayD<f32>> {
    vec![ArrayD::from_elem(vec![1, 1], value)]
}

fn ask(graph: &Batched, values: &[f32]) -> Result<Vec<f32>, Error> {
    let answers = graph.run_all(values.iter().map(|v| set(*v)).collect())?;
    Ok(answers.iter().map(|outputs| outputs[0][[0, 0]]).collect())
}

fn open_gate() -> Gate {
    let gate = Gate::default();
    gate.set(true);
    gate
}

/// Waits until `done`; a test that hangs says where.
fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{what} did not happen in 20 s");
}

#[test]
fn who_brings_much_does_not_hold_up_the_others() {
    let gate = Gate::default();
    let (graph, log) = counting(4, Duration::from_millis(1), &gate);
    let much: Vec<f32> = (0..40).map(|v| v as f32).collect();
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| ask(&graph, &much).unwrap());
        // One run has begun and waits at the gate; what comes now waits behind 36 others.
        std::thread::sleep(Duration::from_millis(100));
        let modest = scope.spawn(|| ask(&graph, &[500.0, 501.0]).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        gate.set(true);
        assert_eq!(modest.join().unwrap(), [1500.0, 1501.0]);
        let answers = busy.join().unwrap();
        assert!(answers.iter().zip(&much).all(|(a, v)| *a == v + 1000.0), "in their order");
    });
    let log = log.lock().unwrap();
    let run = log.iter().position(|run| run.contains(&501.0)).unwrap();
    assert!(run <= 2, "served in run {run} of {}: {log:?}", log.len());
}

#[test]
fn a_slow_stream_is_not_waited_for() {
    let (graph, _) = counting(16, Duration::from_millis(5), &open_gate());
    let fast_are_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Has called lately, and does not call again for long.
            ask(&graph, &[0.0]).unwrap();
            until("the others' end", || fast_are_done.load(Ordering::Relaxed));
        });
        let fast = |caller: usize| {
            let graph = &graph;
            scope.spawn(move || {
                for i in 0..50 {
                    let value = (caller * 100 + i) as f32;
                    assert_eq!(ask(graph, &[value]).unwrap(), [value + 1000.0]);
                }
            })
        };
        let fast: Vec<_> = (1..4).map(fast).collect();
        fast.into_iter().for_each(|thread| thread.join().unwrap());
        fast_are_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn who_is_alone_does_not_wait() {
    let (graph, log) = counting(16, Duration::from_secs(30), &open_gate());
    let started = std::time::Instant::now();
    (0..20).for_each(|i| drop(ask(&graph, &[i as f32]).unwrap()));
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(log.lock().unwrap().len(), 20);
}

#[test]
fn what_is_wrong_with_one_is_no_others_affair() {
    for bad in [-1.0, -2.0] {
        let (graph, log) = counting(8, Duration::from_secs(10), &open_gate());
        // Two who are known, so that each waits for the other.
        std::thread::scope(|scope| {
            let threads = [[7.0, bad], [8.0, 9.0]].map(|values| {
                let graph = &graph;
                scope.spawn(move || {
                    ask(graph, &[1.0]).unwrap();
                    ask(graph, &values)
                })
            });
            let [wrong, right] = threads.map(|thread| thread.join().unwrap());
            let reason = if bad == -1.0 { "it is bad" } else { "it panicked" };
            let want = Error::Inference { network: "scripted".into(), reason: reason.into() };
            assert_eq!(wrong, Err(want));
            assert_eq!(right, Ok(vec![1008.0, 1009.0]));
        });
        assert!(log.lock().unwrap().iter().flatten().all(|v| *v >= 0.0));
    }
}

/// A stream is stopped while its faces are in a run with those of others.
#[test]
fn stopping_one_stream_harms_no_other() {
    let model = folder::factored();
    let provider = Provider::new(16, Duration::from_millis(5));
    let gate = provider.gate.clone();
    let provider: Arc<dyn Backend> = Arc::new(provider);
    let elements: Vec<_> = (0..3).map(|_| filter("live", networks(&provider, &model))).collect();
    let mut harnesses: Vec<_> = elements.iter().map(harness).collect();
    let push =
        |h: &mut gst_check::Harness, stream: usize, i: u64| analysed(h, frame(i, &faces(stream)));
    // Live, so that pushing does not wait for the networks.
    gate.set(false);
    for i in 0..6 {
        for (stream, h) in harnesses.iter_mut().enumerate() {
            push(h, stream, i);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let stopped = harnesses.remove(0);
    std::thread::scope(|scope| {
        let element = &elements[0];
        let stop = scope.spawn(move || element.set_state(gst::State::Null).unwrap());
        // It waits for the run that its faces are in.
        std::thread::sleep(Duration::from_millis(50));
        gate.set(true);
        stop.join().unwrap();
    });
    drop(stopped);
    for (stream, h) in harnesses.iter_mut().enumerate().map(|(i, h)| (i + 1, h)) {
        let mut labels = Vec::new();
        for i in 6..120 {
            let results = push(h, stream, i);
            std::thread::sleep(Duration::from_millis(4));
            labels = results.faces.iter().filter_map(|f| f.expression.raw_label.clone()).collect();
        }
        // Of dark faces both.
        assert_eq!(labels.iter().map(|l| &**l).collect::<Vec<_>>(), ["sad", "sad"], "{stream}");
    }
}
