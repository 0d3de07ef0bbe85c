// SPDX-License-Identifier: MPL-2.0

//! KLV packets (SMPTE ST 336): a universal key, a BER length, and a local set of
//!
//! | tag | value |
//! |---|---|
//! | 1 | the schema, `dfer/1` |
//! | 2 | the records of the frame in JSON, one a line |

use crate::core::record::SCHEMA;

/// Key of our packets: a local set with BER lengths and one-byte tags (`02 0B 01 01`), in the space
/// that SMPTE leaves for experiments (`0F`), named `dfer`, version 1.
pub const KEY: [u8; 16] = *b"\x06\x0e\x2b\x34\x02\x0b\x01\x01\x0fdfer\x01\x00\x00";

/// Records, one a line, as a packet.
pub(super) fn packet(records: &str) -> Vec<u8> {
    let mut set = Vec::with_capacity(records.len() + 32);
    item(1, SCHEMA, &mut set);
    item(2, records.trim_end(), &mut set);
    let mut packet = KEY.to_vec();
    length(set.len(), &mut packet);
    packet.append(&mut set);
    packet
}

fn item(tag: u8, value: &str, out: &mut Vec<u8>) {
    out.push(tag);
    length(value.len(), out);
    out.extend(value.as_bytes());
}

/// BER: one byte below 128, else the number of bytes and the bytes.
fn length(length: usize, out: &mut Vec<u8>) {
    if length < 0x80 {
        out.push(length as u8);
        return;
    }
    let bytes = length.to_be_bytes();
    let bytes = &bytes[length.leading_zeros() as usize / 8..];
    out.push(0x80 | bytes.len() as u8);
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let of = |n| {
            let mut out = Vec::new();
            length(n, &mut out);
            out
        };
        assert_eq!(of(0), [0]);
        assert_eq!(of(127), [127]);
        assert_eq!(of(128), [0x81, 128]);
        assert_eq!(of(256), [0x82, 1, 0]);
        assert_eq!(of(70_000), [0x83, 1, 0x11, 0x70]);
    }

    #[test]
    fn a_packet() {
        let packet = packet("{}\n");
        assert_eq!(packet[..16], KEY);
        assert_eq!(packet[16..], *b"\x0c\x01\x06dfer/1\x02\x02{}");
        // Bytes of a universal label from the ninth on are below 128, as the standard asks.
        assert!(KEY[8..].iter().all(|b| *b < 0x80));
    }
}
