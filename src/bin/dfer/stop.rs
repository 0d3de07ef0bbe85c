// SPDX-License-Identifier: MPL-2.0

//! Ctrl-C and SIGTERM end the work in an orderly way; a second Ctrl-C, or a SIGTERM a second later, at once.

use std::io;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// When the first signal came.
static SINCE: OnceLock<Instant> = OnceLock::new();

/// `timeout` sends its signal twice at once; that is one request.
const TOGETHER: Duration = Duration::from_millis(100);
/// Who sends SIGTERM is no person in a hurry.
const LATER: Duration = Duration::from_secs(1);

/// Exit status after an interrupt, as shells know it.
pub const INTERRUPTED: u8 = 130;

/// Whether the work is to end.
pub fn requested() -> bool {
    SINCE.get().is_some()
}

/// For how long it has been to end.
pub fn since() -> Option<Duration> {
    SINCE.get().map(Instant::elapsed)
}

/// From here on, SIGINT and SIGTERM are noted instead of ending the program.
pub fn watch() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let note = move || {
        for signal in signals.forever() {
            let is_first = SINCE.set(Instant::now()).is_ok();
            let least = if signal == SIGINT { TOGETHER } else { LATER };
            if !is_first && since() > Some(least) {
                low_level::exit(INTERRUPTED.into());
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(note)?;
    Ok(())
}
