// SPDX-License-Identifier: MPL-2.0

//! Ctrl-C and SIGTERM end the work in an orderly way, a second Ctrl-C at once.

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
    // In this order, so that only the second signal finds the flag set. Not for SIGTERM: `timeout`
    // sends it twice at once.
    flag::register_conditional_shutdown(SIGINT, INTERRUPTED.into(), REQUESTED.clone())?;
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, REQUESTED.clone())?;
    }
    Ok(())
}
