// SPDX-License-Identifier: MPL-2.0

//! One face's result as a `GstStructure` and back; fields as in the record `dfer/1`.

use std::sync::Arc;

use glib::value::FromValue;

use crate::core::aggregate::{self, Counts};
use crate::core::result::{Expression, Probabilities, Status, StreamAnswer, Streams};

/// Name of the structure and of the parameter on regions of interest.
pub const PARAM: &str = "dfer";

/// A structure that is not what the contract says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {reason}")]
pub struct Malformed {
    pub field: String,
    pub reason: String,
}

impl Malformed {
    pub(super) fn new(field: &str, reason: impl ToString) -> Self {
        Self { field: field.to_owned(), reason: reason.to_string() }
    }
}

/// The structure [`PARAM`]. Probabilities, agreement and quality are doubles of four decimals,
/// times are unsigned 64-bit nanoseconds, what is unknown is absent.
pub fn to_structure(e: &Expression) -> gst::Structure {
    let mut s = gst::Structure::new_empty(PARAM);
    s.set_if_some("track-id", e.track_id);
    s.set("status", e.status.as_str());
    s.set_if_some("label", text(&e.label));
    s.set_if_some("probability", e.probability.map(four));
    s.set_if_some("raw-label", text(&e.raw_label));
    s.set_if_some("probabilities", e.probabilities.as_ref().map(from_probabilities));
    s.set_if_some("agreement", e.agreement.map(four));
    s.set_if_some("clips", e.clips);
    s.set_if_some("votes", e.votes);
    s.set_if_some("streams", e.streams.as_ref().map(from_streams));
    s.set_if_some("clip-start", e.clip_start);
    s.set_if_some("clip-end", e.clip_end);
    s.set_if_some("clip-frames", e.clip_frames);
    if !e.key_times.is_empty() {
        s.set("key-times", gst::Array::new(e.key_times.iter().copied()));
    }
    s.set_if_some("face-quality", e.face_quality.map(four));
    s.set_if_some("age", e.age);
    s.set_if_some("model", text(&e.model));
    s
}

/// The result in a structure that [`to_structure`] made, here or elsewhere. Unknown fields are
/// ignored; the name of the structure is not looked at, so that messages can be read as well.
pub fn from_structure(s: &gst::StructureRef) -> Result<Expression, Malformed> {
    let status: String =
        field(s, "status")?.ok_or_else(|| Malformed::new("status", "is missing"))?;
    let status = Status::from_name(&status)
        .ok_or_else(|| Malformed::new("status", format!("{status:?} is not known")))?;
    let mut e = Expression::new(field(s, "track-id")?, status);
    e.label = label(s, "label")?;
    e.probability = unit(s, "probability")?;
    e.raw_label = label(s, "raw-label")?;
    e.probabilities =
        field::<gst::Structure>(s, "probabilities")?.map(|p| to_probabilities(&p)).transpose()?;
    e.agreement = unit(s, "agreement")?;
    e.clips = field(s, "clips")?;
    e.votes = field(s, "votes")?;
    e.streams = field::<gst::Structure>(s, "streams")?.map(|p| to_streams(&p)).transpose()?;
    e.clip_start = field(s, "clip-start")?;
    e.clip_end = field(s, "clip-end")?;
    e.clip_frames = field(s, "clip-frames")?;
    if let Some(times) = field::<gst::ArrayRef>(s, "key-times")? {
        e.key_times = times
            .iter()
            .map(|v| v.get().map_err(|err| Malformed::new("key-times", err)))
            .collect::<Result<_, _>>()?;
    }
    e.face_quality = unit(s, "face-quality")?;
    e.age = field(s, "age")?;
    e.model = label(s, "model")?;
    Ok(e)
}

/// Sets the fields of the schema `dfer-aggregate/1`, the schema included.
pub(crate) fn set_counts(s: &mut gst::StructureRef, counts: &Counts) {
    s.set("schema", aggregate::SCHEMA);
    s.set("faces", counts.faces);
    if let Some(labels) = &counts.labels {
        let mut all = gst::Structure::new_empty("labels");
        for (label, count) in labels {
            all.set(label.as_str(), count);
        }
        s.set("labels", all);
    }
}

/// What [`set_counts`] set.
pub(super) fn counts(s: &gst::StructureRef) -> Result<Counts, Malformed> {
    let labels = field::<gst::Structure>(s, "labels")?.map(|labels| {
        let count = |(name, value): (&glib::GStr, &glib::SendValue)| {
            let count = value.get::<u32>().map_err(|err| Malformed::new(name, err))?;
            Ok((name.to_string(), count))
        };
        labels.iter().map(count).collect::<Result<_, Malformed>>()
    });
    let faces = field(s, "faces")?.ok_or_else(|| Malformed::new("faces", "is missing"))?;
    Ok(Counts { faces, labels: labels.transpose()? })
}

/// A field of that type; `None` when it is absent.
pub(super) fn field<'a, T: FromValue<'a>>(
    s: &'a gst::StructureRef,
    name: &str,
) -> Result<Option<T>, Malformed> {
    s.get_optional(name).map_err(|err| Malformed::new(name, err))
}

fn text(t: &Option<Arc<str>>) -> Option<&str> {
    t.as_deref()
}

/// Decimal rounding in double precision, so that 0.81 prints as 0.81.
fn four(v: f32) -> f64 {
    (f64::from(v) * 10_000.0).round() / 10_000.0
}

