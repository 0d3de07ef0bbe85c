# SPDX-License-Identifier: MPL-2.0
"""Two rebuilds are compared figure by figure."""

import json

import pytest

from dfer_training import card, seeds


def rebuild(folder, war, films=100):
    """A folder `models` whose figures are all `war`, but for a UAR of 0.5 and an ECE of 0.04."""
    folder.mkdir()
    one = {"count": 100, "war": war, "uar": 0.5, "ece": 0.04, "recall": {}}
    disturbed = [{"what": what, "count": 100, "war": war, "uar": 0.5} for what in ("as it is", "dark")]
    found = {"score": 0.5, "recall": war}
    windows = {"faces": 50, "recall": war, "landmark_error": 0.05}
    detector = {"faces": 60, "score_threshold": 0.5, "search": [found], "at_alarms": found, "landmark_error": 0.05,
                "windows_96": windows, "windows_64": windows}
    views = {split: {"aligned": one, "frame": one} for split in ("valid", "test")}
    (folder / "metrics.json").write_text(json.dumps({"detector": detector, "encoder": views | {"robustness": disturbed}}))
    (folder / "metrics-head.json").write_text(json.dumps({
        "head": {"seed": 1, "temperature": 0.5, "test-stills": one | {"abstained": 0.1}, "syndfer-test": one | {"count": films}},
        "robustness": {"command": "c", "ferplus": disturbed, "syndfer": []}}))
    return folder


def test_every_figure_is_compared_and_what_moved_is_counted(tmp_path, capsys):
    a, b = rebuild(tmp_path / "a", 0.80), rebuild(tmp_path / "b", 0.82)
    seeds.main([str(a), str(b), "--models", str(tmp_path)])
    assert "12 of 15 moved by more than 1.5 points" in capsys.readouterr().out
    whole = json.loads((tmp_path / "metrics-seeds.json").read_text())
    assert [r["what"] for r in whole["rows"] if r["what"].startswith("head")] == ["head, test-stills", "head, syndfer-test", "head, ferplus, dark"]
    text = card.seeds({"seeds": whole})
    assert "| head, test-stills | 100 | 80.0 | 82.0 | 50.0 | 50.0 | 10.0 | 10.0 | 0.040 | 0.040 | 2.0 |" in text
    assert "| head, ferplus, dark | 100 | 80.0 | 82.0 | 50.0 | 50.0 | - | - | - | - | 2.0 |" in text
    assert "8 of 8 moved" in text
    found = card.seeds_detector({"seeds": whole})
    assert "| detector, two looks: found at 0.50 | 60 | 80.0 | 82.0 | 2.0 |" in found
    assert "| detector, windows of 96x96: landmark error | 50 | 5.0 | 5.0 | 0.0 |" in found


def test_what_is_held_back_counts_as_moved(tmp_path):
    first = {"a": {"count": 1, "war": 0.8, "uar": 0.8, "abstained": 0.1}}
    assert seeds.compare(first, {"a": first["a"] | {"abstained": 0.13}})[0]["moved"] == pytest.approx(0.03)


def test_sets_of_other_sizes_are_not_compared(tmp_path):
    a, b = rebuild(tmp_path / "a", 0.80), rebuild(tmp_path / "b", 0.81, films=99)
    rows = seeds.compare(seeds.figures(a), seeds.figures(b))
    assert "head, syndfer-test" not in [r["what"] for r in rows]
    assert all(r["moved"] == pytest.approx(0.01) for r in rows if "error" not in r["what"])


def test_an_encoder_without_a_head_is_compared(tmp_path):
    folder = rebuild(tmp_path / "a", 0.80)
    (folder / "metrics-head.json").unlink()
    assert {name for name in seeds.figures(folder) if not name.startswith("detector")} == {f"encoder, {s}, {v}" for s in ("valid", "test") for v in ("aligned", "frame")} | {"encoder, test, aligned, dark"}


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="evaluate"):
        seeds.figures(tmp_path)
    with pytest.raises(ValueError, match="same stages"):
        seeds.compare({}, {})
