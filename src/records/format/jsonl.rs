// SPDX-License-Identifier: MPL-2.0

//! JSON lines: the record as it is.

use super::{Format, Frame};

pub(crate) struct Jsonl;

impl Format for Jsonl {
    fn can_append(&self) -> bool {
        true
    }

    fn frame(&mut self, frame: &Frame, out: &mut String) {
        for record in &frame.selected.chosen {
            // Nothing in a record can fail to become JSON: no maps with odd keys, no floats but f32.
            if let Ok(line) = serde_json::to_string(record) {
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
}
