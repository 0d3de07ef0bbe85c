# SPDX-License-Identifier: MPL-2.0
"""SynDFER for the temporal head: rendered sequences as cached embeddings with the truth of every frame."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import augment, common, pseudo
from .synth.stills import soft_target, split_of


@dataclass
class Sequences:
    """embeddings [N, D] of all frames end to end, first and length [n], truth [N, 7], covered [N], labels, identity [n],
    angles [N, 3] yaw, pitch, roll (radians)."""

    embeddings: torch.Tensor
    first: torch.Tensor
    length: torch.Tensor
    truth: torch.Tensor
    covered: torch.Tensor
    labels: torch.Tensor
    identity: np.ndarray
    angles: torch.Tensor

    def rows(self, split: str) -> torch.Tensor:
        """Indices of the sequences of `split`."""
        return torch.from_numpy(np.flatnonzero(split_of(self.identity) == split))

    def window(self, rows: torch.Tensor, offset: torch.Tensor, length: torch.Tensor, frames: int):
        """Frames [B, frames, D], truth and covered of windows that begin `offset` frames into their sequences."""
        t = torch.arange(frames)[None].minimum(length[:, None] - 1)
        index = (self.first[rows] + offset)[:, None] + t
        return self.embeddings[index].float(), self.truth[index], self.covered[index]

    def draw(self, g: torch.Generator, rows: torch.Tensor, batch: int):
        """As pseudo.Composer.draw: random windows of 0.8 to 2.56 s of random sequences among `rows`."""
        pick = rows[torch.randint(len(rows), (batch,), generator=g)]
        want = torch.randint(12, pseudo.FRAMES + 1, (batch,), generator=g)
        want = torch.where(torch.rand(batch, generator=g) < 0.5, torch.full_like(want, pseudo.FRAMES), want)
        length = torch.minimum(want, self.length[pick])
        slack = (self.length[pick] - length + 1).float()
        offset = (torch.rand(batch, generator=g) * slack).long()
        frames, truth, covered = self.window(pick, offset, length, pseudo.FRAMES)
        return frames, length, truth, covered


def spoil(seed: int):
    """A `change` for `load`: the whole film in a light of its own, unsharp, coarse, compressed or noisy, and framed a little off."""
    def change(film: torch.Tensor) -> torch.Tensor:
        # Seeded by what it shows, so that an encoding that was stopped goes on with the same.
        g = torch.Generator().manual_seed(seed + zlib.crc32(film[0].numpy().tobytes()))
        frames, size = film.transpose(0, 1), film.shape[-1]
        frames = augment.warp(frames, size, augment.normal(g, 1, 7), torch.exp(augment.normal(g, 1, 0.07)), torch.randn(1, 2, generator=g) * 0.05)
        return augment.expose(frames, g, glare=pseudo.GLARE).transpose(0, 1)

    return change


def load(folder: Path, network, device, cache: Path, log, change=None, only: tuple[str, ...] | None = None) -> Sequences:
    """The sequences of `folder`, encoded with `network`; embeddings are kept in `cache` (npy per part).

    `only`: leave out the sequences of splits other than these. `change`: applied to the pictures of every sequence (float [T, 1, S, S], 0..1) before encoding.
    """
    parts = sorted(p for p in Path(folder).glob("part-*.npz") if "partial" not in p.name)
    if not parts:
        raise FileNotFoundError(f"no part-*.npz in {folder}: run the stage `render` first, or name the folder with --sequences")
    columns = {key: [] for key in ("embeddings", "lengths", "weights", "occluded", "labels", "identity", "angles")}
    progress = common.Progress(log, "encoding SynDFER", len(parts))
    for i, path in enumerate(parts):
        with np.load(path) as part:
            chosen = np.ones(len(part["labels"]), bool) if only is None else np.isin(split_of(part["identity"]), only)
            each = np.repeat(chosen, part["lengths"])
            for key in ("lengths", "labels", "identity"):
                columns[key].append(part[key][chosen])
            for key in ("weights", "occluded", "angles"):
                columns[key].append(part[key][each])
            # By content: a part rendered anew must not pass for the old one.
            kept = cache / f"{path.stem}-{zlib.crc32(part['images']):08x}.npy"
            embeddings = np.load(kept) if kept.exists() else np.empty(0)
            embeddings = embeddings[each] if len(embeddings) == len(each) else embeddings
            if len(embeddings) != each.sum():  # nothing is kept, or of other splits
                x = torch.from_numpy(part["images"][each])[:, None].float() / 255
                if change:
                    x = torch.cat([change(film) for film in x.split(part["lengths"][chosen].tolist())])
                embeddings = pseudo.embed(network, x, device).half().numpy()
                with common.replacing(kept) as file:
                    np.save(file, embeddings)
            columns["embeddings"].append(embeddings)
        progress.step(i + 1)
    whole = {key: np.concatenate(column) for key, column in columns.items()}
    length = torch.from_numpy(whole["lengths"]).long()
    # A blend is shown as its parts; what covers half of the face hides it.
    truth = np.stack([soft_target(w) for w in whole["weights"]]).astype(np.float32)
    return Sequences(
        torch.from_numpy(whole["embeddings"]), torch.cumsum(length, 0) - length, length, torch.from_numpy(truth),
        torch.from_numpy(np.clip(whole["occluded"] / 0.5, 0, 1).astype(np.float32)),
        torch.from_numpy(whole["labels"]).long(), whole["identity"],
        torch.from_numpy(whole["angles"]),
    )
