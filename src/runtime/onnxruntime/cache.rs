// SPDX-License-Identifier: MPL-2.0

//! Built engines, kept from one run to the next.
//!
//! A folder holds one folder per [`Identity`], named after the identity's hash: the files that the
//! provider wrote, and `manifest.json` with the identity in full and the SHA-256 of every file.
//! What does not match is never given to a provider: an engine of another GPU or version, or one
//! that was cut short, may crash it. New engines are built in a folder of their own and renamed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "manifest.json";
const SCHEMA: &str = "dfer-engine/1";
/// Folders under construction begin with this.
const BUILDING: &str = ".building-";
/// What is older was left behind by a process that died.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Everything that an engine depends on, as names and values.
pub type Identity = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
struct Manifest {
    schema: String,
    engine: Identity,
    /// SHA-256 in hex by file name.
    files: BTreeMap<String, String>,
}

/// One engine's place in a cache.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    identity: Identity,
}

/// A folder to build engines in. Removed when dropped, unless kept.
#[derive(Debug)]
pub struct Building {
    folder: PathBuf,
    cache: Cache,
}

impl Cache {
    pub fn new(root: &Path, identity: Identity) -> Self {
        Self { root: root.to_owned(), identity }
    }

    /// Where the engine lies when there is one.
    pub fn folder(&self) -> PathBuf {
        let text: String = self.identity.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
        self.root.join(&hex(&Sha256::digest(text))[..32])
    }

    /// The folder with the engine if it is whole and for exactly this identity.
    pub fn find(&self) -> Option<PathBuf> {
        let folder = self.folder();
        self.verify(&folder).ok().map(|()| folder)
    }

    fn verify(&self, folder: &Path) -> Result<(), io::Error> {
        let wrong = || io::Error::other("the engine is not the one that was kept");
        let text = fs::read(folder.join(MANIFEST))?;
        let manifest: Manifest = serde_json::from_slice(&text)?;
        if manifest.schema != SCHEMA
            || manifest.engine != self.identity
            || manifest.files.is_empty()
        {
            return Err(wrong());
        }
        if files(folder)? == manifest.files { Ok(()) } else { Err(wrong()) }
    }

    /// A folder for a new engine, with a copy of what is in `seed`.
    ///
    /// # Errors
    /// When the cache cannot be written, with the reason.
    pub fn build(&self, seed: Option<&Path>) -> Result<Building, String> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |e: io::Error| format!("{} cannot be written: {e}", self.root.display());
        fs::create_dir_all(&self.root).map_err(failed)?;
        self.sweep();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = self.root.join(format!("{BUILDING}{}-{count}", std::process::id()));
        // Of a process of that number that died.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(failed)?;
        let building = Building { folder, cache: self.clone() };
        for name in seed.map(files).transpose().map_err(failed)?.unwrap_or_default().keys() {
            let from = seed.map(|seed| seed.join(name)).unwrap_or_default();
            fs::copy(from, building.folder.join(name)).map_err(failed)?;
        }
        Ok(building)
    }

    /// Removes the engine, so that nobody finds it again.
    pub fn discard(&self) -> Result<(), String> {
        let folder = self.folder();
        let removed = match folder.is_file() {
            true => fs::remove_file(&folder),
            false => fs::remove_dir_all(&folder),
        };
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(format!("{} cannot be removed: {e}", folder.display()))
            }
            _ => Ok(()),
        }
    }

    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let old = entry.metadata().and_then(|m| m.modified()).is_ok_and(|changed| {
                SystemTime::now().duration_since(changed).is_ok_and(|age| age > STALE)
            });
            if old && entry.file_name().to_string_lossy().starts_with(BUILDING) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Building {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts the engine in its place, over one that is not usable. Nothing was built: nothing is
    /// kept. Where another process was faster, its engine stays.
    pub fn keep(self) -> Result<(), String> {
        let folder = self.cache.folder();
        let failed = |e: io::Error| format!("{} cannot be written: {e}", folder.display());
        let files = files(&self.folder).map_err(failed)?;
        let same =
            || self.cache.find().is_some_and(|kept| self::files(&kept).is_ok_and(|f| f == files));
        if files.is_empty() || same() {
            return Ok(());
        }
        let engine = self.cache.identity.clone();
        let manifest = Manifest { schema: SCHEMA.to_owned(), engine, files };
        let text = serde_json::to_vec_pretty(&manifest).map_err(|e| failed(e.into()))?;
        fs::write(self.folder.join(MANIFEST), text).map_err(failed)?;
        self.cache.discard()?;
        match fs::rename(&self.folder, &folder) {
            Err(_) if self.cache.find().is_some() => Ok(()),
            other => other.map_err(failed),
        }
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // Already renamed when it was kept.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// SHA-256 of every file but the manifest, by name.
fn files(folder: &Path) -> Result<BTreeMap<String, String>, io::Error> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != MANIFEST && entry.file_type()?.is_file() {
            let mut hash = Sha256::new();
            io::copy(&mut fs::File::open(entry.path())?, &mut hash)?;
            found.insert(name, hex(&hash.finalize()));
        }
    }
    Ok(found)
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
