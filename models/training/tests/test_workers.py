# SPDX-License-Identifier: MPL-2.0
"""Workers that share a batch must see the mean of their gradients."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import torch

from dfer_training import common


def one_step(argv: list[str]) -> None:
    """Gradient of w * x for x = rank + 1; what each worker holds afterwards goes to a file of its own."""
    mine, workers = common.rank()
    network = torch.nn.Linear(1, 1, bias=False)
    network(torch.full((1, 1), float(mine + 1))).sum().backward()
    common.share_gradients(network)
    Path(argv[0], f"{mine}.json").write_text(json.dumps([workers, float(network.weight.grad)]))


def test_gradients_are_the_mean_of_all_workers(tmp_path):
    common.spread(2, one_step, [str(tmp_path)], tmp_path / "scratch")
    assert [json.loads((tmp_path / f"{r}.json").read_text()) for r in (0, 1)] == [[2, 1.5], [2, 1.5]]
    assert not list((tmp_path / "scratch").iterdir())


def wait_long(argv: list[str]) -> None:
    """Says which process it is, then does not end by itself."""
    # As in a job in the background: what PyTorch sends to workers without a parent is ignored.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    path = Path(argv[0], f"{common.rank()[0]}.pid")
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    time.sleep(600)


def within(seconds: float, condition) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return bool(met)


def test_no_worker_outlives_a_killed_parent(tmp_path):
    parent = multiprocessing.get_context("spawn").Process(target=common.spread, args=(2, wait_long, [str(tmp_path)], tmp_path))
    parent.start()
    pids = [tmp_path / f"{r}.pid" for r in (0, 1)]
    assert within(120, lambda: all(p.exists() for p in pids))
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()

    def gone(pid: str) -> bool:
        # What has ended and was not yet reaped by the system is gone, too.
        stat = Path("/proc", pid, "stat")
        return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"

    assert within(20, lambda: all(gone(p.read_text()) for p in pids))


def test_one_worker_needs_no_processes(tmp_path):
    common.spread(1, one_step, [str(tmp_path)], tmp_path / "scratch")
    assert json.loads((tmp_path / "0.json").read_text()) == [1, 1.0]
