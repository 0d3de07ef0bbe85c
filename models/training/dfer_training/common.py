# SPDX-License-Identifier: MPL-2.0
"""What every stage shares: options, seeds, checkpoints that survive a kill, log, weight averaging."""

import argparse
import contextlib
import copy
import multiprocessing
import os
import random
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed

MODELS = Path(__file__).resolve().parents[2]


def parser(stage: str, description: str, resumes: bool = False) -> argparse.ArgumentParser:
    """The options that all stages have: where data, scratch and models are, seed, threads; a fresh start where one `resumes`."""
    p = argparse.ArgumentParser(prog=f"python -m dfer_training {stage}", description=description)
    p.add_argument("--data", type=Path, default=Path("data"), help="folder that holds the data sets (default: ./data)")
    p.add_argument("--work", type=Path, default=Path("work"), help="scratch: checkpoints, logs, caches (default: ./work)")
    p.add_argument("--models", type=Path, default=MODELS, help="where networks are written (default: models/ of this checkout)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=0, help="CPU threads of PyTorch, 0 = all")
    if resumes:
        p.add_argument("--fresh", action="store_true", help="ignore an existing checkpoint and start anew")
    return p


def setup(args: argparse.Namespace) -> torch.device:
    """Applies seed and threads, makes the scratch folder; returns the device (a GPU when there is one)."""
    args.work.mkdir(parents=True, exist_ok=True)
    if args.threads:
        torch.set_num_threads(args.threads)
    seed_everything(args.seed)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def need(path: Path, what: str) -> Path:
    """`path`, or a FileNotFoundError that says what is missing there and how to name it."""
    if not path.exists():
        raise FileNotFoundError(f"{what} is not at {path}: give its place on the command line (see --help)")
    return path


def autocast(device: torch.device):
    """bfloat16 arithmetic where the hardware has it: 2 to 3 times as fast as float32 on CPUs with AVX512-BF16, a tenth as
    fast on CPUs without (both measured)."""
    able = device.type != "cpu" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16, enabled=able)


@contextlib.contextmanager
def replacing(path: Path):
    """A binary file to write to, beside `path` and renamed to it at the end: a kill never leaves half of what is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(part, "wb") as file:
        yield file
    os.replace(part, path)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def save_checkpoint(path: Path, state: dict) -> None:
    with replacing(path) as file:
        torch.save(state, file)


def load_checkpoint(path: Path, fresh: bool = False) -> dict | None:
    """The state saved at `path`, None when there is none or `fresh` is set. Only load files you made."""
    if fresh or not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=False)


def save_weights(path: Path, network: torch.nn.Module) -> None:
    """The weights alone in half precision: small enough to keep beside the recipe, good enough to go on from."""
    save_checkpoint(path, {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()})


def load_weights(path: Path, network: torch.nn.Module) -> None:
    """Weights of `save_weights`, or the averaged ones of a stage's checkpoint, into a network of the same shape."""
    state = torch.load(need(path, "the weights to start from"), map_location="cpu", weights_only=True)
    network.load_state_dict(state.get("average", state))


class Log:
    """Lines with a clock, on the terminal and appended to a file."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "a", buffering=1)
        self.start = time.monotonic()

    def __call__(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} [{time.monotonic() - self.start:7.1f} s] {text}"
        print(line, flush=True)
        self.file.write(line + "\n")


class Progress:
    """Says at most every `every` seconds how far a loop of `total` steps is, and when it will end."""

    def __init__(self, log: Log, what: str, total: int, every: float = 30.0):
        self.log, self.what, self.total, self.every = log, what, total, every
        self.start = self.last = time.monotonic()
        self.first = None

    def step(self, done: int, note=lambda: "") -> None:
        """`note` makes what is said besides; it is only called for a line that is due, as it may wait for a GPU."""
        now = time.monotonic()
        if self.first is None:
            self.first, self.start = done, now
        if now - self.last < self.every or done == self.first:
            return
        self.last = now
        left = (now - self.start) / (done - self.first) * (self.total - done)
        self.log(f"{self.what} {done}/{self.total} {100 * done / self.total:.0f} %, {left / 60:.1f} min left {note()}")


class Average:
    """Exponential moving average of a network's weights and statistics; `network` is what gets evaluated."""

    def __init__(self, network: torch.nn.Module, decay: float = 0.999):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, network: torch.nn.Module) -> None:
        # A short memory at first, else the random start would weigh on the average for long.
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values()))
        ours, theirs = zip(*(pair for pair in pairs if pair[0].dtype.is_floating_point))
        torch._foreach_lerp_(ours, theirs, 1 - keep)
        for value, other in pairs:
            if not value.dtype.is_floating_point:
                value.copy_(other)


def one_cycle(step: int, total: int, warm: float = 0.1, floor: float = 0.01) -> float:
    """Learning-rate factor in (0, 1]: linear up over `warm` of the run, then a cosine down to `floor`."""
    at = step / max(1, total)
    if at < warm:
        return max(floor, at / warm)
    return floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * (at - warm) / (1 - warm))))


@contextlib.contextmanager
def timed(log: Log, what: str):
    start = time.monotonic()
    yield
    log(f"{what}: {time.monotonic() - start:.1f} s")


def spread(workers: int, run, argv: list[str], scratch: Path) -> None:
    """Calls `run(argv)` in `workers` processes that share their gradients, or directly when it is one.

    On shared CPU cores this beats one process with several threads: it waits once a step, not at every layer.
    """
    if workers == 1:
        run(argv)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    meeting = scratch / f"meeting.{os.getpid()}"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    try:
        torch.multiprocessing.spawn(_worker, (workers, meeting.resolve().as_uri(), run, argv), workers)
    finally:
        meeting.unlink(missing_ok=True)


def _worker(rank: int, workers: int, meeting: str, run, argv: list[str]) -> None:
    # A parent that is killed cannot stop its workers. PyTorch then interrupts them, which jobs in the background ignore.
    threading.Thread(target=lambda: (multiprocessing.parent_process().join(), os._exit(1)), daemon=True).start()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=workers, timeout=timedelta(hours=2))
    run(argv)
    distributed.destroy_process_group()


def rank() -> tuple[int, int]:
    """Which worker this is, and how many there are."""
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


@torch.no_grad()
def share_gradients(network: torch.nn.Module) -> None:
    """Replaces the gradients of every worker by their mean."""
    if rank()[1] == 1:
        return
    with_gradient = [p for p in network.parameters() if p.grad is not None]
    flat = torch.cat([p.grad.reshape(-1) for p in with_gradient])
    distributed.all_reduce(flat)
    flat /= rank()[1]
    for p, part in zip(with_gradient, flat.split([p.numel() for p in with_gradient])):
        p.grad.copy_(part.view_as(p))
