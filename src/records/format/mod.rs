// SPDX-License-Identifier: MPL-2.0

//! One file for each format.

mod aggregate;
mod csv;
mod jitsi;
mod jsonl;
mod onvif;
mod segments;
mod srt;
mod webvtt;

use super::Frame;
use crate::core::types::Ns;

pub(crate) use aggregate::Aggregate;
pub(crate) use csv::Csv;
pub(crate) use jitsi::Jitsi;
pub(crate) use jsonl::Jsonl;
pub(crate) use onvif::Onvif;
pub(crate) use srt::Srt;
pub(crate) use webvtt::Webvtt;

/// Turns frames into text. Everything one call adds is written wholly or not at all.
pub(crate) trait Format: Send {
    /// First text of a new file.
    fn header(&self) -> String {
        String::new()
    }

    /// What has to follow the last frame for the file to be valid.
    fn footer(&self) -> &'static str {
        ""
    }

    /// Whether a file may be continued by another run.
    fn can_append(&self) -> bool {
        false
    }

    fn frame(&mut self, frame: &Frame, out: &mut String);

    /// Adds what is still open, at the end of the stream.
    fn finish(&mut self, _out: &mut String) {}
}

/// Hours, minutes, seconds and milliseconds, as cues have them.
fn cue_time(time: Ns, point: char) -> String {
    let ms = time / 1_000_000;
    let (s, m, h) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000);
    format!("{h:02}:{m:02}:{s:02}{point}{:03}", ms % 1000)
}

/// What a cue says of a face; probability and agreement from 0 to 1.
pub(crate) fn cue_text(
    track_id: Option<u64>,
    label: &str,
    probability: Option<f32>,
    agreement: Option<f32>,
) -> String {
    let percent = |v: f32| (v * 100.0).round();
    let mut text = track_id.map_or(String::new(), |id| format!("#{id} "));
    text += label;
    if let Some(p) = probability {
        text += &format!(" {} %", percent(p));
    }
    if let Some(a) = agreement {
        text += &format!(", agreement {} %", percent(a));
    }
    text
}

/// Text for WebVTT, Pango mark-up, and XML outside attributes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Record;
    use crate::core::result::{Expression, Probabilities, Status, StreamAnswer, Streams};
    use crate::records::{Selected, clock};

    const MS: Ns = 1_000_000;

    /// A face as in the contract's example.
    fn record(id: u64, ms: Ns, status: Status, label: Option<&str>) -> Record {
        let probabilities = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"]
            .map(|l| (l.into(), if Some(l) == label { 0.88 } else { 0.02 }));
        Record {
            schema: "dfer/1".into(),
            stream: "dferfilter0".into(),
            seq: ms / 40,
            pts: Some(ms * MS),
            running_time: Some(ms * MS),
            utc: clock::rfc3339(i128::from(ms) * 1_000_000 + 1_788_256_800_000_000_000),
            frame: [1920, 1080],
            bounds: Some([612, 188, 192, 224]),
            expression: Expression {
                label: label.map(Into::into),
                probability: label.map(|_| 0.88),
                raw_label: label.map(Into::into),
                probabilities: label.map(|_| Probabilities(probabilities.into())),
                agreement: label.map(|_| 0.871_23),
                clips: label.map(|_| 5),
                votes: label.map(|_| 4),
                streams: label.map(|l| Streams {
                    short: Some(StreamAnswer { label: l.into(), probability: 0.84 }),
                    long: None,
                }),
                clip_start: Some(ms.saturating_sub(1000) * MS),
                clip_end: Some(ms.saturating_sub(120) * MS),
                clip_frames: Some(15),
                key_times: vec![ms.saturating_sub(700) * MS, ms.saturating_sub(400) * MS],
                face_quality: Some(0.9),
                age: Some(120 * MS),
                model: Some("dfer-7@1a2b3c4d5e6f".into()),
                ..Expression::new(Some(id), status)
            },
        }
    }

    /// Two faces over eight seconds, and a label with characters that formats have to escape.
    fn story() -> Vec<(Ns, Vec<Record>)> {
        use Status::{Changing, NoFace, Stable, Uncertain, WarmingUp};
        let one = |ms, status, label| record(1, ms, status, label);
        let mut gone = record(1, 8000, NoFace, None);
        gone.bounds = None;
        gone.expression = Expression::new(Some(1), NoFace);
        vec![
            (0, vec![one(0, WarmingUp, None)]),
            (2000, vec![one(2000, Stable, Some("sad"))]),
            (
                3000,
                vec![
                    one(3000, Changing, Some("sad")),
                    record(2, 3000, Stable, Some("a <b> & \"c\", d")),
                ],
            ),
            (3500, vec![one(3500, Stable, Some("sad")), record(2, 3500, Uncertain, None)]),
            (5000, vec![one(5000, Changing, Some("sad"))]),
            (6000, vec![one(6000, Stable, Some("happy"))]),
            (8000, vec![gone]),
        ]
    }

    /// A format's whole file for the story.
    pub(super) fn file(mut format: impl Format) -> String {
        let mut out = format.header();
        for (ms, records) in story() {
            let all =
                records.iter().filter(|r| r.expression.status != Status::NoFace).cloned().collect();
            let unix = Some(i128::from(ms) * 1_000_000 + 1_788_256_800_000_000_000);
            let frame = Frame {
                head: records[0].clone(),
                selected: Selected { all, chosen: records, ..Selected::default() },
                now: Some(ms * MS),
                duration: 40 * MS,
                unix,
            };
            format.frame(&frame, &mut out);
        }
        format.finish(&mut out);
        out + format.footer()
    }

    /// Compares with `tests/golden/NAME`; `DFER_BLESS=1` writes it instead.
    fn assert_golden(name: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        if std::env::var_os("DFER_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, golden, "differs from {}", path.display());
    }

    #[test]
    fn every_format_matches_its_golden_file() {
        gst::init().unwrap();
        assert_golden("story.jsonl", &file(Jsonl));
        assert_golden("story.csv", &file(Csv));
        assert_golden("story.vtt", &file(Webvtt::default()));
        assert_golden("story.srt", &file(Srt::default()));
        assert_golden("story.onvif.xml", &file(Onvif::new(true)));
        assert_golden("story.jitsi.jsonl", &file(Jitsi::default()));
    }

    #[test]
    fn cue_times() {
        assert_eq!(cue_time(0, '.'), "00:00:00.000");
        assert_eq!(cue_time(360_061_001_999_999, ','), "100:01:01,001");
    }
}
