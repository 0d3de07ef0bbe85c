// SPDX-License-Identifier: MPL-2.0

//! Facial expressions over time in live video: a GStreamer plugin and the library under it.
//!
//! [`core`] holds the method (tracking, clips, key re-sampling, agreement, decision) and knows
//! neither GStreamer nor an inference runtime; [`runtime`] runs the networks; the other modules,
//! present with the default feature `plugin`, are the elements.

pub mod core;
pub mod runtime;

#[cfg(feature = "plugin")]
pub mod dferextractor;
#[cfg(feature = "plugin")]
pub mod dferfilter;
#[cfg(feature = "plugin")]
pub mod dferoverlay;
#[cfg(feature = "plugin")]
pub mod dferrecorder;
#[cfg(all(feature = "plugin", feature = "tensorrt"))]
pub mod dfertrtfilter;
#[cfg(feature = "plugin")]
pub mod filter;
#[cfg(feature = "plugin")]
pub mod meta;
#[cfg(feature = "plugin")]
mod records;

#[cfg(feature = "plugin")]
fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    meta::register();
    dferextractor::register(plugin)?;
    dferfilter::register(plugin)?;
    dferoverlay::register(plugin)?;
    #[cfg(feature = "tensorrt")]
    dfertrtfilter::register(plugin)?;
    dferrecorder::register(plugin)
}

#[cfg(feature = "plugin")]
gst::plugin_define!(
    dfer,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL-2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("BUILD_REL_DATE")
);
