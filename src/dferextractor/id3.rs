// SPDX-License-Identifier: MPL-2.0

//! ID3v2.4 tags, as timed metadata of HLS and MPEG-TS have them: one `TXXX` frame whose
//! description is the schema, `dfer/1`, and whose value is the records of the frame in JSON, one a
//! line.

use crate::core::record::SCHEMA;

const UTF_8: u8 = 3;

/// Records, one a line, as a tag.
pub(super) fn tag(records: &str) -> Vec<u8> {
    let body = [&[UTF_8], SCHEMA.as_bytes(), &[0], records.trim_end().as_bytes()].concat();
    let mut frame = b"TXXX".to_vec();
    frame.extend(syncsafe(body.len()));
    frame.extend([0, 0]);
    frame.extend(body);
    let mut tag = b"ID3\x04\x00\x00".to_vec();
    tag.extend(syncsafe(frame.len()));
    tag.extend(frame);
    tag
}

/// Seven bits a byte.
fn syncsafe(size: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (size >> shift & 0x7f) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag() {
        assert_eq!(tag("{}\n"), *b"ID3\x04\0\0\0\0\0\x14TXXX\0\0\0\x0a\0\0\x03dfer/1\0{}");
        assert_eq!(syncsafe(300), [0, 0, 2, 0x2c]);
    }
}
