// SPDX-License-Identifier: MPL-2.0

//! Files that are there wholly or not at all.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::shown;

/// Bytes by which text is told from films, pictures and networks.
const HEAD: u64 = 4096;

/// A file that gets its name when it is done; until then it lies beside it under another one, and
/// goes when this is dropped. What is no ordinary file (`/dev/null`, a pipe) is written as it is: it
/// must not be replaced by one.
pub struct Output {
    path: PathBuf,
    /// `None` when it is done, and for what is written as it is.
    part: Option<PathBuf>,
}

impl Output {
    /// Tries at once whether it can be written, not after hours of work.
    pub fn new(path: &Path) -> Result<Self, String> {
        let Some(name) = path.file_name() else {
            return Err(format!("{}: is no file name", shown::path(path)));
        };
        if path.is_dir() {
            return Err(format!("{}: is a folder, a file is to be written", shown::path(path)));
        }
        if is_special(path) {
            return Ok(Self { path: path.to_owned(), part: None });
        }
        // Through a symbolic link: the file that it names is replaced, not the link.
        let path = &match path.is_symlink() {
            true => fs::canonicalize(path)
                .map_err(|e| format!("{}: leads nowhere: {e}", shown::path(path)))?,
            false => path.to_owned(),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        if !folder.as_os_str().is_empty() && !folder.is_dir() {
            return Err(format!("{}: there is no such folder", shown::path(folder)));
        }
        let mut part = OsString::from(".");
        part.push(path.file_name().unwrap_or(name));
        part.push(format!(".{}.part", std::process::id()));
        let output = Self { path: path.to_owned(), part: Some(folder.join(part)) };
        output.create()?;
        Ok(output)
    }

    /// With the folders above that are not there yet.
    pub fn below(path: &Path) -> Result<Self, String> {
        path.parent().map_or(Ok(()), create_folder)?;
        Self::new(path)
    }

    /// Where to write.
    pub fn part(&self) -> &Path {
        self.part.as_ref().unwrap_or(&self.path)
    }

    /// Opens it for writing. What is written as it is keeps what others have written there.
    pub fn create(&self) -> Result<File, String> {
        let file = match &self.part {
            Some(part) => File::create(part),
            None => File::options().append(true).open(&self.path),
        };
        file.map_err(|e| format!("{}: cannot be written: {e}", shown::path(&self.path)))
    }

    /// Writes all of it and gives it its name.
    pub fn fill(self, content: impl AsRef<[u8]>) -> Result<(), String> {
        self.create()?
            .write_all(content.as_ref())
            .map_err(|e| format!("{}: cannot be written: {e}", shown::path(&self.path)))?;
        self.finish()
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), String> {
        let path = self.path.clone();
        self.finish_as(&path)
    }

    /// Gives the file its name, without what a full disk left of a last line.
    pub fn finish_lines(self) -> Result<(), String> {
        let cut = |part| {
            let file = File::options().read(true).write(true).open(part)?;
            let (length, mut byte) = (file.metadata()?.len(), [0]);
            let mut end = length;
            while end > 0 && file.read_at(&mut byte, end - 1)? == 1 && byte != *b"\n" {
                end -= 1;
            }
            if end < length { file.set_len(end) } else { Ok(()) }
        };
        let told = |e: io::Error| format!("{}: cannot be written: {e}", shown::path(&self.path));
        self.part.as_ref().map_or(Ok(()), cut).map_err(told)?;
        self.finish()
    }

    /// Gives the file another name in the same folder.
    pub fn finish_as(mut self, path: &Path) -> Result<(), String> {
        let told = |e| format!("{}: cannot be written: {e}", shown::path(path));
        if let Some(part) = &self.part {
            fs::rename(part, path).map_err(told)?;
            self.part = None;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // There may be none.
            let _ = fs::remove_file(part);
        }
    }
}

/// Whether there is something that is no ordinary file. A name of something that is open (standard
/// output, say) counts, whatever it leads to: others go on writing there.
pub fn is_special(path: &Path) -> bool {
    let open = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
    open.iter().any(|open| path.starts_with(open))
        || fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// Refuses to write two things into one file, or over what is read. What is no ordinary file takes
/// both.
pub fn distinct<'a>(
    written: impl IntoIterator<Item = &'a Path>,
    read: impl IntoIterator<Item = &'a Path>,
) -> Result<(), String> {
    let read: HashSet<PathBuf> = read.into_iter().filter_map(|p| p.canonicalize().ok()).collect();
    let mut places = HashSet::new();
    for path in written.into_iter().filter(|path| !is_special(path)) {
        let place = place(path);
        if read.contains(&place) {
            return Err(format!("{}: is an input and would be overwritten", shown::path(path)));
        }
        if !places.insert(place) {
            return Err(format!("{}: would be written twice", shown::path(path)));
        }
    }
    Ok(())
}

/// Refuses to replace anything but text by text: `-o *.mp4` must not cost a film.
pub fn text_only<'a>(written: impl IntoIterator<Item = &'a Path>) -> Result<(), String> {
    let is_text = |path: &Path| {
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
        let broken = std::str::from_utf8(&head).is_err_and(|e| e.error_len().is_some());
        read.is_err() || !(head.contains(&0) || broken)
    };
    match written.into_iter().find(|path| path.is_file() && !is_text(path)) {
        Some(path) => {
            Err(format!("{}: is no UTF-8 text and would be overwritten", shown::path(path)))
        }
        None => Ok(()),
    }
}

