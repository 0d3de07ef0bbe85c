// SPDX-License-Identifier: MPL-2.0

//! `dfer generate`: manual pages and shell completions, for packages to install.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap_complete::Shell;

use crate::shown;

/// Write manual pages and shell completions below a folder, laid out as below /usr.
#[derive(clap::Args)]
pub struct Arguments {
    folder: PathBuf,
}

/// Folder and file of each shell's completions.
const COMPLETIONS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions", "dfer"),
    (Shell::Zsh, "share/zsh/vendor-completions", "_dfer"),
    (Shell::Fish, "share/fish/vendor_completions.d", "dfer.fish"),
];

/// `command` is the definition of the whole program.
pub fn run(arguments: &Arguments, mut command: clap::Command) -> Result<bool, String> {
    // First: completions add the command "help", which needs no page.
    let folder = create(&arguments.folder.join("share/man/man1"))?;
    clap_mangen::generate_to(command.clone(), &folder)
        .map_err(|e| format!("{}: cannot be written: {e}", shown::path(&folder)))?;
    for (shell, folder, file) in COMPLETIONS {
        let folder = create(&arguments.folder.join(folder))?;
        let path = folder.join(file);
        let told = |e| format!("{}: cannot be written: {e}", shown::path(&path));
        let mut target = File::create(&path).map_err(told)?;
        clap_complete::generate(shell, &mut command, "dfer", &mut target);
        target.sync_all().map_err(told)?;
    }
    Ok(true)
}

fn create(folder: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(folder)
        .map_err(|e| format!("{}: cannot be created: {e}", shown::path(folder)))?;
    Ok(folder.to_owned())
}
