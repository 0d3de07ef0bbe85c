// SPDX-License-Identifier: MPL-2.0

//! The file, and the thread that writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Pieces that may wait for the disk; a few seconds of a busy stream. When they are full, the
/// stream waits for one piece to be written.
const QUEUE: usize = 1024;

/// Writes pieces of text, each wholly or not at all, and the format's footer after the last one.
pub(super) struct Writer {
    queue: SyncSender<Job>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// Said by the thread, read by the element.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    waiting: AtomicU64,
    failed: AtomicBool,
}

enum Job {
    Write(String),
    /// Answered when everything before it is in the file.
    Flush(SyncSender<()>),
    Stop,
}

/// The thread has given up; it has told `on_error` why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

/// What the file is to be.
pub(super) struct Target<'a> {
    pub path: &'a Path,
    /// Keep what is there.
    pub append: bool,
    /// First text of an empty file.
    pub header: &'a str,
    /// Last text of the file; overwritten by the next piece, so that the file is whole always.
    pub footer: &'static str,
}

impl Writer {
    /// Opens the file and writes its header. `on_error` is called once if writing fails later.
    pub fn open(
        target: &Target<'_>,
        on_error: impl FnOnce(gst::ErrorMessage) + Send + 'static,
    ) -> Result<Self, gst::ErrorMessage> {
        let file = Output::open(target).map_err(|err| open_error(target.path, &err))?;
        let shared = Arc::new(Shared::default());
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("dferrecorder".into())
            .spawn({
                let shared = shared.clone();
                move || run(file, &jobs, &shared, on_error)
            })
            .map_err(|err| open_error(target.path, &err))?;
        Ok(Self { queue, thread: Some(thread), shared })
    }

    /// Hands a piece over; waits only while the queue is full.
    pub fn write(&self, text: String) -> Result<(), Failed> {
        if self.has_failed() {
            return Err(Failed);
        }
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.send(Job::Write(text)).map_err(|_| Failed)
    }

