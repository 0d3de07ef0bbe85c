// SPDX-License-Identifier: MPL-2.0

//! Which inputs are looked at: lists in files, and parts of a whole for several machines.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::shown;

/// One of several parts of equal size: every `of`-th input, so that what is alike and lies side by
/// side is spread over all parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// From 1.
    pub number: usize,
    pub of: usize,
}

impl Shard {
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Whether the `n`-th input, from 0, belongs to it.
    pub fn has(self, n: usize) -> bool {
        n % self.of == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shard = text.split_once('/').and_then(|(number, of)| {
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        shard
            .filter(|s| (1..=s.of).contains(&s.number))
            .ok_or_else(|| "a part and their number is wanted, as in 3/16".to_owned())
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// The paths in a file, or in the standard input for `-`: one on each line, or ended by zero bytes
/// (as `find -print0` writes them) when there are any.
pub fn list(file: &Path) -> Result<Vec<PathBuf>, String> {
    let mut bytes = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|mut f| f.read_to_end(&mut bytes)),
    };
    read.map_err(|e| format!("{}: cannot be read: {e}", shown::path(file)))?;
    let end = if bytes.contains(&0) { 0 } else { b'\n' };
    let paths: Vec<_> = bytes
        .split(|byte| *byte == end)
        .map(|path| if end == b'\n' { path.strip_suffix(b"\r").unwrap_or(path) } else { path })
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(OsStr::from_bytes(path)))
        .collect();
    if paths.is_empty() {
        return Err(format!("{}: there are no paths in it", shown::path(file)));
    }
    Ok(paths)
}

/// Every file once, however often and by whatever link it is given.
pub fn once(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut first: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut kept = Vec::new();
    for path in paths {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if let Some(other) = first.get(&real) {
            let (path, other) = (shown::path(&path), shown::path(other));
            tell!("dfer: {path}: is the same file as {other}, and looked at once");
            continue;
        }
        first.insert(real, path.clone());
        kept.push(path);
    }
    kept
}

/// How results call each of `paths`: the file's own name. Those of which several would have one name are
/// called by their path below the folder that all these share, as in `door/1.mp4`.
pub fn names(paths: &[PathBuf]) -> Vec<PathBuf> {
    let own = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
    let mut alike: HashMap<PathBuf, usize> = HashMap::new();
    for path in paths {
        *alike.entry(own(path)).or_default() += 1;
    }
    let is_alone = |path: &Path| alike[&own(path)] == 1;
    let shared = paths.iter().filter(|path| !is_alone(path)).map(|path| folder(path));
    let shared = shared.reduce(|shared, folder| {
        let same = shared.iter().zip(&folder).take_while(|(a, b)| a == b);
        same.map(|(part, _)| part).collect()
    });
    let below = |path: &Path| {
        let folder = folder(path);
        let shared = shared.as_deref().unwrap_or(&folder);
        folder.strip_prefix(shared).unwrap_or(&folder).join(own(path))
    };
    paths.iter().map(|path| if is_alone(path) { own(path) } else { below(path) }).collect()
}

/// The folder of a file from the root on, without the root, so that it is below any folder that it is
/// joined to.
fn folder(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let whole = folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_default();
    whole.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_they_can_be_told_apart() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a/day", "b/day"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let of = |paths: &[&str]| {
            names(&paths.iter().map(|path| root.path().join(path)).collect::<Vec<_>>())
        };
        let told = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(of(&["a/day/1.mp4", "b/day/2.mp4"]), told(&["1.mp4", "2.mp4"]));
        assert_eq!(of(&["a/day/1.mp4", "b/../b/day/1.mp4"]), told(&["a/day/1.mp4", "b/day/1.mp4"]));
        assert_eq!(
            of(&["a/day/1.mp4", "b/day/1.mp4", "2.mp4"]),
            told(&["a/day/1.mp4", "b/day/1.mp4", "2.mp4"]),
            "others are called as without these"
        );
        assert_eq!(of(&["a/1.mp4", "none/1.mp4"]), told(&["a/1.mp4", "none/1.mp4"]));
        assert_eq!(of(&["a/1.mp4", "a/1.mp4"]), told(&["1.mp4", "1.mp4"]), "given twice");
        assert_eq!(of(&["a/1.mp4", "a/day/1.mp4"]), told(&["1.mp4", "day/1.mp4"]));
        // Whatever is wrong with a path, its name stays below the folder of the results.
        let odd = ["/", "..", "none/../../1", "/none/1", "1", "/1", ""].map(PathBuf::from);
        for name in names(&odd) {
            assert!(name.components().all(|part| matches!(part, Component::Normal(_))), "{name:?}");
        }
        assert_eq!(names(&[]), told(&[]));
    }

    #[test]
    fn shards_part_the_whole() {
        let shards: Vec<Shard> = (1..=3).map(|n| format!("{n}/3").parse().unwrap()).collect();
        for n in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(n)).count(), 1, "{n}");
        }
        for wrong in ["0/3", "4/3", "1/0", "1", "a/b", "-1/2", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_lines_or_ended_by_zero() {
        let folder = std::env::temp_dir().join(format!("dfer-list-{}", std::process::id()));
        let of = |text: &[u8]| {
            std::fs::write(&folder, text).unwrap();
            list(&folder)
        };
        assert_eq!(of(b"a b\r\n\nc\n").unwrap(), ["a b", "c"].map(PathBuf::from));
        assert_eq!(of(b"a\nb\0c\0").unwrap(), ["a\nb", "c"].map(PathBuf::from));
        assert!(of(b"\n").unwrap_err().contains("no paths"));
        std::fs::remove_file(&folder).unwrap();
    }
}
