// SPDX-License-Identifier: MPL-2.0

//! The elements and the metadata, from outside: harnesses and small pipelines.

mod meta;
mod overlay;
mod properties;
mod recorder;

/// GStreamer with the elements of this library, from the test binary itself.
pub fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstdfer::plugin_register_static().unwrap();
    });
}
