# SPDX-License-Identifier: MPL-2.0
"""Workers that share a batch must see the mean of their gradients."""

import json
from pathlib import Path

import torch

from dfer_training import common


def one_step(argv: list[str]) -> None:
    """Gradient of w * x for x = rank + 1; what each worker holds afterwards goes to a file of its own."""
    mine, workers = common.rank()
    network = torch.nn.Linear(1, 1, bias=False)
    network(torch.full((1, 1), float(mine + 1))).sum().backward()
    common.share_gradients(network)
    common.wait()
    Path(argv[0], f"{mine}.json").write_text(json.dumps([workers, float(network.weight.grad)]))


def test_gradients_are_the_mean_of_all_workers(tmp_path):
    common.spread(2, one_step, [str(tmp_path)], tmp_path / "scratch")
    assert [json.loads((tmp_path / f"{r}.json").read_text()) for r in (0, 1)] == [[2, 1.5], [2, 1.5]]
    assert not list((tmp_path / "scratch").iterdir())


def test_one_worker_needs_no_processes(tmp_path):
    common.spread(1, one_step, [str(tmp_path)], tmp_path / "scratch")
    assert json.loads((tmp_path / "0.json").read_text()) == [1, 1.0]
