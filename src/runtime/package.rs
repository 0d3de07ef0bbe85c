// SPDX-License-Identifier: MPL-2.0

//! A model with everything that belongs to it: `model.toml` and the graphs it names.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::built_in::BuiltIn;
use super::contract::{Description, GraphFile, Kind};
use crate::core::Error;

/// The largest `model.toml`, in bytes.
pub const TOML_LIMIT: u64 = 64 << 10;
/// The largest graph, in bytes.
pub const GRAPH_LIMIT: u64 = 512 << 20;

const FILE_NAME: &str = "model.toml";

/// A model as read and verified, not yet loaded.
#[derive(Debug)]
pub struct Package {
    /// Names the model in errors: its path, or that it is built in.
    pub label: String,
    /// The text of the `model.toml`.
    pub toml: String,
    pub description: Description,
    /// In the order of [`Kind::graphs`].
    pub graphs: Vec<GraphBytes>,
    /// SHA-256 over everything read, in hex: equal packages are the same model.
    pub content: String,
}

/// One verified ONNX file.
#[derive(Debug)]
pub struct GraphBytes {
    /// Names the graph in errors.
    pub label: String,
    pub onnx: Cow<'static, [u8]>,
}

impl Package {
    /// Opens a `model.toml`, or the one in a folder, and the graphs beside it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let toml = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        if toml.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx")) {
            let reason =
                format!("this is a graph; give the {FILE_NAME} that describes it, or its folder");
            return Err(Error::File { path: toml, reason });
        }
        let hint = format!("a model is a {FILE_NAME} with its graphs beside it");
        let bytes = read(&toml, TOML_LIMIT, &hint)?;
        let text = String::from_utf8(bytes).map_err(|e| Error::File {
            path: toml.clone(),
            reason: format!("it is not UTF-8 text from byte {} on", e.utf8_error().valid_up_to()),
        })?;
        let folder = match toml.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        Self::assemble(&toml.display().to_string(), &text, |graph| {
            let path = inside(folder, graph)?;
            let hint = format!("{} names it", toml.display());
            let bytes = read(&path, GRAPH_LIMIT, &hint)?;
            Ok(GraphBytes { label: path.display().to_string(), onnx: bytes.into() })
        })
    }

    /// Opens a model that is part of the library.
    pub fn built_in(model: &BuiltIn) -> Result<Self, Error> {
        let label = model.label;
        Self::assemble(label, model.toml, |graph| {
            let found = model.files.iter().find(|(name, _)| *name == graph.file);
            let (name, bytes) = found.ok_or_else(|| Error::Model {
                model: label.to_owned(),
                reason: format!("{} is not part of the library", graph.file),
            })?;
            Ok(GraphBytes { label: format!("{label} {name}"), onnx: Cow::Borrowed(*bytes) })
        })
    }

    fn assemble(
        label: &str,
        text: &str,
        fetch: impl Fn(&GraphFile) -> Result<GraphBytes, Error>,
    ) -> Result<Self, Error> {
        let mut description = Description::parse(label, text)?;
        let (mut content, mut all) = (Sha256::new_with_prefix(text), Sha256::new());
        let mut graphs = Vec::new();
        for graph in &description.graphs {
            let bytes = fetch(graph)?;
            verify(label, graph, &bytes.onnx)?;
            all.update(&bytes.onnx);
            content.update(&graph.sha256);
            graphs.push(bytes);
        }
        let hash = hex(all);
        let id = format!("{}@{}", description.name, &hash[..12]);
        match &mut description.kind {
            Kind::Detector { spec, .. } => spec.model = id,
            Kind::Factored(spec) | Kind::Clip { spec, .. } => spec.model = id,
        }
        Ok(Self {
            label: label.to_owned(),
            toml: text.to_owned(),
            description,
            graphs,
            content: hex(content),
        })
    }

    /// `name@hash`: the name and the first 12 hex digits of the SHA-256 over the graphs.
    pub fn id(&self) -> &str {
        match &self.description.kind {
            Kind::Detector { spec, .. } => &spec.model,
            Kind::Factored(spec) | Kind::Clip { spec, .. } => &spec.model,
        }
    }

    /// The error that says what is wrong with this model.
    pub fn refused(&self, reason: String) -> Error {
        Error::Model { model: self.label.clone(), reason }
    }
}

fn verify(label: &str, graph: &GraphFile, bytes: &[u8]) -> Result<(), Error> {
    let found = hex(Sha256::new_with_prefix(bytes));
    if found == graph.sha256 {
        return Ok(());
    }
    Err(Error::Model {
        model: label.to_owned(),
        reason: format!(
            "{} has the SHA-256 {found}, but {} is written down; put back the file that belongs to this \
             model, or correct sha256 if you changed it yourself",
            graph.file, graph.sha256
        ),
    })
}

/// The graph's path; links that lead out of the folder are refused.
fn inside(folder: &Path, graph: &GraphFile) -> Result<PathBuf, Error> {
    let path = folder.join(&graph.file);
    if let (Ok(folder), Ok(real)) = (folder.canonicalize(), path.canonicalize())
        && !real.starts_with(&folder)
    {
        let reason =
            "it is a link to a place outside the model's folder; put the file itself there";
        return Err(Error::File { path, reason: reason.to_owned() });
    }
    Ok(path)
}

/// The whole of a regular file of at most `limit` bytes. `hint` says why it is wanted.
fn read(path: &Path, limit: u64, hint: &str) -> Result<Vec<u8>, Error> {
    let refused = |reason: String| Error::File { path: path.to_owned(), reason };
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => refused(format!("there is no such file; {hint}")),
        _ => refused(e.to_string()),
    };
    // Asked first because opening a pipe would wait for a writer.
    let about = fs::metadata(path).map_err(failed)?;
    if about.is_dir() {
        return Err(refused(format!("it is a folder where a file should be; {hint}")));
    }
    if !about.is_file() {
        return Err(refused(format!("it is not a regular file; {hint}")));
    }
    let too_large =
        || refused(format!("it is larger than the {limit} bytes that are accepted; {hint}"));
    if about.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // It may have grown since.
    File::open(path).and_then(|f| f.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.is_empty() {
        return Err(refused(format!("it is empty; {hint}")));
    }
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
