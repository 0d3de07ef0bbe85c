// SPDX-License-Identifier: MPL-2.0

//! `mode=live`, and starting and stopping.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstdfer::core::analyst::Networks;
use gstdfer::core::result::Status;
use gstdfer::dferfilter::DferFilter;
use gstdfer::filter::DferBaseExt;
use gstdfer::meta;
use gstdfer::runtime::fake::{Gate, ScriptedDetector, ScriptedNetwork};

use crate::init;
use crate::studio::*;

const FACE: Drawn = (100, 80, 60, 80, 180);

/// Opens the gate however the test ends: stopping waits for the network.
struct Opened(Gate);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open();
    }
}

fn gated(gate: &Gate) -> Networks {
    Networks {
        detector: Some(Arc::new(ScriptedDetector::new(find))),
        expression: Arc::new(ScriptedNetwork::new(|_, _| HAPPY).with_gate(gate.clone())),
    }
}

/// What other threads do is waited for by this.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_slow_network_holds_no_buffer_up() {
    let gate = Gate::default();
    let element = filter("live", gated(&gate));
    let mut h = harness(&element);
    let opened = Opened(gate);
    let mut i = 0;
    let mut push = |h: &mut gst_check::Harness| {
        let out = h.push_and_pull(frame(i, &[FACE])).unwrap();
        i += 1;
        (out.pts().unwrap().nseconds(), meta::read(&out).unwrap())
    };
    until("the detector finds a face", || {
        push(&mut h);
        stat(&element, "detected") > 0
    });
    // From here on the network stands still. Each of these comes out before the next goes in.
    for _ in 0..90 {
        let (_, results) = push(&mut h);
        assert!(results.faces.iter().all(|f| f.expression.status == Status::WarmingUp));
    }
    assert_eq!(stat(&element, "encoded"), 0);
    let dropped = stat(&element, "dropped");
    // A detection every 200 ms, all but the one that waits.
    assert!(dropped >= 13, "{dropped} jobs dropped in 3 s");
    drop(opened);
    until("results arrive", || {
        let (pts, results) = push(&mut h);
        let Some(e) = results.faces.first().map(|f| &f.expression) else { return false };
        if let Some(end) = e.clip_end {
            assert_eq!(e.age, Some(pts - end));
            assert!(end < pts, "of an earlier buffer");
        }
        e.status == Status::Stable
    });
    assert_eq!(element.property::<gst::Structure>("stats").get::<&str>("mode"), Ok("live"));
}

