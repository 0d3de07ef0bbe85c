// SPDX-License-Identifier: MPL-2.0

//! Whatever a stream does, `dferfilter` lets all of it through as it was.

use gst_check::Harness;
use gst_video::{VideoFrameFlags, VideoMeta, VideoRegionOfInterestMeta as Roi};
use gstdfer::meta::{self, ROI_TYPE};

use crate::studio::{by_brightness, filter};

const STREAMS: u64 = 60;
const STEPS: usize = 60;

/// A linear congruential generator (Knuth's MMIX constants): the same streams on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// 0 to `n` - 1.
    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn time(&mut self) -> Option<gst::ClockTime> {
        match self.below(8) {
            0 => None,
            1 => Some(gst::ClockTime::from_nseconds(self.next() << 30 | self.next())),
            // The largest there is, where sums overflow.
            2 => Some(gst::ClockTime::MAX),
            _ => Some(gst::ClockTime::from_mseconds(self.next() % 5000)),
        }
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        (0..size.div_ceil(4)).flat_map(|_| (self.next() as u32).to_le_bytes()).take(size).collect()
    }
}

/// The formats of the pad template.
fn formats() -> Vec<gst_video::VideoFormat> {
    let factory = gst::ElementFactory::find("dferfilter").unwrap();
    let template = factory.static_pad_templates().iter().next().unwrap().caps();
    let list = template.structure(0).unwrap().get::<gst::List>("format").unwrap();
    list.iter().map(|f| gst_video::VideoFormat::from_string(f.get::<&str>().unwrap())).collect()
}

fn info(random: &mut Random, formats: &[gst_video::VideoFormat]) -> gst_video::VideoInfo {
    let format = formats[random.below(formats.len())];
    let side = |random: &mut Random| match random.below(6) {
        0 => 1 + random.below(3),
        _ => 1 + random.below(200),
    } as u32;
    let (width, height) = (side(random), side(random));
    let rates = [(0, 1), (25, 1), (30_000, 1001), (60, 1), (1, 3)];
    let (n, d) = rates[random.below(rates.len())];
    gst_video::VideoInfo::builder(format, width, height)
        .fps(gst::Fraction::new(n, d))
        .build()
        .unwrap()
}