/// The file however it is spelt, also one that is not there yet.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    path.canonicalize().unwrap_or_else(|_| match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    })
}

/// Whether the name ends so, in small letters or capitals.
pub fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    endings.iter().any(|known| ending == *known)
}

/// It is one already, or its name says that it is to be one.
pub fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// `FOLDER/NAME` with an ending more.
pub fn in_folder(folder: &Path, name: &Path, ending: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(ending);
    folder.join(name)
}

pub fn create_folder(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|e| format!("{}: cannot be created: {e}", shown::path(path)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    #[test]
    fn a_pipe_is_written_and_stays_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        Output::new(&pipe).unwrap().fill("seen").unwrap();
        assert_eq!(reader.join().unwrap(), "seen");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        drop(Output::new(&pipe).unwrap());
        assert!(pipe.exists(), "one that was not finished goes nowhere either");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let Err(told) = Output::new(&folder.path().join("x".repeat(300))) else {
            panic!("a name of 300 bytes is too long");
        };
        assert!(told.contains(": cannot be written: "), "{told}");
        drop(Output::new(&folder.path().join("x")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn half_a_line_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (written, kept) in [("1\n2\n", "1\n2\n"), ("1\n22", "1\n"), ("1", ""), ("", "")] {
            let output = Output::new(&path).unwrap();
            output.create().unwrap().write_all(written.as_bytes()).unwrap();
            output.finish_lines().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), kept);
        }
    }

    #[test]
    fn text_replaces_nothing_but_text() {
        let folder = tempfile::tempdir().unwrap();
        let (film, records) = (folder.path().join("a.mp4"), folder.path().join("a.jsonl"));
        fs::write(&film, b"\0\0\0\x20ftypisom").unwrap();
        text_only([film.as_path()]).unwrap_err();
        fs::write(&film, b"P6 1 1 255\n\xff\xff\xff").unwrap();
        let told = text_only([records.as_path(), &film]).err().unwrap();
        assert!(told.ends_with("a.mp4: is no UTF-8 text and would be overwritten"), "{told}");
        fs::write(&records, "{}\n").unwrap();
        text_only([records.as_path(), Path::new("/dev/zero")]).unwrap();
    }

    #[test]
    fn one_file_for_one_thing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let refused = |written: &[PathBuf], read: &[PathBuf]| {
            let paths = |all: &[PathBuf]| all.to_vec();
            let (written, read) = (paths(written), paths(read));
            distinct(written.iter().map(PathBuf::as_path), read.iter().map(PathBuf::as_path))
                .err()
                .unwrap_or_default()
        };
        fs::write(at("old"), "").unwrap();
        symlink(at("old"), at("link")).unwrap();
        assert_eq!(refused(&[at("a"), at("b")], &[at("old"), at("a")]), "", "`a` is not there yet");
        assert!(refused(&[at("a"), at("./a")], &[]).ends_with("a: would be written twice"));
        assert!(
            refused(&[at("link")], &[at("old")])
                .ends_with("link: is an input and would be overwritten")
        );
        assert!(refused(&[at("link"), at("old")], &[]).ends_with("old: would be written twice"));
        assert_eq!(refused(&["/dev/null".into(), "/dev/null".into()], &[]), "");
    }

    #[test]
    fn through_a_link_the_file_is_replaced_and_not_the_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        Output::new(&link).unwrap().fill("new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_others_have_written_to_an_open_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = File::options().create(true).append(true).open(&path).unwrap();
        log.write_all(b"first ").unwrap();
        let name = format!("/proc/self/fd/{}", log.as_raw_fd());
        Output::new(Path::new(&name)).unwrap().fill("ours").unwrap();
        log.write_all(b" last").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first ours last");
    }
}
