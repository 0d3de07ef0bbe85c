#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Prints the licences and notices of every crate that ends up in the plugin and the program.

Reads `cargo metadata`; the texts come from the crates' own folders. Crates with the same text share it.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

FILES = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.I)


def linked() -> set[str]:
    """Names and versions of the crates that are linked in, tests and build scripts left out."""
    tree = subprocess.run(["cargo", "tree", "--locked", "-e", "normal", "--prefix", "none", "-f", "{p}"],
                          check=True, capture_output=True, text=True).stdout
    return {" ".join(line.split()[:2]) for line in tree.splitlines() if line.strip()}


def main() -> None:
    metadata = json.loads(subprocess.run(["cargo", "metadata", "--locked", "--format-version", "1"],
                                         check=True, capture_output=True, text=True).stdout)
    wanted, texts, bare = linked(), {}, []
    for package in sorted(metadata["packages"], key=lambda p: (p["name"], p["version"])):
        name = f"{package['name']} v{package['version']}"
        if name not in wanted or package["source"] is None:
            continue
        folder = Path(package["manifest_path"]).parent
        files = sorted(f for f in folder.iterdir() if f.is_file() and FILES.search(f.name))
        title = f"{name} ({package['license'] or 'see its text'})"
        if not files:
            bare.append(title)
        for file in files:
            texts.setdefault(file.read_text("utf-8", "replace").strip(), []).append(title)
    if not texts:
        sys.exit("notices: cargo metadata names no dependency; run it in the project's folder")
    print("What gst-plugin-dfer is built from, and under which terms.\n")
    for text, names in texts.items():
        print("=" * 78, *dict.fromkeys(names), "-" * 78, text, "", sep="\n")
    if bare:
        print("=" * 78, "Without a text of their own, under the licence named:", *bare, sep="\n")


if __name__ == "__main__":
    main()