#[test]
fn a_reset_while_the_network_works_forgets_its_answer() {
    let gate = Gate::default();
    let element = filter("live", gated(&gate));
    let mut h = harness(&element);
    let opened = Opened(gate);
    let mut i = 0;
    until("the detector finds a face", || {
        analysed(&mut h, frame(i, &[FACE]));
        i += 1;
        stat(&element, "detected") > 0
    });
    analysed(&mut h, frame(i, &[FACE]));
    h.push_event(gst::event::FlushStart::new());
    h.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    h.push_event(gst::event::Segment::new(&segment));
    drop(opened);
    // A wall without a face: what the network saw before the flush must not come back.
    for i in 0..60 {
        assert_eq!(analysed(&mut h, frame(i, &[])).faces, []);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_network_that_fails_gives_one_error() {
    for mode in ["sync", "live"] {
        let networks = gstdfer::runtime::fake::networks(find, |_, _| panic!("out of ideas"));
        let element = filter(mode, networks);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut h = harness(&element);
        let mut i = 0;
        until("the stream ends with an error", || {
            let result = h.push(frame(i, &[FACE]));
            i += 1;
            result == Err(gst::FlowError::Error)
        });
        let errors: Vec<String> = bus
            .iter_filtered(&[gst::MessageType::Error])
            .map(|m| match m.view() {
                gst::MessageView::Error(e) => e.error().to_string(),
                _ => unreachable!(),
            })
            .collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("out of ideas"), "{errors:?}");
    }
}

#[test]
fn a_live_pipeline_renders_everything_in_time() {
    init();
    let gate = Gate::default();
    let description = "videotestsrc is-live=true num-buffers=60 ! video/x-raw,format=NV12,width=320,height=240,framerate=60/1 \
         ! dferfilter name=filter face-source=frame ! fakesink name=end sync=true max-lateness=500000000 qos=true";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let element = pipeline.by_name("filter").unwrap();
    element.downcast_ref::<DferFilter>().unwrap().set_networks(Some(gated(&gate)));
    let opened = Opened(gate);
    pipeline.set_state(gst::State::Playing).unwrap();
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let last =
        pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &wanted);
    assert_eq!(
        last.map(|m| m.type_()),
        Some(gst::MessageType::Eos),
        "while the network stands still"
    );
    let stats: gst::Structure = pipeline.by_name("end").unwrap().property("stats");
    assert_eq!((stats.get::<u64>("rendered"), stats.get::<u64>("dropped")), (Ok(60), Ok(0)));
    let stats: gst::Structure = element.property("stats");
    assert_eq!(stats.get::<&str>("mode"), Ok("live"), "upstream is live");
    drop(opened);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_file_is_analysed_in_line() {
    init();
    let description =
        "videotestsrc num-buffers=3 ! dferfilter name=filter face-source=frame ! fakesink";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let element = pipeline.by_name("filter").unwrap();
    element.downcast_ref::<DferFilter>().unwrap().set_networks(Some(by_brightness()));
    pipeline.set_state(gst::State::Playing).unwrap();
    pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(30), &[gst::MessageType::Eos]);
    let stats: gst::Structure = element.property("stats");
    assert_eq!((stats.get::<&str>("mode"), stats.get::<u64>("frames")), (Ok("sync"), Ok(3)));
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Threads of this process, and its resident memory in KiB.
fn held() -> (usize, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (std::fs::read_dir("/proc/self/task").unwrap().count(), resident)
}

/// Run by `two_hundred_starts_leave_nothing`, alone in a process of its own.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn child_that_starts_two_hundred_times() {
    init();
    // Frames as fast as they go: the inference thread is at work whenever it is stopped.
    let description = "videotestsrc name=source ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 \
         ! dferfilter name=filter ! fakesink name=end";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let element = pipeline.by_name("filter").unwrap();
    let always = |p: &gstdfer::core::pixels::Picture| {
        let side = p.height as f32 / 2.0;
        let rect = gstdfer::core::Rect::new(side / 2.0, side / 2.0, side * 0.8, side);
        let p = rect.center();
        vec![gstdfer::core::networks::Detection { rect, landmarks: [p; 5], score: 0.9 }]
    };
    let networks = gstdfer::runtime::fake::networks(always, |_, _| SAD);
    element.downcast_ref::<DferFilter>().unwrap().set_networks(Some(networks));
    let (mut before, mut middle) = (None, None);
    for round in 0..200 {
        element.set_property_from_str("mode", if round % 2 == 0 { "live" } else { "sync" });
        pipeline.set_state(gst::State::Playing).unwrap();
        until("frames were analysed", || stat(&element, "frames") > 3);
        pipeline.set_state(gst::State::Ready).unwrap();
        // Messages that nobody takes are kept by the bus.
        while pipeline.bus().unwrap().pop().is_some() {}
        match round {
            9 => before = Some(held()),
            99 => middle = Some(held()),
            _ => (),
        }
    }
    let (before, middle, after) = (before.unwrap(), middle.unwrap(), held());
    println!("threads and KiB after 10, 100 and 200 rounds: {before:?} {middle:?} {after:?}");
    let names = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    let ours: Vec<String> = names.filter(|name| name.contains("infer")).collect();
    assert!(ours.is_empty(), "inference threads left behind: {ours:?}");
    // GLib keeps up to two threads that have nothing to do.
    assert!(after.0 <= before.0 + 2, "threads left behind");
    assert!(after.1 < middle.1 + 2048, "memory grows");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Run by `ten_minutes_take_no_memory`, alone in a process of its own.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn child_that_watches_ten_minutes() {
    let element = filter("sync", by_brightness());
    let mut h = harness(&element);
    // Three seconds each: two faces, others elsewhere, nobody.
    let scenes: [&[Drawn]; 3] = [
        &[(20, 20, 60, 80, 180), (200, 120, 60, 80, 80)],
        &[(120, 100, 50, 70, 90), (230, 20, 60, 80, 190)],
        &[],
    ];
    let pictures = scenes.map(|faces| picture(SIZE.0, SIZE.1, faces));
    let (mut before, mut faces) = (None, 0);
    for i in 0..10 * 60 * 30 {
        let pts = i * gst::ClockTime::SECOND / 30;
        faces += analysed(&mut h, stamped(pts, pictures[i as usize / 90 % 3].clone())).faces.len();
        if i == 2 * 60 * 30 {
            before = Some(held());
        }
        // What the harness keeps of it is not the filter's.
        while h.try_pull_upstream_event().is_some() {}
    }
    let (before, after) = (before.unwrap(), held());
    println!("threads and KiB after 2 and 10 minutes: {before:?} {after:?}, {faces} faces");
    assert!(faces > 10_000);
    assert!(after.0 <= before.0 && after.1 < before.1 + 2048, "memory grows");
}

fn alone(test: &str) {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", test])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    print!("{text}");
    let passed = child.status.success() && text.contains("1 passed");
    assert!(passed, "{}", String::from_utf8_lossy(&child.stderr));
}

#[test]
fn two_hundred_starts_leave_nothing() {
    alone("live::child_that_starts_two_hundred_times");
}

#[test]
fn ten_minutes_take_no_memory() {
    alone("live::child_that_watches_ten_minutes");
}
