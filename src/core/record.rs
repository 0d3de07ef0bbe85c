// SPDX-License-Identifier: MPL-2.0

//! The record `dfer/1`: one face's result with the frame and the times around it.

use serde::{Deserialize, Serialize};

use super::result::Expression;
use super::types::Ns;

/// The schema written into every record.
pub const SCHEMA: &str = "dfer/1";

/// One line of a JSON-lines file. Names are those of the bus message and of the metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// `dfer/1`.
    pub schema: String,
    /// Name of the element that analysed.
    pub stream: String,
    /// Number of the buffer since the element started, from 0.
    pub seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pts: Option<Ns>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_time: Option<Ns>,
    /// RFC 3339 with milliseconds; only where the pipeline knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc: Option<String>,
    /// Width and height of the frame, in pixels.
    pub frame: [u32; 2],
    /// x, y, width, height in pixels of the frame; may reach outside it.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[i32; 4]>,
    #[serde(flatten)]
    pub expression: Expression,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the contract, as it stands in the documentation.
    const EXAMPLE: &str = r#"{"schema":"dfer/1","stream":"dferfilter0","seq":1042,"pts":12345600000,
        "running-time":12345600000,"utc":"2026-09-01T10:00:00.120Z","frame":[1920,1080],"track-id":17,
        "box":[612,188,192,224],"status":"stable","label":"happy","probability":0.81,"raw-label":"happy",
        "probabilities":{"happy":0.81,"sad":0.02,"neutral":0.12,"angry":0.01,"surprise":0.03,"disgust":0.0,
        "fear":0.01},"agreement":0.87,"clips":5,"votes":4,
        "streams":{"short":{"label":"happy","probability":0.84},"long":{"label":"happy","probability":0.71}},
        "clip-start":9785600000,"clip-end":12345600000,"clip-frames":61,"key-times":[11020000000,11500000000],
        "face-quality":0.9,"age":120000000,"model":"dfer-7@1a2b3c4d5e6f"}"#;

    #[test]
    fn contract_example_round_trips() {
        let record: Record = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!(record.expression.votes, Some(4));
        let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parsed(&serde_json::to_string(&record).unwrap()), parsed(EXAMPLE));
    }
}
