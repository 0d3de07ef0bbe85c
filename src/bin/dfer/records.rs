// SPDX-License-Identifier: MPL-2.0

//! Where records go, and how they come there.

use std::fs::File;
use std::io::{self, PipeReader, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crate::output::{Output, create_folder, has_ending, in_folder, is_folder};
use crate::{shown, stop};

/// Ending of the files in a folder.
const WHOLE: &str = ".jsonl";
/// Of one that an interrupt cut short.
const PARTIAL: &str = ".partial.jsonl";

/// Where the records go.
pub enum Records {
    Standard,
    /// One file for all inputs, under construction.
    Joined(File, Output),
    Folder(PathBuf),
}

impl Records {
    /// The standard output, a file, or what is a folder already or by its name.
    pub fn new(output: Option<&Path>) -> Result<Self, String> {
        let Some(path) = output else { return Ok(Self::Standard) };
        if is_folder(path) {
            create_folder(path)?;
            return Ok(Self::Folder(path.to_owned()));
        }
        if has_ending(path, &["csv", "srt", "vtt", "xml"]) {
            return Err(format!(
                "{}: records are JSON lines, name them .jsonl; other formats are dferrecorder's",
                shown::path(path)
            ));
        }
        let output = Output::new(path)?;
        Ok(Self::Joined(output.create()?, output))
    }

    pub fn are_in_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// The file of an input, where each has its own.
    pub fn file(&self, name: &Path) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) => Some(in_folder(folder, name, WHOLE)),
            _ => None,
        }
    }

    /// Whether the records of `film` are there. A film that changed since is to be seen again. Clocks
    /// of cameras may be ahead: a time to come says nothing.
    pub fn has(&self, name: &Path, film: &Path) -> bool {
        let changed = |path: &Path| path.metadata().and_then(|found| found.modified());
        let old = |film, done| film <= done || film > SystemTime::now();
        self.file(name)
            .and_then(|file| changed(&file).ok())
            .is_some_and(|done| changed(film).map_or(true, |film| old(film, done)))
    }

    /// Gives the one file for all inputs its name, unless nothing came, or nothing yet: records of an
    /// earlier run are worth more than none.
    pub fn finish(self, anything_was_seen: bool) -> Result<(), String> {
        let Self::Joined(file, output) = self else { return Ok(()) };
        let is_known = anything_was_seen && !stop::requested();
        if is_known || file.metadata().is_ok_and(|file| file.len() > 0) {
            output.finish_lines()?;
        }
        Ok(())
    }
}

/// Takes the records to their place while they come.
pub struct Copy {
    thread: JoinHandle<io::Result<()>>,
    target: Option<Target>,
}

/// The file of one input in a folder.
struct Target {
    whole: Output,
    /// Its name when an interrupt cuts it short, so that `--resume` does the input again.
    partial: PathBuf,
}

impl Copy {
    /// `name` is what results call the input.
    pub fn start(mut reader: PipeReader, records: &Records, name: &Path) -> Result<Self, String> {
        let (mut writer, target): (Box<dyn Write + Send>, _) = match records {
            Records::Standard => (Box::new(io::stdout()), None),
            Records::Joined(file, _) => {
                (Box::new(file.try_clone().map_err(|e| e.to_string())?), None)
            }
            Records::Folder(folder) => {
                let whole = Output::below(&in_folder(folder, name, WHOLE))?;
                let file = whole.create()?;
                let partial = in_folder(folder, name, PARTIAL);
                (Box::new(file), Some(Target { whole, partial }))
            }
        };
        let copy = move || {
            let copied = io::copy(&mut reader, &mut writer).and_then(|_| writer.flush());
            // The recorder must not wait for a pipe that nobody reads.
            let drained = io::copy(&mut reader, &mut io::sink());
            copied.and(drained.map(|_| ()))
        };
        let thread = std::thread::Builder::new()
            .name("records".into())
            .spawn(copy)
            .map_err(|e| e.to_string())?;
        Ok(Self { thread, target })
    }

    /// Waits for the last of them; those of an input with a file of its own go unless `keep` is set.
    pub fn finish(self, keep: bool) -> Result<(), String> {
        let copied = self.thread.join().map_err(|_| "the records were lost".to_owned())?;
        copied.map_err(|e| format!("the records cannot be written: {e}"))?;
        let Some(Target { whole, partial }) = self.target.filter(|_| keep) else { return Ok(()) };
        if stop::requested() {
            return whole.finish_as(&partial);
        }
        whole.finish()?;
        // Of an earlier run; there may be none.
        let _ = std::fs::remove_file(partial);
        Ok(())
    }
}
