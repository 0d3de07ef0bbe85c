// SPDX-License-Identifier: MPL-2.0

use gst::prelude::*;
use gst_check::Harness;
use gstdfer::core::record::Record;
use gstdfer::dferextractor::KLV_KEY;

use crate::init;
use crate::recorder::{frame, lines, story, told};

/// The element with a harness at each end.
struct Rig {
    element: gst::Element,
    video: Harness,
    meta: Harness,
}

/// `caps`: what is behind `meta_src` takes; `None` for everything.
fn rig(caps: Option<&str>, properties: &[(&str, &str)]) -> Rig {
    init();
    let element = gst::ElementFactory::make("dferextractor").build().unwrap();
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    let mut video = Harness::with_element(&element, Some("sink"), Some("video_src"));
    let mut meta = Harness::with_element(&element, None, Some("meta_src"));
    if let Some(caps) = caps {
        meta.set_sink_caps_str(caps);
    }
    video.set_src_caps_str("video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1");
    Rig { element, video, meta }
}

impl Rig {
    fn play(&mut self, buffers: impl IntoIterator<Item = gst::Buffer>) {
        for buffer in buffers {
            self.video.push(buffer).unwrap();
        }
    }

    /// Buffers that have come out of `meta_src`.
    fn sent(&mut self) -> Vec<gst::Buffer> {
        std::iter::from_fn(|| self.meta.try_pull()).collect()
    }

    fn events(&mut self) -> Vec<gst::Event> {
        std::iter::from_fn(|| self.meta.try_pull_event()).collect()
    }

    fn caps(&self) -> String {
        let pad = self.element.static_pad("meta_src").unwrap();
        pad.current_caps().unwrap().to_string()
    }
}

fn text(buffer: &gst::BufferRef) -> String {
    String::from_utf8(bytes(buffer)).unwrap()
}

fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// Start, end (ms) and text.
fn cues(buffers: &[gst::Buffer]) -> Vec<(u64, u64, String)> {
    let cue = |buffer: &gst::Buffer| {
        let start = buffer.pts().unwrap();
        (start.mseconds(), (start + buffer.duration().unwrap()).mseconds(), text(buffer))
    };
    buffers.iter().map(cue).collect()
}

