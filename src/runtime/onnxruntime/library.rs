// SPDX-License-Identifier: MPL-2.0

//! ONNX Runtime's own library: where it is looked for, and how it becomes part of the process.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use libloading::Library;
use once_cell::sync::OnceCell;
use ort::environment::Environment;
use ort::logging::LogLevel;

use super::{guarded, unloadable};
use crate::core::Error;

/// Names the library's path, or the folder that it lies in.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";
/// The oldest version that is accepted: 1.x.
pub const OLDEST: u32 = ort::MINOR_VERSION;
/// How to get it, for errors.
pub const ADVICE: &str = "`pip install onnxruntime-gpu` brings it (for the CPU alone: `pip install onnxruntime`); \
    the property `library` or the environment variable ORT_DYLIB_PATH may name its path or the \
    virtual environment; docs/tensorrt.md tells the rest";

const ABSENT: &str = "there is no such file";
const NAME: &str = "libonnxruntime.so";
/// In a folder of Python packages.
const IN_PACKAGES: &str = "onnxruntime/capi";

/// The library in this process. There is never another one: ONNX Runtime allows one environment.
pub struct Runtime {
    pub environment: Environment,
    /// Where it was loaded from.
    pub path: PathBuf,
    /// As the library tells, `1.32.0`.
    pub version: String,
    /// Held while a provider is set up, so that what is logged meanwhile is about that one.
    pub setup: Mutex<()>,
    /// What was tried before.
    pub tried: Vec<Attempt>,
}

static LOADED: OnceCell<Runtime> = OnceCell::new();

/// A place that holds no usable library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// A path, or a bare name that the system's loader looks for.
    pub path: PathBuf,
    pub failure: String,
}

impl Attempt {
    pub fn parts(&self) -> (PathBuf, String) {
        (self.path.clone(), self.failure.clone())
    }
}

/// The library, loaded now unless it is there already.
///
/// # Errors
/// With everything that was tried, and how to get it.
pub fn load(asked: Option<&Path>) -> Result<&'static Runtime, Error> {
    find(asked).map_err(|tried| {
        let tried: Vec<String> =
            tried.iter().map(|a| format!("{}: {}", a.path.display(), a.failure)).collect();
        refused(format!("its library could not be loaded ({}); {ADVICE}", tried.join("; ")))
    })
}

/// The same; the error is what was tried.
pub fn find(asked: Option<&Path>) -> Result<&'static Runtime, Vec<Attempt>> {
    if let (Some(loaded), Some(path)) = (LOADED.get(), asked) {
        let failure = match resolve(path) {
            Some(path) if same_file(&path, &loaded.path) => return Ok(loaded),
            Some(_) => {
                format!("this process already uses {} and can use only one", loaded.path.display())
            }
            None => ABSENT.to_owned(),
        };
        return Err(vec![Attempt { path: path.to_owned(), failure }]);
    }
    LOADED.get_or_try_init(|| {
        let mut tried = Vec::new();
        for path in places(asked) {
            match open(&path) {
                Ok((environment, version)) => {
                    // A name as the user gave it; of a bare one, what the loader found.
                    let bare = path.components().count() == 1;
                    let path = if bare { mapped(NAME).unwrap_or(path) } else { path };
                    return Ok(Runtime {
                        environment,
                        path,
                        version,
                        setup: Mutex::default(),
                        tried,
                    });
                }
                Err(failure) => tried.push(Attempt { path, failure }),
            }
        }
        Err(tried)
    })
}

/// Folders of Python packages where the libraries of CUDA and TensorRT may lie: the one with
/// ONNX Runtime in it first.
pub fn packages(library: &Path) -> Vec<PathBuf> {
    let beside = library
        .parent()
        .filter(|folder| folder.ends_with(IN_PACKAGES))
        .and_then(|folder| folder.ancestors().nth(2))
        .map(Path::to_owned);
    let mut all: Vec<PathBuf> = beside.into_iter().collect();
    for folder in python_packages() {
        if !all.contains(&folder) {
            all.push(folder);
        }
    }
    all
}

/// Errors that ONNX Runtime has logged since this was last asked: its calls often fail with less
/// than they log.
pub fn logged() -> Vec<String> {
    std::mem::take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner)).into()
}

static LOG: LazyLock<Mutex<VecDeque<String>>> = LazyLock::new(Mutex::default);

fn log(level: LogLevel, _: &str, _: &str, _: &str, text: &str) {
    const MOST: usize = 16;
    if level < LogLevel::Error {
        return;
    }
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == MOST {
        log.pop_front();
    }
    log.push_back(text.to_owned());
}

