// SPDX-License-Identifier: MPL-2.0

//! The method, free of GStreamer and of any inference runtime.
//!
//! A frame goes through [`engine::Engine`], which tracks faces and says what has to be computed;
//! [`analyst::Analyst`] computes it (in line or on a thread of its own) with the networks behind
//! the traits of [`networks`]; the engine turns the answers into one [`result::Expression`] per
//! face and frame.

pub mod aggregate;
pub mod agreement;
pub mod analyst;
pub mod crop;
pub mod decide;
pub mod decision;
pub mod detection;
pub mod engine;
pub mod error;
pub mod find;
pub mod history;
pub mod networks;
pub mod palette;
pub mod pixels;
pub mod record;
pub mod refine;
pub mod result;
pub mod sampling;
pub mod scene;
pub mod tracker;
pub mod types;

pub use error::Error;
pub use types::{Landmarks, Ns, Point, Rect};
