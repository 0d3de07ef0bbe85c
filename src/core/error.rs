// SPDX-License-Identifier: MPL-2.0

use std::path::PathBuf;

/// What can go wrong below the elements. Every message names the culprit and what would be right.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A file that cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    /// A model description or graph that breaks the model contract.
    #[error("model {model} does not fit: {reason}")]
    Model { model: String, reason: String },
    /// A network that failed while running.
    #[error("network {network} failed: {reason}")]
    Inference { network: String, reason: String },
    /// A picture whose memory does not hold what its format and size promise.
    #[error("picture does not fit its description: {0}")]
    Picture(String),
    /// A runtime (a library or a device) that is not usable on this machine.
    #[error("{runtime} is not usable: {reason}")]
    Runtime { runtime: String, reason: String },
}
