// SPDX-License-Identifier: MPL-2.0

//! Progress on a terminal; nothing is drawn elsewhere.

use std::path::Path;

use gstdfer::core::types::SECOND;
use indicatif::{ProgressBar, ProgressStyle};

use crate::player::Progress;
use crate::shown;

/// For one file.
pub fn file(input: &Path) -> ProgressBar {
    // Of unknown length until the first look; nothing would count as all of nothing.
    let bar = styled(1, "{msg} [{bar:30}] {percent}% {prefix}, {eta} left");
    bar.set_message(shown::name(input));
    bar
}

pub fn show(bar: &ProgressBar, progress: &Progress) {
    let (Some(position), Some(duration)) = (progress.position, progress.duration) else { return };
    bar.set_length(duration.nseconds());
    bar.set_position(position.nseconds());
    let speed = position.nseconds() as f64 / SECOND as f64 / bar.elapsed().as_secs_f64().max(0.1);
    bar.set_prefix(format!("{speed:.1} x real time"));
}

/// For many samples.
pub fn samples(count: usize) -> ProgressBar {
    styled(count as u64, "[{bar:30}] {pos} of {len} samples, {per_sec}, {eta} left")
}

fn styled(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}
