// SPDX-License-Identifier: MPL-2.0

//! Ctrl-C: the first one ends the work in an orderly way, the second one at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Exit status after an interrupt, as shells know it.
pub const INTERRUPTED: u8 = 130;

/// Whether the work is to end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// From here on, SIGINT and SIGTERM are noted instead of ending the program.
pub fn watch() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that only the second signal finds the flag set.
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), REQUESTED.clone())?;
        flag::register(signal, REQUESTED.clone())?;
    }
    Ok(())
}
