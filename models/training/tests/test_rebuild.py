# SPDX-License-Identifier: MPL-2.0
"""The script `rebuild` hands its folders on as the caller means them."""

import os
import subprocess
from pathlib import Path

REBUILD = Path(__file__).resolve().parents[1] / "rebuild"
STUB = """#!/bin/sh
[ "$1" != -c ] || exit 1
printf '<%s>' "$@"
echo
"""


def test_folders_are_the_callers_and_may_have_blanks(tmp_path):
    (tmp_path / "the films").mkdir()
    (tmp_path / "the films" / "a b.mp4").touch()
    (tmp_path / "own.csv").touch()
    (tmp_path / "stub").write_text(STUB)
    (tmp_path / "stub").chmod(0o755)
    # As in a virtual environment.
    (tmp_path / "python").symlink_to("stub")

    def run(review, *folders):
        env = os.environ | {"PYTHON": "./python", "REVIEW": review, "SEED": "3"}
        return subprocess.run([REBUILD, *folders], cwd=tmp_path, env=env, check=True, text=True, capture_output=True).stdout

    said = run("own.csv", "data", "my work", "the films")
    assert said.count(f"<--data><{tmp_path}/data><--work><{tmp_path}/my work><--seed><3>") == said.count("== ")
    assert f"<--stills><{tmp_path}/my work/synth/stills/stills-train.npz><--power><0.75>" in said
    assert f"<--media><{tmp_path}/the films><--review><{os.path.relpath(tmp_path, REBUILD.parent)}/own.csv>" in said
    assert f"<{tmp_path}/the films/a b.mp4><../../media/demo.mp4>" in said
    # What the caller does not have is looked for beside the script.
    said = run("review/facedet-val.csv", "data", "work")
    assert "<--only><detector,encoder,footage><--review><review/facedet-val.csv>\n" in said and "<--media>" not in said