/// The candidates, best first; only one when somebody named it.
fn places(asked: Option<&Path>) -> Vec<PathBuf> {
    let variable = || std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = asked.map(Path::to_owned).or_else(variable) {
        return vec![resolve(&path).unwrap_or(path)];
    }
    let in_packages = |folder: PathBuf| in_folder(&folder.join(IN_PACKAGES));
    let environment = virtual_environment().map(|root| folders_of(&root)).unwrap_or_default();
    let mut all: Vec<PathBuf> = environment.into_iter().filter_map(in_packages).collect();
    // The loader knows LD_LIBRARY_PATH and the system's folders.
    all.extend([NAME.into(), format!("{NAME}.1").into()]);
    for path in python_packages().into_iter().filter_map(in_packages) {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    all
}

fn virtual_environment() -> Option<PathBuf> {
    std::env::var_os("VIRTUAL_ENV").filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// Folders that pip and Debian install Python packages into, those that exist.
fn python_packages() -> Vec<PathBuf> {
    let user = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local"));
    let roots = virtual_environment().into_iter().chain(user);
    roots.chain(["/usr/local".into(), "/usr".into()]).flat_map(|root| folders_of(&root)).collect()
}

fn folders_of(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root.join("lib")) else { return Vec::new() };
    let mut pythons: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("python3"))
        .map(|e| e.path())
        .collect();
    pythons.sort();
    let folders = pythons
        .into_iter()
        .rev()
        .flat_map(|python| ["site-packages", "dist-packages"].map(|name| python.join(name)));
    folders.filter(|folder| folder.is_dir()).collect()
}

/// The library itself, from its path, its folder, or a virtual environment.
fn resolve(path: &Path) -> Option<PathBuf> {
    if !path.is_dir() {
        return path.exists().then(|| path.to_owned());
    }
    let packages = folders_of(path).into_iter().map(|folder| folder.join(IN_PACKAGES));
    let folders = [path.to_owned(), path.join("capi"), path.join("lib")];
    folders.into_iter().chain(packages).find_map(|folder| in_folder(&folder))
}

fn in_folder(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            name.is_some_and(|name| name == NAME || name.starts_with("libonnxruntime.so.1"))
        })
        .collect();
    found.sort();
    found.into_iter().next_back()
}

fn open(path: &Path) -> Result<(Environment, String), String> {
    if path.components().count() > 1 && !path.exists() {
        return Err(ABSENT.to_owned());
    }
    guarded(|| {
        let (library, version) = version(path)?;
        let mut parts = version.split('.').map(str::parse::<u32>);
        let fits = matches!((parts.next(), parts.next()),
            (Some(Ok(1)), Some(Ok(minor))) if minor >= OLDEST);
        if !fits {
            return Err(format!("it is version {version}, 1.{OLDEST} or a newer 1.x is wanted"));
        }
        // One handle stays: unloading and loading again runs its initialisation twice.
        std::mem::forget(library);
        let builder = ort::init_from(path).map_err(|e| e.to_string())?;
        // Nothing of ours ever tells anybody anything.
        let builder = builder.with_name("dfer").with_telemetry(false).with_logger(Arc::new(log));
        let environment = builder.build().map_err(|e| e.to_string())?;
        environment.set_log_level(LogLevel::Error);
        Ok((environment, version))
    })
}

/// What the library says that it is.
fn version(path: &Path) -> Result<(Library, String), String> {
    type Entry = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: loading runs the library's own initialisation, which is what the user asked for; the
    // entry point has had this signature in every version, and its text is the library's own.
    unsafe {
        let library = Library::new(path).map_err(|e| unloadable(&e))?;
        let entry = library
            .get::<Entry>(c"OrtGetApiBase")
            .map_err(|_| "it is not ONNX Runtime: it has no OrtGetApiBase".to_owned())?;
        let base = entry().as_ref().ok_or("its OrtGetApiBase answers nothing")?;
        let version = (base.GetVersionString)();
        if version.is_null() {
            return Err("it does not tell its version".to_owned());
        }
        let version = CStr::from_ptr(version).to_string_lossy().into_owned();
        Ok((library, version))
    }
}

/// Where the system found the library of this name, with any version, that is in the process now.
pub fn mapped(name: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let wanted = format!("/{name}");
    let line = maps.lines().find(|line| line.contains(&wanted))?;
    Some(PathBuf::from(&line[line.find('/')?..]))
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The error that ONNX Runtime cannot be used.
pub fn refused(reason: String) -> Error {
    Error::Runtime { runtime: "ONNX Runtime".to_owned(), reason }
}
