// SPDX-License-Identifier: MPL-2.0

//! `dfer merge`: one file of what several machines wrote.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::inputs::Shard;
use crate::output::{Output, distinct, text_only};
use crate::results::{self, Results, difference};
use crate::shown;

/// Join the files that shards wrote.
///
/// Files of --results of evaluate, audit or calibrate become one, for --from of these commands;
/// samples that are missing are counted, and the exit status is 1. Records of analyze are put one
/// after the other.
#[derive(clap::Args)]
pub struct Arguments {
    /// One file for each shard, in any order.
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// The joined file.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

const RECORDS: &str = "dfer/1";

#[derive(Deserialize)]
struct Preamble {
    schema: String,
}

pub fn run(arguments: &Arguments) -> Result<bool, String> {
    let files = &arguments.file;
    let target = arguments.output.as_path();
    let mut real = BTreeSet::new();
    for file in files {
        let told = |e| format!("{}: {e}", shown::path(file));
        if !file.metadata().map_err(told)?.is_file() {
            return Err(format!("{}: is no regular file; it is read twice", shown::path(file)));
        }
        let path = file.canonicalize().map_err(told)?;
        if !real.insert(path) {
            return Err(format!("{}: is given twice", shown::path(file)));
        }
    }
    distinct([target], files.iter().map(PathBuf::as_path))?;
    text_only([target])?;
    let output = Output::new(target)?;
    // A shard in which nothing was seen has no records.
    let schemas: BTreeSet<String> =
        files.iter().filter_map(|file| schema(file).transpose()).collect::<Result<_, _>>()?;
    match schemas.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [results::SCHEMA] => joined(files, output),
        [RECORDS] | [] => appended(files, output),
        [other] => Err(format!("{} is no schema that can be merged", shown::text(other))),
        _ => Err("records and results cannot be merged into one file".to_owned()),
    }
}

/// What the first line says that it is; `None` for an empty file.
fn schema(file: &Path) -> Result<Option<String>, String> {
    let name = shown::path(file);
    let mut line = String::new();
    let told = |e| format!("{name}: cannot be read: {e}");
    let length = BufReader::new(File::open(file).map_err(told)?).read_line(&mut line);
    if length.map_err(told)? == 0 {
        return Ok(None);
    }
    let preamble: Preamble = serde_json::from_str(&line)
        .map_err(|_| format!("{name}: is neither a file of results nor of records"))?;
    Ok(Some(preamble.schema))
}

fn joined(files: &[PathBuf], output: Output) -> Result<bool, String> {
    let mut whole: Option<Results> = None;
    let mut shards: BTreeSet<Shard> = BTreeSet::new();
    for file in files {
        let name = shown::path(file);
        let mut part = Results::read(file)?;
        let shard = std::mem::replace(&mut part.header.shard, Shard::WHOLE);
        if shards.first().is_some_and(|first| first.of != shard.of) {
            return Err(format!("{name}: is shard {shard}; the others are of another number"));
        }
        if !shards.insert(shard) {
            return Err(format!("{name}: shard {shard} is there already"));
        }
        match &mut whole {
            None => whole = Some(part),
            Some(whole) if whole.header == part.header => whole.lines.append(&mut part.lines),
            Some(whole) => {
                let what = difference(&whole.header, &part.header);
                return Err(format!("{name}: is of another run than the first ({what} differs)"));
            }
        }
    }
    let Some(whole) = whole else { return Err("there is nothing to merge".to_owned()) };
    output.fill(whole.text()?)?;
    let missing = whole.header.samples - whole.lines.len();
    tell!("dfer: {} of {} samples", whole.lines.len(), whole.header.samples);
    if missing > 0 {
        let of = shards.first().map_or(1, |shard| shard.of);
        let absent: Vec<_> = (1..=of)
            .map(|number| Shard { number, of })
            .filter(|shard| !shards.contains(shard))
            .map(|shard| shard.to_string())
            .collect();
        let why = match absent[..] {
            [] => "a shard was not done to its end".to_owned(),
            _ => format!("no file is of shard {}", absent.join(", ")),
        };
        tell!("dfer: {missing} samples are missing: {why}");
    }
    Ok(missing == 0)
}

fn appended(files: &[PathBuf], output: Output) -> Result<bool, String> {
    let told = |e| format!("the joined file cannot be written: {e}");
    let mut target = BufWriter::new(output.create()?);
    for file in files {
        let name = shown::path(file);
        let source = File::open(file).map_err(|e| format!("{name}: cannot be read: {e}"))?;
        for (n, line) in BufReader::new(source).lines().enumerate() {
            let line = line.map_err(|e| format!("{name}: cannot be read: {e}"))?;
            let record = serde_json::from_str::<Preamble>(&line);
            if record.is_ok_and(|record| record.schema == RECORDS) {
                writeln!(target, "{line}").map_err(told)?;
            } else {
                return Err(format!("{name}: line {} is no record of schema {RECORDS}", n + 1));
            }
        }
    }
    target.flush().map_err(told)?;
    drop(target);
    output.finish()?;
    Ok(true)
}
