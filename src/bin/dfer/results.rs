// SPDX-License-Identifier: MPL-2.0

//! Answers to samples as a file of JSON lines, schema `dfer-results/1`: a header, then a line for
//! each sample, written as they come. At every moment it holds what is done so far, so that the
//! work can be gone on with, and shared between machines.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Faces;
use crate::dataset::{Layout, Split};
use crate::inputs::Shard;
use crate::predict::Seen;
use crate::shown;

pub const SCHEMA: &str = "dfer-results/1";

/// What the answers are to, and whose they are. Only results that have all of it in common, but
/// the shard, belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    pub schema: String,
    /// `name@hash` of the expression network.
    pub model: String,
    pub temperature: f32,
    /// `name@hash`; `None` where the whole picture was the face.
    pub detector: Option<String>,
    pub classes: Vec<String>,
    pub layout: Layout,
    pub split: Split,
    pub faces: Faces,
    /// Frames a second of folders of pictures.
    pub rate: i32,
    /// Samples of all shards.
    pub samples: usize,
    pub shard: Shard,
    /// Whether the logits of every clip are there.
    pub logits: bool,
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// Number of the sample among all, from 0.
    pub n: usize,
    pub sample: String,
    /// One of the model's classes, in its words.
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<u8>,
    #[serde(flatten)]
    pub result: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Seen(Seen),
    /// Why it could not be read.
    Error(String),
}

/// A header and, by number, the newest line of every sample.
#[derive(Debug)]
pub struct Results {
    pub header: Header,
    pub lines: BTreeMap<usize, Line>,
}

impl Results {
    /// Reads a file; a last line without an end, which a crash may leave, does not count.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::read_whole(path).map(|(results, _)| results)
    }

    /// The same, and how many bytes of the file are whole lines.
    fn read_whole(path: &Path) -> Result<(Self, usize), String> {
        let name = shown::path(path);
        let mut text = String::new();
        File::open(path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|e| format!("{name}: cannot be read: {e}"))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..whole].lines().enumerate();
        let told = |n: usize, e| format!("{name}: line {} is no {SCHEMA}: {e}", n + 1);
        let Some((_, first)) = lines.next() else {
            return Err(format!("{name}: holds no results"));
        };
        let header: Header = serde_json::from_str(first).map_err(|e| told(0, e))?;
        if header.schema != SCHEMA {
            return Err(format!("{name}: is no file of schema {SCHEMA}"));
        }
        let mut found = BTreeMap::new();
        for (n, text) in lines {
            let line: Line = serde_json::from_str(text).map_err(|e| told(n, e))?;
            if !header.classes.contains(&line.label) || line.n >= header.samples {
                return Err(format!("{name}: line {} does not belong to its header", n + 1));
            }
            found.insert(line.n, line);
        }
        Ok((Self { header, lines: found }, whole))
    }

    /// All of it as text.
    pub fn text(&self) -> Result<String, String> {
        let mut text = line_of(&self.header)?;
        for line in self.lines.values() {
            text += &line_of(line)?;
        }
        Ok(text)
    }
}

fn line_of(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map(|line| line + "\n").map_err(|e| e.to_string())
}

/// A file of results that grows.
pub struct Log {
    file: File,
    path: PathBuf,
    header: Header,
}

impl Log {
    /// Begins a file; with `resume` goes on with the one that is there, and returns its lines.
    pub fn open(
        path: &Path,
        header: Header,
        resume: bool,
    ) -> Result<(Self, BTreeMap<usize, Line>), String> {
        let name = shown::path(path);
        let told = |e| format!("{name}: cannot be written: {e}");
        if resume && std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
            let (found, whole) = Results::read_whole(path)?;
            if found.header != header {
                let what = difference(&found.header, &header);
                return Err(format!(
                    "{name}: holds results of another run ({what} differs); give another file"
                ));
            }
            let file = OpenOptions::new().append(true).open(path).map_err(told)?;
            file.set_len(whole as u64).map_err(told)?;
            return Ok((Self { file, path: path.to_owned(), header }, found.lines));
        }
        let new = OpenOptions::new().append(true).create_new(!resume).create(resume).open(path);
        let file = new.map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => {
                format!("{name}: exists already; --resume goes on with it, or remove it first")
            }
            _ => told(e),
        })?;
        let mut log = Self { file, path: path.to_owned(), header };
        let header = line_of(&log.header)?;
        log.put(&header)?;
        Ok((log, BTreeMap::new()))
    }

    pub fn add(&mut self, line: &Line) -> Result<(), String> {
        self.put(&line_of(line)?)
    }

    /// At once, so that no line is torn by whatever ends the program.
    fn put(&mut self, line: &str) -> Result<(), String> {
        self.file
            .write_all(line.as_bytes())
            .map_err(|e| format!("{}: cannot be written: {e}", shown::path(&self.path)))
    }
}

/// The first thing in which two headers differ, in words.
pub fn difference(a: &Header, b: &Header) -> &'static str {
    let all = [
        (a.model != b.model, "the model"),
        (a.temperature.to_bits() != b.temperature.to_bits(), "the model's temperature"),
        (a.classes != b.classes, "the model's classes"),
        (a.layout != b.layout, "the layout"),
        (a.split != b.split, "the split"),
        (a.faces != b.faces, "--faces"),
        (a.detector != b.detector, "the face detector"),
        (a.rate != b.rate, "--rate"),
        (a.samples != b.samples, "the number of samples"),
        (a.shard.of != b.shard.of, "the number of shards"),
        (a.shard != b.shard, "the shard"),
        (a.logits != b.logits, "whether logits are kept"),
    ];
    all.into_iter().find(|(differs, _)| *differs).map_or("nothing", |(_, what)| what)
}