/// A buffer of noise; half of them with a layout of their own.
fn buffer(random: &mut Random, info: &gst_video::VideoInfo) -> gst::Buffer {
    let planes = info.n_planes() as usize;
    let own_layout = random.one_in(2);
    let (mut strides, mut offsets, mut size) = (Vec::new(), Vec::new(), info.size());
    if own_layout {
        size = random.below(64);
        for plane in 0..planes {
            let end = if plane + 1 < planes { info.offset()[plane + 1] } else { info.size() };
            let stride = info.stride()[plane] as usize;
            let rows = (end - info.offset()[plane]).div_ceil(stride);
            let padded = stride + random.below(3) * random.below(40);
            strides.push(padded as i32);
            offsets.push(size);
            size += padded * rows + random.below(64);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(random.bytes(size));
    let b = buffer.get_mut().unwrap();
    if own_layout {
        let flags = VideoFrameFlags::empty();
        VideoMeta::add_full(
            b,
            flags,
            info.format(),
            info.width(),
            info.height(),
            &offsets,
            &strides,
        )
        .unwrap();
    } else if random.one_in(2) {
        VideoMeta::add(b, VideoFrameFlags::empty(), info.format(), info.width(), info.height())
            .unwrap();
    }
    b.set_pts(random.time());
    b.set_dts(random.time());
    b.set_duration(random.time());
    b.set_offset(random.next());
    b.set_offset_end(random.next());
    let all = [
        gst::BufferFlags::DISCONT,
        gst::BufferFlags::GAP,
        gst::BufferFlags::CORRUPTED,
        gst::BufferFlags::DELTA_UNIT,
        gst::BufferFlags::HEADER,
        gst::BufferFlags::MARKER,
        gst::BufferFlags::DROPPABLE,
        gst::BufferFlags::RESYNC,
        gst::BufferFlags::LIVE,
        gst::BufferFlags::DECODE_ONLY,
        gst::BufferFlags::NON_DROPPABLE,
    ];
    for flag in all {
        if random.one_in(6) {
            b.set_flags(flag);
        }
    }
    if random.one_in(3) {
        for _ in 0..random.below(5) {
            let mut side = || random.next() as u32 >> random.below(32);
            Roi::add(b, ROI_TYPE, (side(), side(), side(), side()))
                .set_id(random.below(9) as i32 - 2);
        }
    }
    buffer
}

/// Everything of a buffer but the metas that results are in.
#[derive(Debug, PartialEq)]
struct Seen {
    times: [Option<gst::ClockTime>; 3],
    offsets: (u64, u64),
    flags: gst::BufferFlags,
    /// Format, size, offsets, strides.
    layout: Option<String>,
    regions: Vec<(u32, u32, u32, u32)>,
    bytes: Vec<u8>,
}

impl Seen {
    fn of(buffer: &gst::BufferRef, regions: usize) -> Self {
        Self {
            times: [buffer.pts(), buffer.dts(), buffer.duration()],
            offsets: (buffer.offset(), buffer.offset_end()),
            // Says who owns the memory, nothing of the content.
            flags: buffer.flags() - gst::BufferFlags::TAG_MEMORY,
            layout: buffer.meta::<VideoMeta>().map(|m| {
                let size = (m.width(), m.height());
                format!("{:?} {size:?} {:?} {:?}", m.format(), m.offset(), m.stride())
            }),
            // Regions of faces that were found come after those that were there.
            regions: buffer.iter_meta::<Roi>().map(|r| r.rect()).take(regions).collect(),
            bytes: buffer.map_readable().unwrap().to_vec(),
        }
    }
}

/// Pushes one buffer; what comes out is what went in.
fn push(h: &mut Harness, random: &mut Random, buffer: gst::Buffer, place: &str) {
    let regions = buffer.iter_meta::<Roi>().count();
    let before = Seen::of(&buffer, regions);
    // Somebody else may hold the buffer too: he must not see it change.
    let shared = random.one_in(2).then(|| buffer.clone());
    h.push(buffer).unwrap_or_else(|e| panic!("{place}: {e:?}"));
    let out = h.try_pull().unwrap_or_else(|| panic!("{place}: nothing came out"));
    let after = Seen::of(&out, regions);
    assert!(before == after, "{place}:\n{:?}\n{:?}", told(&before), told(&after));
    assert!(meta::read(&out).is_some(), "{place}: no results");
    if let Some(shared) = shared {
        assert!(Seen::of(&shared, regions) == before, "{place}: another owner's buffer changed");
        assert_eq!(meta::read(&shared), None, "{place}: another owner's buffer has results");
    }
}

/// All but the pixels, for messages.
fn told(seen: &Seen) -> String {
    let Seen { times, offsets, flags, layout, regions, bytes } = seen;
    format!("{times:?} {offsets:?} {flags:?} {layout:?} {regions:?} {} bytes", bytes.len())
}

fn segment(random: &mut Random) -> gst::Event {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    if random.one_in(2) {
        segment.set_rate([0.5, 1.0, 2.0, -1.0][random.below(4)]);
        segment.set_start(gst::ClockTime::from_mseconds(random.next() % 1000));
        segment.set_time(gst::ClockTime::from_mseconds(random.next() % 1000));
        segment.set_base(gst::ClockTime::from_mseconds(random.next() % 1000));
    }
    gst::event::Segment::new(&segment)
}

fn stream(seed: u64, mode: &str) {
    let random = &mut Random(seed);
    let element = filter(mode, by_brightness());
    let formats = formats();
    let mut h = Harness::with_element(&element, Some("sink"), Some("src"));
    let mut info_now = info(random, &formats);
    h.set_src_caps(info_now.to_caps().unwrap());
    for step in 0..STEPS {
        let place = format!(
            "{mode}, stream {seed}, step {step}, {:?} {}x{}",
            info_now.format(),
            info_now.width(),
            info_now.height()
        );
        match random.below(16) {
            0 => {
                info_now = info(random, &formats);
                h.set_src_caps(info_now.to_caps().unwrap());
            }
            1 => {
                assert!(h.push_event(gst::event::FlushStart::new()), "{place}");
                assert!(h.push_event(gst::event::FlushStop::new(random.one_in(2))), "{place}");
                assert!(h.push_event(segment(random)), "{place}");
            }
            2 => assert!(h.push_event(segment(random)), "{place}"),
            3 => {
                let start = gst::ClockTime::from_mseconds(random.next() % 5000);
                assert!(h.push_event(gst::event::Gap::new(start, random.time())), "{place}");
            }
            4 => assert!(h.push_event(gst::event::StreamStart::new("again")), "{place}"),
            _ => {
                let buffer = buffer(random, &info_now);
                push(&mut h, random, buffer, &place);
            }
        }
        if random.one_in(40) {
            assert!(h.push_event(gst::event::Eos::new()), "{place}");
            assert_eq!(h.buffers_in_queue(), 0);
            return;
        }
    }
}

#[test]
fn random_streams_in_line() {
    (0..STREAMS).for_each(|seed| stream(seed, "sync"));
}

#[test]
fn random_streams_beside_the_inference_thread() {
    (1000..1000 + STREAMS).for_each(|seed| stream(seed, "live"));
}
