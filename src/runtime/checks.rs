// SPDX-License-Identifier: MPL-2.0

//! Ranges of the values of a `model.toml`. All that is wrong is collected, so that one look is
//! enough to mend a file.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Component, Path};

use super::contract::GraphFile;
use super::pixels::Normal;
use crate::core::pixels::Channels;

/// What was found wrong so far.
#[derive(Default)]
pub struct Checks(Vec<String>);

impl Checks {
    pub fn wrong(&mut self, what: String) {
        if !self.0.contains(&what) {
            self.0.push(what);
        }
    }

    /// Fails with everything that was wrong.
    pub fn done(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0.join("; ")) }
    }

    /// NaN lies in no range.
    pub fn within<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) {
        if !range.contains(&value) {
            self.wrong(format!("{key}: {value} is not from {} to {}", range.start(), range.end()));
        }
    }

    /// The name becomes part of `name@hash`.
    pub fn name(&mut self, name: &str) {
        let fits = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
        if !fits {
            self.wrong(format!("name: {name:?} is not 1 to 64 letters, digits and any of - _ . +"));
        }
    }

    pub fn classes(&mut self, classes: &[String]) {
        self.within("number of classes", classes.len(), 2..=64);
        let mut seen = HashSet::new();
        for class in classes {
            if class.is_empty() || class.len() > 64 || class.chars().any(char::is_control) {
                self.wrong(format!("classes: {class:?} is not 1 to 64 bytes of plain text"));
            }
            if !seen.insert(class) {
                self.wrong(format!("classes: {class:?} is there twice"));
            }
        }
    }

    /// Powers of two, each larger than the one before.
    pub fn strides(&mut self, strides: Vec<usize>) -> Vec<usize> {
        let fits = (1..=8).contains(&strides.len())
            && strides.iter().all(|s| s.is_power_of_two() && (2..=128).contains(s))
            && strides.windows(2).all(|pair| pair[0] < pair[1]);
        if fits {
            return strides;
        }
        self.wrong(format!(
            "strides: {strides:?} are not powers of two from 2 to 128 in rising order"
        ));
        vec![1]
    }

    pub fn normal(&mut self, channels: Channels, mean: &[f32], std: &[f32]) -> Normal {
        let count = channels.count();
        for (key, values, range) in [("mean", mean, -10.0..=10.0), ("std", std, 1e-4..=10.0)] {
            if values.len() != count {
                let found = values.len();
                self.wrong(format!("[input] {key}: it has {found} values, one for each of {count} channels is wanted"));
            }
            for value in values {
                self.within(&format!("[input] {key}"), *value, range.clone());
            }
        }
        Normal::new(mean, std)
    }

    pub fn graph(&mut self, key: &str, file: String, sha256: String) -> GraphFile {
        let inside = !file.is_empty()
            && Path::new(&file).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            self.wrong(format!(
                "[graphs.{key}] file: {file:?} is not a path inside the folder of the model.toml"
            ));
        }
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            self.wrong(format!(
                "[graphs.{key}] sha256: {sha256:?} is not 64 hex digits, as sha256sum prints them"
            ));
        }
        GraphFile { file, sha256: sha256.to_ascii_lowercase() }
    }
}

/// `first..=last`, or from 0 where `needed` is false.
pub fn range(needed: bool, first: usize, last: usize) -> RangeInclusive<usize> {
    if needed { first..=last } else { 0..=last }
}
