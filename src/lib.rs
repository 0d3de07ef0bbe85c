// SPDX-License-Identifier: MPL-2.0

//! Facial expressions over time in live video: a GStreamer plugin and the library under it.
//!
//! [`core`] holds the method (tracking, clips, key re-sampling, agreement, decision) and knows
//! neither GStreamer nor an inference runtime; [`runtime`] runs the networks; the other modules,
//! present with the default feature `plugin`, are the elements.

pub mod core;
pub mod runtime;