fn label(s: &gst::StructureRef, name: &str) -> Result<Option<Arc<str>>, Malformed> {
    Ok(field::<&str>(s, name)?.map(Arc::from))
}

/// A number from 0 to 1.
fn unit(s: &gst::StructureRef, name: &str) -> Result<Option<f32>, Malformed> {
    field::<f64>(s, name)?.map(|v| checked(name, v)).transpose()
}

fn checked(name: &str, v: f64) -> Result<f32, Malformed> {
    if (0.0..=1.0).contains(&v) {
        Ok(v as f32)
    } else {
        Err(Malformed::new(name, format!("{v} is not between 0 and 1")))
    }
}

fn from_probabilities(p: &Probabilities) -> gst::Structure {
    let mut s = gst::Structure::new_empty("probabilities");
    for (label, p) in &p.0 {
        s.set(&**label, four(*p));
    }
    s
}

fn to_probabilities(s: &gst::StructureRef) -> Result<Probabilities, Malformed> {
    s.iter()
        .map(|(name, value)| {
            let v = value.get::<f64>().map_err(|err| Malformed::new(name, err))?;
            Ok((Arc::from(name.as_str()), checked(name, v)?))
        })
        .collect::<Result<_, _>>()
        .map(Probabilities)
}

fn from_streams(streams: &Streams) -> gst::Structure {
    let answer = |name, a: &StreamAnswer| {
        gst::Structure::builder(name)
            .field("label", &*a.label)
            .field("probability", four(a.probability))
            .build()
    };
    let mut s = gst::Structure::new_empty("streams");
    s.set_if_some("short", streams.short.as_ref().map(|a| answer("short", a)));
    s.set_if_some("long", streams.long.as_ref().map(|a| answer("long", a)));
    s
}

fn to_streams(s: &gst::StructureRef) -> Result<Streams, Malformed> {
    let answer = |name| -> Result<Option<StreamAnswer>, Malformed> {
        let Some(s) = field::<gst::Structure>(s, name)? else { return Ok(None) };
        let missing = || Malformed::new(name, "label or probability is missing");
        Ok(Some(StreamAnswer {
            label: label(&s, "label")?.ok_or_else(missing)?,
            probability: unit(&s, "probability")?.ok_or_else(missing)?,
        }))
    };
    Ok(Streams { short: answer("short")?, long: answer("long")? })
}

#[cfg(test)]
mod tests {
    use glib::value::ToSendValue;

    use super::*;

    fn full() -> Expression {
        let answer = |label: &str, probability| StreamAnswer { label: label.into(), probability };
        Expression {
            label: Some("happy".into()),
            probability: Some(0.81),
            raw_label: Some("sad".into()),
            probabilities: Some(Probabilities(vec![
                ("happy".into(), 0.81),
                ("sad".into(), 0.0),
                ("a class with spaces".into(), 0.19),
            ])),
            agreement: Some(0.87),
            clips: Some(5),
            votes: Some(4),
            streams: Some(Streams {
                short: Some(answer("sad", 0.5)),
                long: Some(answer("happy", 1.0)),
            }),
            clip_start: Some(9_785_600_000),
            clip_end: Some(12_345_600_000),
            clip_frames: Some(61),
            key_times: vec![11_020_000_000, u64::MAX],
            face_quality: Some(0.9),
            age: Some(0),
            model: Some("dfer-7@1a2b3c4d5e6f".into()),
            ..Expression::new(Some(17), Status::Stable)
        }
    }

    #[test]
    fn every_field_round_trips() {
        gst::init().unwrap();
        let e = full();
        assert_eq!(from_structure(&to_structure(&e)), Ok(e));
        for status in Status::ALL {
            let e = Expression::new(None, status);
            let s = to_structure(&e);
            assert_eq!(s.n_fields(), 1, "what is unknown is absent: {s}");
            assert_eq!(from_structure(&s), Ok(e));
        }
    }

    #[test]
    fn names_and_figures_are_those_of_the_record() {
        gst::init().unwrap();
        let s = to_structure(&full());
        let json = serde_json::to_value(full()).unwrap();
        let names: Vec<_> = s.fields().map(|f| f.to_string()).collect();
        assert_eq!(names, json.as_object().unwrap().keys().cloned().collect::<Vec<_>>());
        assert_eq!(s.get::<f64>("probability"), Ok(0.81));
    }

    #[test]
    fn wrong_types_and_values_are_named() {
        gst::init().unwrap();
        let refused = |name: &str, value: glib::SendValue| {
            let mut s = to_structure(&full());
            s.set_value(name, value);
            assert_eq!(from_structure(&s).unwrap_err().field, name);
        };
        refused("status", "bored".to_send_value());
        refused("track-id", "seven".to_send_value());
        refused("probability", f64::NAN.to_send_value());
        refused("agreement", 1.5f64.to_send_value());
        refused("key-times", "soon".to_send_value());
        refused("key-times", gst::Array::new(["soon"]).to_send_value());
        refused("streams", 3i32.to_send_value());
        let none = gst::Structure::new_empty(PARAM);
        assert_eq!(from_structure(&none).unwrap_err().to_string(), "field status: is missing");
    }

    #[test]
    fn unknown_fields_are_ignored() {
        gst::init().unwrap();
        let mut s = to_structure(&full());
        s.set("colour", "blue");
        assert_eq!(from_structure(&s), Ok(full()));
    }
}
