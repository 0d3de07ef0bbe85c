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
