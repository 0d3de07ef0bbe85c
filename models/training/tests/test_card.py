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


def test_footage_that_was_not_measured_is_no_error():
    assert card.footage({}) == "Not measured."


def test_the_reviewed_labels_have_columns_when_they_were_measured():
    row = {"score": 0.5, "recall": 0.9, "false_per_image": 0.01}
    detector = {"command": "c", "score_threshold": 0.5, "curve": [row], "search": [row]}
    assert "reviewed" not in card.detector_curve({"detector": detector})
    assert "| 95.0 | 0.010 |" in card.detector_curve({"detector": detector | {"reviewed": [row | {"recall": 0.95}]}})


def test_the_summary_says_what_is_found_read_and_held_back():
    found = {"score": 0.5, "recall": 0.9, "false_per_image": 0.01}
    scores = {"war": 0.8, "uar": 0.7, "ece": 0.03}
    kept = [{"abstained": 0.1, "war-answered": 0.85}]
    metrics = {"detector": {"score_threshold": 0.5, "search": [{**found, "score": 0.4, "recall": 0.99}, found]},
               "encoder": {"test": {"aligned": scores}}, "head": {"test-stills": scores, "syndfer-test": scores | {"war": 0.9}},
               "robustness": {"ferplus": kept, "syndfer": kept}}
    text = card.summary(metrics)
    assert "90.0 % at 0.010" in text and "99.0" not in text and "reviewed" not in text
    assert "WAR 90.0, UAR 70.0, ECE 0.030; holds back 10.0 %; of the others 85.0 % are right" in text
