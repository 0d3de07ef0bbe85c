// SPDX-License-Identifier: MPL-2.0

//! Counts instead of faces: how many there are and how many have which stable label, without
//! track ids, places or anything else of a single face. Groups smaller than `min-group` are told
//! without labels, because what is said of a group of one is said of a person.

use std::collections::BTreeMap;

use serde::Serialize;

use super::csv::Cells;
use super::{Format, Frame};
use crate::core::aggregate::{Counts, SCHEMA};
use crate::core::types::Ns;
use crate::records::Detail;

/// Classes with a column of their own in CSV.
const CLASSES: [&str; 7] = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"];

pub(crate) struct Aggregate {
    csv: bool,
    detail: Detail,
    min_group: u32,
    last: Option<Counts>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    schema: &'static str,
    stream: &'a str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pts: Option<Ns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running_time: Option<Ns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    utc: Option<&'a str>,
    #[serde(flatten)]
    counts: &'a Counts,
}

impl Aggregate {
    pub fn new(csv: bool, detail: Detail, min_group: u32) -> Self {
        Self { csv, detail, min_group, last: None }
    }
}

impl Format for Aggregate {
    fn header(&self) -> String {
        match self.csv {
            true => format!(
                "schema,stream,seq,pts,running-time,utc,faces,{},other\n",
                CLASSES.join(",")
            ),
            false => String::new(),
        }
    }

    fn can_append(&self) -> bool {
        true
    }

    fn frame(&mut self, frame: &Frame, out: &mut String) {
        let counts = count(frame, self.min_group);
        if self.detail != Detail::Frames && self.last.as_ref() == Some(&counts) {
            return;
        }
        let head = &frame.head;
        let line = Line {
            schema: SCHEMA,
            stream: &head.stream,
            seq: head.seq,
            pts: head.pts,
            running_time: head.running_time,
            utc: head.utc.as_deref(),
            counts: &counts,
        };
        if self.csv {
            row(&line, out);
        } else if let Ok(json) = serde_json::to_string(&line) {
            out.push_str(&json);
            out.push('\n');
        }
        self.last = Some(counts);
    }
}

/// Upstream's own counts, where there are no faces to be counted.
fn count(frame: &Frame, min_group: u32) -> Counts {
    match &frame.selected.counts {
        Some(counts) => counts.clone().of_groups(min_group),
        None => Counts::new(frame.selected.all.iter().map(|r| &r.expression), min_group),
    }
}

fn row(line: &Line<'_>, out: &mut String) {
    let mut cells = Cells(out);
    cells.text(Some(line.schema)).text(Some(line.stream)).put(Some(line.seq));
    cells.put(line.pts).put(line.running_time).text(line.utc).put(Some(line.counts.faces));
    let labels = line.counts.labels.as_ref();
    for class in CLASSES {
        cells.put(labels.map(|l| l.get(class).copied().unwrap_or(0)));
    }
    let other = |l: &BTreeMap<String, u32>| {
        l.iter()
            .filter(|(label, _)| !CLASSES.contains(&label.as_str()))
            .map(|(_, n)| n)
            .sum::<u32>()
    };
    cells.put(labels.map(other));
    cells.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Record;
    use crate::core::result::Status;
    use crate::records::Selected;

    fn lines(csv: bool, detail: Detail, min_group: u32, frames: &[&[(Status, &str)]]) -> String {
        let head: Record = serde_json::from_str(
            r#"{"schema":"dfer/1","stream":"f","seq":7,"pts":5,"frame":[4,4],"status":"no-face"}"#,
        )
        .unwrap();
        let mut format = Aggregate::new(csv, detail, min_group);
        let mut out = String::new();
        for faces in frames {
            let face = |(status, label): &(Status, &str)| {
                let mut record = head.clone();
                record.expression.status = *status;
                record.expression.label = Some((*label).into());
                record.expression.track_id = Some(99);
                record
            };
            let selected =
                Selected { all: faces.iter().map(face).collect(), ..Selected::default() };
            let head = head.clone();
            let frame = Frame { selected, head, now: None, duration: 0, unix: None };
            format.frame(&frame, &mut out);
        }
        out
    }

    const GROUP: &[(Status, &str)] = &[
        (Status::Stable, "happy"),
        (Status::Stable, "sad"),
        (Status::Stable, "happy"),
        (Status::Uncertain, "fear"),
    ];

    #[test]
    fn counts_without_any_face_of_its_own() {
        let json = lines(false, Detail::Changes, 3, &[GROUP, GROUP]);
        assert_eq!(
            json,
            "{\"schema\":\"dfer-aggregate/1\",\"stream\":\"f\",\"seq\":7,\"pts\":5,\"faces\":4,\
             \"labels\":{\"happy\":2,\"sad\":1}}\n",
            "told once while nothing changes"
        );
        assert_eq!(lines(false, Detail::Frames, 3, &[GROUP, GROUP]).lines().count(), 2);
        assert_eq!(
            lines(true, Detail::Changes, 3, &[GROUP]),
            "dfer-aggregate/1,f,7,5,,,4,2,1,0,0,0,0,0,0\n"
        );
    }

    #[test]
    fn small_groups_have_no_labels() {
        let json = lines(false, Detail::Changes, 4, &[GROUP, &[]]);
        assert!(!json.contains("labels") && json.lines().count() == 2, "{json}");
        assert_eq!(
            lines(true, Detail::Changes, 4, &[GROUP]),
            "dfer-aggregate/1,f,7,5,,,4,,,,,,,,\n"
        );
    }
}
