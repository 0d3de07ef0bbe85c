// SPDX-License-Identifier: MPL-2.0

//! What is said of one face at one moment: schema `dfer/1` without the frame around it.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::types::Ns;

/// How far a result can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The face is too new for a clip.
    WarmingUp,
    /// The label has held against noise; use it.
    Stable,
    /// The clips speak for another label than the stable one, not yet for long enough.
    Changing,
    /// The clips disagree or none of the classes is likely; there is no label.
    Uncertain,
    /// The face is too small, too dim or covered.
    LowQuality,
    /// No face in the frame.
    NoFace,
}

impl Status {
    pub const ALL: [Self; 6] = [
        Self::WarmingUp,
        Self::Stable,
        Self::Changing,
        Self::Uncertain,
        Self::LowQuality,
        Self::NoFace,
    ];

    /// The name used in records, metadata and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WarmingUp => "warming-up",
            Self::Stable => "stable",
            Self::Changing => "changing",
            Self::Uncertain => "uncertain",
            Self::LowQuality => "low-quality",
            Self::NoFace => "no-face",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A probability (0 to 1) per class, in the model's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Probabilities(pub Vec<(Arc<str>, f32)>);

impl Probabilities {
    /// The likeliest class; the first of equals.
    pub fn top(&self) -> Option<(&Arc<str>, f32)> {
        let best = self.0.iter().map(|(_, p)| *p).fold(f32::NEG_INFINITY, f32::max);
        self.0.iter().find(|(_, p)| *p == best).map(|(label, p)| (label, *p))
    }

    pub fn get(&self, label: &str) -> Option<f32> {
        self.0.iter().find(|(l, _)| &**l == label).map(|(_, p)| *p)
    }
}

/// One stream's own opinion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamAnswer {
    pub label: Arc<str>,
    /// 0 to 1.
    #[serde(serialize_with = "rounded")]
    pub probability: f32,
}

/// What the two streams say each for themselves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Streams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<StreamAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<StreamAnswer>,
}

/// One face's result. What is unknown is absent. Unknown fields are ignored when read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Expression {
    /// Stable while the face is tracked; with status `no-face` the id of the face that left, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_id: Option<u64>,
    pub status: Status,
    /// The label that held against noise; there for `stable` and `changing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Arc<str>>,
    /// Of `label` in the newest decision, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "rounded_option")]
    pub probability: Option<f32>,
    /// The likeliest class of the newest decision, before any smoothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_label: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<Probabilities>,
    /// Prediction agreement of the clips, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "rounded_option")]
    pub agreement: Option<f32>,
    /// Clips compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clips: Option<u32>,
    /// Clips whose own top class is `raw_label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
    /// Time of the first frame looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_start: Option<Ns>,
    /// Time of the last frame looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_end: Option<Ns>,
    /// Encoded frames between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_frames: Option<u32>,
    /// Key moments of the clip that spans the whole window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_times: Vec<Ns>,
    /// 0 to 1: size, light, sharpness and visibility of the face.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "rounded_option")]
    pub face_quality: Option<f32>,
    /// Time since `clip_end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Ns>,
    /// `name@hash` of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
}

impl Expression {
    /// A result that says nothing but its status.
    pub fn new(track_id: Option<u64>, status: Status) -> Self {
        Self {
            track_id,
            status,
            label: None,
            probability: None,
            raw_label: None,
            probabilities: None,
            agreement: None,
            clips: None,
            votes: None,
            streams: None,
            clip_start: None,
            clip_end: None,
            clip_frames: None,
            key_times: Vec::new(),
            face_quality: None,
            age: None,
            model: None,
        }
    }
}

/// Four decimals: what a reader can use, and the same text on every machine.
pub fn round4(value: f32) -> f32 {
    (value * 10_000.0).round() / 10_000.0
}

fn rounded<S: Serializer>(value: &f32, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f32(round4(*value))
}

fn rounded_option<S: Serializer>(value: &Option<f32>, s: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(v) => rounded(v, s),
        None => s.serialize_none(),
    }
}

impl Serialize for Probabilities {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.len()))?;
        for (label, p) in &self.0 {
            map.serialize_entry(&**label, &round4(*p))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Probabilities {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Probabilities;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of class to probability")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((label, p)) = map.next_entry::<String, f32>()? {
                    all.push((Arc::from(label), p));
                }
                Ok(Probabilities(all))
            }
        }
        d.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_names_round_trip() {
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Status::from_name("bored"), None);
    }

    #[test]
    fn unknown_stays_absent_and_unknown_fields_are_ignored() {
        let new = Expression::new(Some(7), Status::WarmingUp);
        assert_eq!(serde_json::to_string(&new).unwrap(), r#"{"track-id":7,"status":"warming-up"}"#);
        let read: Expression =
            serde_json::from_str(r#"{"track-id":7,"status":"warming-up","colour":"blue"}"#)
                .unwrap();
        assert_eq!(read, new);
    }

    #[test]
    fn probabilities_keep_the_model_order() {
        let p =
            Probabilities(vec![("sad".into(), 0.25), ("happy".into(), 0.75), ("fear".into(), 0.0)]);
        let text = serde_json::to_string(&p).unwrap();
        assert_eq!(text, r#"{"sad":0.25,"happy":0.75,"fear":0.0}"#);
        assert_eq!(serde_json::from_str::<Probabilities>(&text).unwrap(), p);
        assert_eq!(p.top().unwrap().0.as_ref(), "happy");
    }
}
