// SPDX-License-Identifier: MPL-2.0

//! Comma-separated values (RFC 4180, lines end in a line feed), unknown = empty.

use std::fmt::{Display, Write};

use super::{Format, Frame};
use crate::core::record::Record;
use crate::core::result::round4;

/// Classes with a column of their own; those of other models go to the column `other`.
const CLASSES: [&str; 7] = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"];

const COLUMNS: &str = "schema,stream,seq,pts,running-time,utc,frame-width,frame-height,track-id,\
    box-x,box-y,box-width,box-height,status,label,probability,raw-label,happy,sad,neutral,angry,\
    surprise,disgust,fear,other,agreement,clips,votes,short-label,short-probability,long-label,\
    long-probability,clip-start,clip-end,clip-frames,key-times,face-quality,age,model\n";

pub(crate) struct Csv;

impl Format for Csv {
    fn header(&self) -> String {
        COLUMNS.to_owned()
    }

    fn can_append(&self) -> bool {
        true
    }

    fn frame(&mut self, frame: &Frame, out: &mut String) {
        for record in &frame.selected.chosen {
            row(record, out);
        }
    }
}

fn row(r: &Record, out: &mut String) {
    let e = &r.expression;
    let mut cells = Cells(out);
    cells
        .text(Some(&r.schema))
        .text(Some(&r.stream))
        .put(Some(r.seq))
        .put(r.pts)
        .put(r.running_time);
    cells.text(r.utc.as_deref()).put(Some(r.frame[0])).put(Some(r.frame[1])).put(e.track_id);
    for i in 0..4 {
        cells.put(r.bounds.map(|b| b[i]));
    }
    cells
        .put(Some(e.status))
        .text(e.label.as_deref())
        .unit(e.probability)
        .text(e.raw_label.as_deref());
    for class in CLASSES {
        cells.unit(e.probabilities.as_ref().and_then(|p| p.get(class)));
    }
    let others =
        e.probabilities.iter().flat_map(|p| &p.0).filter(|(l, _)| !CLASSES.contains(&&**l));
    cells.text(Some(&joined(others.map(|(label, p)| format!("{label}={}", round4(*p))))));
    cells.unit(e.agreement).put(e.clips).put(e.votes);
    let short = e.streams.as_ref().and_then(|s| s.short.as_ref());
    let long = e.streams.as_ref().and_then(|s| s.long.as_ref());
    for answer in [short, long] {
        cells.text(answer.map(|a| &*a.label)).unit(answer.map(|a| a.probability));
    }
    cells.put(e.clip_start).put(e.clip_end).put(e.clip_frames);
    cells.text(Some(&joined(e.key_times.iter().map(u64::to_string))));
    cells.unit(e.face_quality).put(e.age).text(e.model.as_deref());
    cells.end();
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(";")
}

/// Cells, each followed by a comma.
pub(super) struct Cells<'a>(pub &'a mut String);

impl Cells<'_> {
    /// Ends the row in place of the last separator.
    pub fn end(&mut self) {
        self.0.pop();
        self.0.push('\n');
    }

    /// Anything that needs no quotes.
    pub fn put(&mut self, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(self.0, "{value}");
        }
        self.0.push(',');
        self
    }

    fn unit(&mut self, value: Option<f32>) -> &mut Self {
        self.put(value.map(round4))
    }

    pub fn text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(text) if text.contains([',', '"', '\n', '\r']) => {
                self.put(Some(format!("\"{}\"", text.replace('"', "\"\""))))
            }
            other => self.put(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_every_column() {
        let text = super::super::tests::file(Csv);
        let columns = COLUMNS.split(',').count();
        let unquoted = text.lines().filter(|line| !line.contains('"'));
        assert!(unquoted.clone().count() > 5);
        for line in unquoted {
            assert_eq!(line.split(',').count(), columns, "{line}");
        }
        assert!(text.contains(r#","a <b> & ""c"", d",0.88,"#));
    }

    #[test]
    fn classes_of_other_models_share_a_column() {
        let mut record: Record = serde_json::from_str(
            r#"{"schema":"dfer/1","stream":"f","seq":0,"frame":[4,4],"status":"uncertain",
                "probabilities":{"bored":0.5,"sad":0.3,"x,y":0.2}}"#,
        )
        .unwrap();
        let mut out = String::new();
        row(&record, &mut out);
        assert!(out.contains(",uncertain,,,,,0.3,,,,,,\"bored=0.5;x,y=0.2\","), "{out}");
        record.expression.probabilities = None;
        out.clear();
        row(&record, &mut out);
        assert!(!out.contains("bored"));
    }
}
