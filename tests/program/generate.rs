// SPDX-License-Identifier: MPL-2.0

use std::fs;

use crate::{dfer, names, stderr, stdout};

#[test]
fn every_command_has_a_manual_page_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let output = dfer(["generate".as_ref(), folder.path().as_os_str()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let help = stdout(&dfer(["--help"]));
    assert!(!help.contains("generate"), "for packages alone: {help}");
    let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    let (bash, zsh, fish) = (
        read("share/bash-completion/completions/dfer"),
        read("share/zsh/vendor-completions/_dfer"),
        read("share/fish/vendor_completions.d/dfer.fish"),
    );
    let mut pages = vec!["dfer.1".to_owned()];
    for command in ["analyze", "audit", "calibrate", "evaluate", "merge", "models"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        for completions in [&bash, &zsh, &fish] {
            assert!(completions.contains(command), "{command}");
        }
        pages.push(format!("dfer-{command}.1"));
    }
    pages.sort();
    assert_eq!(names(&folder.path().join("share/man/man1")), pages);
    let page = read("share/man/man1/dfer-analyze.1").replace('\\', "");
    for option in ["--output", "--report", "--with-pictures", "--shard", "JSON lines"] {
        assert!(page.contains(option), "{option} is missing in: {page}");
    }
}
