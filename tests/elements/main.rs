// SPDX-License-Identifier: MPL-2.0

//! The elements and the metadata, from outside: harnesses and small pipelines.

mod batching;
#[path = "../common/mod.rs"]
mod common;
mod extractor;
mod filter;
mod live;
mod meta;
mod models;
mod muxed;
mod onvif;
mod overlay;
mod privacy;
mod properties;
mod recorder;
#[cfg(feature = "v1_24")]
mod relation;
mod scales;
mod studio;
#[cfg(feature = "tensorrt")]
mod tensorrt;
mod untouched;

/// GStreamer with the elements of this library, from the test binary itself.
pub fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        // A GLib critical ends the tests, as with G_DEBUG=fatal_criticals.
        glib::log_set_always_fatal(glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_ERROR);
        gstdfer::plugin_register_static().unwrap();
    });
}