    /// Waits until everything handed over is in the file.
    pub fn flush(&self) -> Result<(), Failed> {
        let (answer, done) = sync_channel(1);
        self.queue.send(Job::Flush(answer)).map_err(|_| Failed)?;
        done.recv().map_err(|_| Failed)?;
        if self.has_failed() { Err(Failed) } else { Ok(()) }
    }

    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Bytes written since the file was opened, header and footer left out.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Pieces that wait for the disk.
    pub fn waiting(&self) -> u64 {
        self.shared.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    /// Writes what still waits, then ends the thread.
    fn drop(&mut self) {
        let _ = self.queue.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    mut file: Output,
    jobs: &Receiver<Job>,
    shared: &Shared,
    on_error: impl FnOnce(gst::ErrorMessage),
) {
    let mut on_error = Some(on_error);
    for job in jobs {
        match job {
            Job::Write(text) => {
                // After a failure the rest is thrown away, so that nobody waits for ever.
                if on_error.is_some() {
                    match file.write(&text) {
                        Ok(()) => _ = shared.bytes.fetch_add(text.len() as u64, Ordering::Relaxed),
                        Err(err) => {
                            shared.failed.store(true, Ordering::Release);
                            if let Some(tell) = on_error.take() {
                                tell(write_error(&file.path, &err));
                            }
                        }
                    }
                }
                shared.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            Job::Flush(answer) => _ = answer.send(()),
            Job::Stop => break,
        }
    }
}

struct Output {
    path: PathBuf,
    file: File,
    footer: &'static str,
    /// Where the next piece goes; `None` for pipes and the like, which only ever grow.
    end: Option<u64>,
}

impl Output {
    fn open(target: &Target<'_>) -> io::Result<Self> {
        let Target { path, append, header, footer } = *target;
        let mut file = OpenOptions::new()
            .read(append)
            .write(true)
            .create(true)
            .truncate(!append)
            .open(path)?;
        let regular = file.metadata()?.is_file();
        let end = if regular { Some(file.seek(SeekFrom::End(0))?) } else { None };
        let mut output = Self { path: path.to_owned(), file, footer, end };
        match end {
            // A line that was cut short, by another program, is closed but not taken away.
            Some(size) if size > 0 && !output.ends_with_newline()? => output.write("\n")?,
            Some(size) if size > 0 => (),
            _ if header.is_empty() && footer.is_empty() => (),
            _ => output.write(header)?,
        }
        Ok(output)
    }

    fn ends_with_newline(&mut self) -> io::Result<bool> {
        use std::io::Read;
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }

    /// All of the text and the footer, or an error and the file as it was.
    fn write(&mut self, text: &str) -> io::Result<()> {
        let Some(end) = self.end else {
            return self.file.write_all(text.as_bytes());
        };
        self.file.seek(SeekFrom::Start(end))?;
        let whole =
            if self.footer.is_empty() { text.into() } else { text.to_owned() + self.footer };
        if let Err(err) = self.file.write_all(whole.as_bytes()) {
            self.file.set_len(end)?;
            self.file.seek(SeekFrom::Start(end))?;
            self.file.write_all(self.footer.as_bytes())?;
            return Err(err);
        }
        self.end = Some(end + text.len() as u64);
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.end.is_none() && !self.footer.is_empty() {
            // Where nothing can be overwritten the footer comes last of all.
            let _ = self.file.write_all(self.footer.as_bytes());
        }
    }
}

fn open_error(path: &Path, err: &io::Error) -> gst::ErrorMessage {
    let text = format!("cannot open {} for writing: {err}", path.display());
    match err.kind() {
        io::ErrorKind::StorageFull => gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{text}")),
        _ => gst::error_msg!(gst::ResourceError::OpenWrite, ("{text}")),
    }
}

fn write_error(path: &Path, err: &io::Error) -> gst::ErrorMessage {
    let text = format!(
        "cannot write to {}: {err}; records before this one are in the file",
        path.display()
    );
    match err.kind() {
        io::ErrorKind::StorageFull => gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{text}")),
        _ => gst::error_msg!(gst::ResourceError::Write, ("{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn target<'a>(path: &'a Path, append: bool, footer: &'static str) -> Target<'a> {
        Target { path, append, header: "head\n", footer }
    }

    #[test]
    fn the_footer_is_always_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let writer = Writer::open(&target(&path, false, "end\n"), |err| panic!("{err:?}")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\nend\n");
        for i in 0..3 {
            writer.write(format!("{i}\n")).unwrap();
        }
        writer.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\n0\n1\n2\nend\n");
        assert_eq!((writer.bytes(), writer.waiting()), (6, 0));
    }

    #[test]
    fn appending_keeps_and_closes_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::fs::write(&path, "head\n1\n{\"cut\":").unwrap();
        let writer = Writer::open(&target(&path, true, ""), |err| panic!("{err:?}")).unwrap();
        writer.write("2\n".into()).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\n1\n{\"cut\":\n2\n");
    }

    #[test]
    fn dropping_writes_what_still_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let writer = Writer::open(&target(&path, false, ""), |err| panic!("{err:?}")).unwrap();
        for _ in 0..5000 {
            writer.write("line\n".into()).unwrap();
        }
        drop(writer);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 5001);
    }

    #[test]
    fn a_full_device_is_told_once_and_hangs_nobody() {
        let (tell, told) = channel();
        let full = Target { path: Path::new("/dev/full"), append: false, header: "", footer: "" };
        let writer = Writer::open(&full, move |err| tell.send(err).unwrap()).unwrap();
        let _ = (0..QUEUE * 2).map(|_| writer.write("line\n".into())).collect::<Vec<_>>();
        assert_eq!(writer.flush(), Err(Failed));
        assert_eq!(writer.write("line\n".into()), Err(Failed));
        drop(writer);
        assert_eq!(told.iter().count(), 1);
    }

    #[test]
    fn places_that_cannot_be_written_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let err = Writer::open(&target(dir.path(), false, ""), |_| ()).err().unwrap();
        let text = format!("{err:?}");
        assert!(
            text.contains(dir.path().to_str().unwrap()) && text.contains("directory"),
            "{text}"
        );
    }
}
