// SPDX-License-Identifier: MPL-2.0

//! Names and times as people read them.

use std::path::Path;

use gstdfer::core::Ns;
use gstdfer::core::types::SECOND;

/// A path on one line: control characters, which could act on a terminal, are escaped.
pub fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}

/// Text on one line, as [`path`].
pub fn text(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// The file's own name.
pub fn name(file: &Path) -> String {
    path(file.file_name().map_or(file, Path::new))
}

/// `12.3 s`.
pub fn seconds(t: Ns) -> String {
    format!("{:.1} s", t as f64 / SECOND as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(path(Path::new("a b\n\u{1b}[2J'\"ä")), "a b\\n\\u{1b}[2J'\"ä");
        assert_eq!(name(Path::new("/x/y.mp4")), "y.mp4");
        assert_eq!(seconds(12_340_000_000), "12.3 s");
    }
}
