// SPDX-License-Identifier: MPL-2.0

//! Files that are there wholly or not at all.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::shown;

/// A file that gets its name when it is done; until then it lies beside it under another one, and
/// goes when this is dropped.
pub struct Output {
    path: PathBuf,
    part: PathBuf,
    kept: bool,
}

impl Output {
    /// Nothing is created yet but the folder above.
    pub fn new(path: &Path) -> Result<Self, String> {
        let Some(name) = path.file_name() else {
            return Err(format!("{}: is no file name", shown::path(path)));
        };
        if path.is_dir() {
            return Err(format!("{}: is a folder, a file is to be written", shown::path(path)));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        if !folder.as_os_str().is_empty() && !folder.is_dir() {
            return Err(format!("{}: there is no such folder", shown::path(folder)));
        }
        let mut part = OsString::from(".");
        part.push(name);
        part.push(format!(".{}.part", std::process::id()));
        Ok(Self { path: path.to_owned(), part: folder.join(part), kept: false })
    }

    /// Where to write.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Writes all of it and gives it its name.
    pub fn fill(self, content: impl AsRef<[u8]>) -> Result<(), String> {
        fs::write(&self.part, content)
            .map_err(|e| format!("{}: cannot be written: {e}", shown::path(&self.path)))?;
        self.finish()
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), String> {
        let path = self.path.clone();
        self.finish_as(&path)
    }

    /// Gives the file another name in the same folder.
    pub fn finish_as(mut self, path: &Path) -> Result<(), String> {
        let told = |e| format!("{}: cannot be written: {e}", shown::path(path));
        fs::rename(&self.part, path).map_err(told)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.kept {
            // There may be none.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// `FOLDER/NAME OF INPUT` with an ending more.
pub fn in_folder(folder: &Path, input: &Path, ending: &str) -> PathBuf {
    let mut name = input.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    folder.join(name)
}
