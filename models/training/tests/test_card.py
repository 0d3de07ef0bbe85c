# SPDX-License-Identifier: MPL-2.0
"""The card's blocks are filled from the figures and from nothing else."""

import pytest

from dfer_training import card

TEXT = "before\n<!-- figures one -->\nold\n<!-- end one -->\nafter\n"


def test_block_is_replaced_and_the_rest_kept():
    assert card.fill(TEXT, {"x": 3}, {"one": lambda m: f"x is {m['x']}"}) == TEXT.replace("old", "x is 3")


def test_filling_twice_changes_nothing():
    tables = {"one": lambda m: "| a |\n|---|\n| 1 |"}
    once = card.fill(TEXT, {}, tables)
    assert card.fill(once, {}, tables) == once


def test_missing_figures_and_unknown_blocks_are_named():
    with pytest.raises(ValueError, match="'y'.*'one'"):
        card.fill(TEXT, {}, {"one": lambda m: m["y"]})
    with pytest.raises(ValueError, match="'one'"):
        card.fill(TEXT, {}, {})


def test_the_reviewed_labels_have_columns_when_they_were_measured():
    row = {"score": 0.5, "recall": 0.9, "false_per_image": 0.01}
    detector = {"command": "c", "score_threshold": 0.5, "curve": [row], "search": [row]}
    assert "reviewed" not in card.detector_curve({"detector": detector})
    assert "| 95.0 | 0.010 |" in card.detector_curve({"detector": detector | {"reviewed": [row | {"recall": 0.95}]}})