/// The records in a KLV packet.
pub fn from_klv(packet: &[u8]) -> String {
    /// Value and rest of what begins with a length.
    fn value(data: &[u8]) -> (&[u8], &[u8]) {
        let (first, rest) = (usize::from(data[0]), &data[1..]);
        if first < 0x80 {
            return rest.split_at(first);
        }
        let (length, rest) = rest.split_at(first & 0x7f);
        rest.split_at(length.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }
    let (key, rest) = packet.split_at(16);
    assert_eq!(key, KLV_KEY);
    let (set, rest) = value(rest);
    assert!(rest.is_empty(), "one packet a buffer");
    assert_eq!(set[0], 1);
    let (schema, rest) = value(&set[1..]);
    assert_eq!(schema, b"dfer/1");
    assert_eq!(rest[0], 2);
    let (records, rest) = value(&rest[1..]);
    assert!(rest.is_empty());
    String::from_utf8(records.to_vec()).unwrap()
}

/// The records in an ID3v2.4 tag.
pub fn from_id3(tag: &[u8]) -> String {
    let size = |b: &[u8]| b[..4].iter().fold(0, |n, b| n << 7 | usize::from(*b));
    assert_eq!(&tag[..6], b"ID3\x04\0\0");
    assert_eq!(size(&tag[6..]), tag.len() - 10);
    assert_eq!(&tag[10..14], b"TXXX");
    assert_eq!(size(&tag[14..]), tag.len() - 20);
    let value = tag[20..].strip_prefix(b"\x03dfer/1\0").unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

const CHANGES: [(&str, &str, u64); 3] =
    [("stable", "sad", 0), ("stable", "happy", 25), ("no-face", "", 50)];

#[test]
fn json_lines_at_the_times_of_their_pictures() {
    let mut rig = rig(None, &[]);
    rig.play(story());
    assert_eq!(rig.caps(), "application/x-json, format=(string)dfer");
    let sent = rig.sent();
    let records: Vec<Record> = sent.iter().flat_map(|buffer| lines(&text(buffer))).collect();
    assert_eq!(told(&records), CHANGES);
    for (buffer, record) in sent.iter().zip(&records) {
        assert_eq!(buffer.pts().map(gst::ClockTime::nseconds), record.pts);
        assert_eq!(buffer.duration(), Some(gst::ClockTime::from_mseconds(40)));
    }
    // Also for an application that asks when all is over.
    rig.element.set_state(gst::State::Null).unwrap();
    let stats: gst::Structure = rig.element.property("stats");
    let size = sent.iter().map(|b| b.size() as u64).sum();
    for (name, value) in
        [("buffers", 75), ("analysed", 75), ("records", 3), ("sent", 3), ("bytes", size)]
    {
        assert_eq!(stats.get::<u64>(name), Ok(value), "{name}");
    }
}

#[test]
fn pictures_pass_as_they_are() {
    let mut rig = rig(None, &[]);
    for buffer in story() {
        let pointer = buffer.as_ptr();
        let out = rig.video.push_and_pull(buffer).unwrap();
        assert_eq!(out.as_ptr(), pointer, "the very same buffer");
    }
}

#[test]
fn a_sparse_stream_in_step_with_the_video() {
    let mut rig = rig(None, &[]);
    rig.play(story());
    rig.video.push_event(gst::event::Eos::new());
    let events = rig.events();
    let gst::EventView::StreamStart(start) = events[0].view() else { panic!("{events:?}") };
    assert!(start.stream_flags().contains(gst::StreamFlags::SPARSE));
    let gst::EventView::Caps(_) = events[1].view() else { panic!("{events:?}") };
    let gst::EventView::Segment(segment) = events[2].view() else { panic!("{events:?}") };
    let video = rig.element.static_pad("video_src").unwrap();
    let of_video = video.sticky_event::<gst::event::Segment>(0).unwrap();
    assert_eq!(segment.segment(), of_video.segment());
    let id = video.stream_id().unwrap();
    assert_ne!(start.stream_id(), id.as_str());
    let gaps: Vec<_> = events.iter().filter(|e| e.type_() == gst::EventType::Gap).collect();
    assert_eq!(gaps.len(), 72, "all frames but those with changes");
    let gst::EventView::Gap(gap) = gaps[0].view() else { unreachable!() };
    let ms = gst::ClockTime::from_mseconds;
    assert_eq!(gap.get(), (ms(40), Some(ms(40))));
    assert_eq!(events.last().unwrap().type_(), gst::EventType::Eos);
}

#[test]
fn every_format_says_the_same() {
    type Reader = fn(&gst::BufferRef) -> String;
    let readers: [(&str, &str, Reader); 5] = [
        ("application/x-json", "detail=changes", text),
        ("text/x-raw, format=utf8", "text=records", text),
        ("text/x-raw, format=pango-markup", "text=records", |b| {
            let text = text(b);
            text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        }),
        ("meta/x-klv", "detail=changes", |b| from_klv(&bytes(b))),
        ("meta/x-id3", "detail=changes", |b| from_id3(&bytes(b))),
    ];
    for (caps, property, reader) in readers {
        let mut rig = rig(Some(caps), &[property.split_once('=').unwrap()]);
        rig.play(story());
        assert!(rig.caps().starts_with(caps.split(',').next().unwrap()), "{}", rig.caps());
        let records: Vec<_> = rig.sent().iter().flat_map(|b| lines(&reader(b))).collect();
        assert_eq!(told(&records), CHANGES, "{caps}");
    }
}

#[test]
fn onvif_buffers_are_whole_documents() {
    let mut rig = rig(Some("application/x-onvif-metadata"), &[("onvif-expression", "true")]);
    rig.play(story());
    assert_eq!(rig.caps(), "application/x-onvif-metadata, parsed=(boolean)true");
    let documents: Vec<_> = rig.sent().iter().map(|b| text(b)).collect();
    assert_eq!(documents.len(), 3);
    for document in &documents {
        assert!(document.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
        assert_eq!(document.matches("<tt:Frame ").count(), 1);
        assert!(document.ends_with("</tt:MetadataStream>\n"));
    }
    assert!(documents[1].contains("<fc:Expression>Smile</fc:Expression>"), "{}", documents[1]);
    assert!(documents[2].contains("<tt:Delete ObjectId=\"3\"/>"), "{}", documents[2]);
}

#[test]
fn cues_meet_and_end_with_their_label() {
    let mut rig = rig(Some("text/x-raw, format={pango-markup, utf8}"), &[]);
    rig.play(story());
    assert_eq!(rig.caps(), "text/x-raw, format=(string)utf8");
    let (sad, happy) = ("#3 sad 75 %", "#3 happy 75 %");
    let expected: Vec<_> = (0..10)
        .map(|i| (i * 200, (i + 1) * 200, if i < 5 { sad } else { happy }.to_owned()))
        .collect();
    assert_eq!(cues(&rig.sent()), expected);
}

#[test]
fn fewer_cues_where_they_are_wanted() {
    let mut rig = rig(Some("text/x-raw"), &[("cue-interval", "800000000")]);
    rig.play(story());
    let expected =
        [(0, 800, "#3 sad 75 %"), (800, 1600, "#3 sad 75 %"), (1600, 2400, "#3 happy 75 %")];
    assert_eq!(cues(&rig.sent()), expected.map(|(start, end, text)| (start, end, text.to_owned())));
}

#[test]
fn silence_can_be_filled() {
    let mut rig = rig(Some("text/x-raw"), &[("fill", "true")]);
    rig.play(story());
    let silence = (2000..3000).step_by(40).map(|start| (start, start + 40, String::new()));
    assert_eq!(cues(&rig.sent()[10..]), silence.collect::<Vec<_>>());
}

#[test]
fn webvtt_is_what_the_recorder_writes() {
    let mut rig = rig(Some("application/x-subtitle-vtt"), &[]);
    rig.play(story());
    rig.video.push_event(gst::event::Eos::new());
    let whole: String = rig.sent().iter().map(|b| text(b)).collect();
    let written = crate::recorder::record(
        gstdfer::dferrecorder::Format::Webvtt,
        gstdfer::dferrecorder::Detail::Changes,
    );
    assert_eq!(whole, written);
    assert!(whole.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n"), "{whole}");
}

#[test]
fn the_end_closes_what_is_open() {
    let mut rig = rig(Some("application/x-subtitle-vtt"), &[]);
    rig.play(story().take(10));
    rig.video.push_event(gst::event::Eos::new());
    let sent = rig.sent();
    let (last, at) = (text(&sent[1]), sent[1].pts().unwrap());
    assert_eq!(last, "00:00:00.000 --> 00:00:00.400\n#3 sad 75 %\n\n");
    assert_eq!(at.mseconds(), 360, "of the last frame: within the segment");
}

#[test]
fn either_pad_may_stay_unlinked_but_not_both() {
    init();
    let make = || gst::ElementFactory::make("dferextractor").build().unwrap();
    let caps = "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1";

    let mut video = Harness::with_element(&make(), Some("sink"), Some("video_src"));
    video.set_src_caps_str(caps);
    story().for_each(|buffer| _ = video.push_and_pull(buffer).unwrap());

    let element = make();
    let mut sink = Harness::with_element(&element, Some("sink"), None);
    let mut meta = Harness::with_element(&element, None, Some("meta_src"));
    sink.set_src_caps_str(caps);
    story().for_each(|buffer| _ = sink.push(buffer).unwrap());
    assert_eq!(std::iter::from_fn(|| meta.try_pull()).count(), 3);

    let mut sink = Harness::with_element(&make(), Some("sink"), None);
    sink.set_src_caps_str(caps);
    let flows = story().take(2).map(|buffer| sink.push(buffer)).collect::<Vec<_>>();
    assert_eq!(flows[0], Err(gst::FlowError::NotLinked));
}

#[test]
fn a_late_reader_is_told_of_everybody() {
    init();
    let element = gst::ElementFactory::make("dferextractor").build().unwrap();
    let mut video = Harness::with_element(&element, Some("sink"), Some("video_src"));
    video.set_src_caps_str("video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1");
    story().take(10).for_each(|buffer| _ = video.push(buffer).unwrap());
    let mut meta = Harness::with_element(&element, None, Some("meta_src"));
    story().take(20).skip(10).for_each(|buffer| _ = video.push(buffer).unwrap());
    let records: Vec<_> =
        std::iter::from_fn(|| meta.try_pull()).flat_map(|b| lines(&text(&b))).collect();
    assert_eq!(told(&records), [("stable", "sad", 10)]);
}

#[test]
fn other_caps_may_be_asked_for_while_it_runs() {
    let mut rig = rig(Some("meta/x-klv"), &[]);
    rig.play(story().take(10));
    assert_eq!(rig.sent().len(), 1);
    rig.meta.set_sink_caps_str("meta/x-id3");
    rig.play(story().take(20).skip(10));
    assert_eq!(rig.caps(), "meta/x-id3, parsed=(boolean)true");
    let sent = rig.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(told(&lines(&from_id3(&bytes(&sent[0])))), [("stable", "sad", 10)]);
}

#[test]
fn what_cannot_be_told_is_one_clear_error() {
    let mut rig = rig(Some("audio/x-raw"), &[]);
    let bus = gst::Bus::new();
    rig.element.set_bus(Some(&bus));
    let flow = rig.video.push(frame(0, Some("sad")));
    assert_eq!(flow, Err(gst::FlowError::NotNegotiated));
    let error = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(error) = error.view() else { unreachable!() };
    assert!(error.error().matches(gst::CoreError::Negotiation));
    assert!(error.error().to_string().contains("meta_src"), "{error:?}");
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
}

#[test]
fn a_seek_begins_anew() {
    let mut rig = rig(None, &[]);
    rig.play(story().take(10));
    rig.video.push_event(gst::event::FlushStart::new());
    rig.video.push_event(gst::event::FlushStop::new(true));
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_base(gst::ClockTime::SECOND);
    rig.video.push_event(gst::event::Segment::new(&segment));
    rig.play(story().take(20).skip(10));
    let types: Vec<_> = rig.events().iter().map(|e| e.type_()).collect();
    assert!(types.contains(&gst::EventType::FlushStart));
    assert!(types.contains(&gst::EventType::FlushStop));
    let records: Vec<_> = rig.sent().iter().flat_map(|b| lines(&text(b))).collect();
    // The harness may have dropped what was before the flush.
    let newest = records.last().unwrap();
    assert_eq!((newest.seq, newest.running_time), (10, Some(1_400_000_000)));
}

#[test]
fn queries_go_where_they_belong() {
    let mut rig = rig(Some("meta/x-klv"), &[]);
    rig.video.set_upstream_latency(gst::ClockTime::from_mseconds(70));
    for name in ["video_src", "meta_src"] {
        let mut query = gst::query::Latency::new();
        assert!(rig.element.static_pad(name).unwrap().query(&mut query), "{name}");
        assert_eq!(query.result().1.mseconds(), 70, "{name}");
    }
    // What is behind meta_src has no say in the video.
    rig.video.set_sink_caps_str("video/x-raw, format=NV12");
    let caps = rig.element.static_pad("sink").unwrap().query_caps(None);
    assert_eq!(caps.to_string(), "video/x-raw, format=(string)NV12");
    let qos = gst::event::Qos::builder(gst::QOSType::Underflow, 2.0, 1);
    assert!(rig.meta.push_upstream_event(qos.timestamp(gst::ClockTime::ZERO).build()));
    let up = std::iter::from_fn(|| rig.video.try_pull_upstream_event());
    assert!(!up.map(|e| e.type_()).any(|t| t == gst::EventType::Qos));
}

#[test]
fn a_stream_without_results_is_warned_about() {
    let mut rig = rig(None, &[]);
    let bus = gst::Bus::new();
    rig.element.set_bus(Some(&bus));
    rig.video.push(gst::Buffer::from_slice([7; 64 * 48])).unwrap();
    rig.video.push_event(gst::event::Eos::new());
    assert!(rig.sent().is_empty());
    let warning = bus.pop_filtered(&[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else { unreachable!() };
    assert!(warning.error().to_string().contains("dferfilter"), "{warning:?}");
}
