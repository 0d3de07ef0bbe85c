// SPDX-License-Identifier: MPL-2.0

//! When a frame was taken, in wall-clock time, where the pipeline knows it.

use std::time::{SystemTime, UNIX_EPOCH};

use gst::prelude::*;

const SECOND: i128 = 1_000_000_000;
/// From 1900, where NTP counts from, to 1970.
const NTP_TO_UNIX: i128 = 2_208_988_800 * SECOND;

/// Nanoseconds since 1970 that a reference timestamp meta with NTP or Unix time states.
pub(crate) fn from_meta(buffer: &gst::BufferRef) -> Option<i128> {
    buffer.iter_meta::<gst::ReferenceTimestampMeta>().find_map(|meta| {
        let time = i128::from(meta.timestamp().nseconds());
        match meta.reference().structure(0)?.name().as_str() {
            "timestamp/x-unix" => Some(time),
            "timestamp/x-ntp" => Some(time - NTP_TO_UNIX),
            _ => None,
        }
    })
}

/// Nanoseconds since 1970 at a running time, by the pipeline's clock; for live pipelines, where
/// the running time is the time of capture.
pub(crate) fn from_clock(element: &gst::Element, running_time: gst::ClockTime) -> Option<i128> {
    let since_start = element.clock()?.time().checked_sub(element.base_time()?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos() as i128;
    Some(now - i128::from(since_start.nseconds()) + i128::from(running_time.nseconds()))
}

/// A segment by which times can be told. Backwards without an end nothing has a running time, and
/// asking for one is a critical.
pub(crate) fn in_time(segment: &gst::Segment) -> Option<&gst::FormattedSegment<gst::ClockTime>> {
    let has_times = segment.rate() > 0.0 || segment.stop().is_some();
    segment.downcast_ref::<gst::ClockTime>().filter(|_| has_times)
}

/// Whether a live source is upstream.
pub(crate) fn is_live(sinkpad: &gst::Pad) -> bool {
    let mut query = gst::query::Latency::new();
    sinkpad.peer_query(&mut query) && query.result().0
}

/// RFC 3339 with milliseconds, as `2026-09-01T10:00:00.120Z`; `None` before 1970.
pub(crate) fn rfc3339(unix: i128) -> Option<String> {
    let millis = u64::try_from(unix / 1_000_000).ok()?;
    let seconds = glib::DateTime::from_unix_utc(i64::try_from(millis / 1000).ok()?).ok()?;
    Some(format!("{}.{:03}Z", seconds.format("%Y-%m-%dT%H:%M:%S").ok()?, millis % 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_meta(caps: &str, time: u64) -> gst::Buffer {
        let mut buffer = gst::Buffer::new();
        let caps = gst::Caps::new_empty_simple(caps);
        let time = gst::ClockTime::from_nseconds(time);
        gst::ReferenceTimestampMeta::add(
            buffer.get_mut().unwrap(),
            &caps,
            time,
            gst::ClockTime::NONE,
        );
        buffer
    }

    #[test]
    fn reference_timestamps() {
        gst::init().unwrap();
        let unix = 1_788_256_800_120_999_999;
        let expected = Some("2026-09-01T10:00:00.120Z".to_owned());
        let found = from_meta(&with_meta("timestamp/x-unix", unix)).and_then(rfc3339);
        assert_eq!(found, expected);
        let ntp = unix + 2_208_988_800_000_000_000;
        assert_eq!(from_meta(&with_meta("timestamp/x-ntp", ntp)).and_then(rfc3339), expected);
        assert_eq!(from_meta(&with_meta("timestamp/x-ptp", unix)), None);
        assert_eq!(
            from_meta(&with_meta("timestamp/x-ntp", 0)).and_then(rfc3339),
            None,
            "before 1970"
        );
    }
}
