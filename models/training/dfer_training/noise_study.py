# SPDX-License-Identifier: MPL-2.0
"""The paper's claims on SynDFER: `python -m dfer_training head-study`.

Every sequence has one label. Some labels of the training people are exchanged, symmetrically or between
look-alikes; networks with and without each part of the method learn from them, and answer for the test
people, whose labels are right. Parts: DSHN (dual stream), KER (key expression re-sampling), PA (prediction
agreement: clean, hard and noisy samples told apart while training, hard ones up, noisy ones relabelled).
"""

from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from . import agreement, common, head as head_stage, metrics, sampling, syndfer, temporal

VARIANTS = {
    "plain": dict(dual=False, keys=False, pa=False),
    "+DSHN": dict(dual=True, keys=False, pa=False),
    "+DSHN+KER": dict(dual=True, keys=True, pa=False),
    "+PA": dict(dual=False, keys=False, pa=True),
    "all": dict(dual=True, keys=True, pa=True),
}
NOISES = {"0": ("symmetric", 0.0), "20": ("symmetric", 0.2), "40": ("symmetric", 0.4), "20 look-alike": ("look-alike", 0.2)}
POWER = 3.0
"""How far PA sharpens the clips' distributions before it compares them: of 1, 3 and 6 the best at 40 % noise on seed 1."""
# surprise <-> fear, angry <-> disgust, sad <-> neutral; happy goes to neutral.
LOOK_ALIKE = {0: 2, 1: 2, 2: 1, 3: 5, 4: 6, 5: 3, 6: 4}


def spoil(labels: np.ndarray, kind: str, share: float, seed: int) -> np.ndarray:
    """`labels` with `share` of them exchanged: for any other class, or for the one that looks alike."""
    rng = np.random.default_rng(seed)
    out = labels.copy()
    wrong = rng.permutation(len(labels))[: round(share * len(labels))]
    for i in wrong:
        out[i] = LOOK_ALIKE[int(labels[i])] if kind == "look-alike" else rng.choice(np.delete(np.arange(7), labels[i]))
    return out


class Samples:
    """Whole clips as windows for the temporal head: frames [N, T, D], length [N] in frames, labels [N]."""

    def __init__(self, frames: torch.Tensor, length: torch.Tensor, labels: np.ndarray):
        self.frames, self.length, self.labels = frames.half(), length, labels

    @classmethod
    def of(cls, sequences: syndfer.Sequences, *splits: str) -> "Samples":
        """The sequences of some splits, padded to the longest."""
        rows = torch.cat([sequences.rows(split) for split in splits])
        length = sequences.length[rows]
        frames, _, _ = sequences.window(rows, torch.zeros_like(rows), length, int(length.max()))
        return cls(frames, length, sequences.labels[rows].numpy())

    def answers(self, head) -> np.ndarray:
        """Clip distributions [N, K, 7]."""
        out = []
        for start in range(0, len(self.length), 512):
            logits = temporal.decide(head, self.frames[start:start + 512].float(), self.length[start:start + 512])
            out.append(logits.softmax(2).numpy())
        return np.concatenate(out)


def teach(samples: Samples, labels: np.ndarray, variant: dict, seed: int, epochs: int, width: int = 64):
    """One network, trained on `labels`; returns it and the clip distributions by which PA judged (None without PA)."""
    torch.manual_seed(seed)
    features = samples.frames.shape[2]
    head = temporal.Head(features, width=width, move=24, dual=variant["dual"], keys=variant["keys"])
    flat = samples.frames[:, ::4].reshape(-1, features).float()
    head.start(flat.mean(0), flat.std(0) + 0.05)
    optimiser = torch.optim.AdamW(head.parameters(), 2e-3, weight_decay=0.05)
    goal = F.one_hot(torch.from_numpy(labels), 7).float()
    weight = torch.ones(len(labels))
    memory, answers, batch = None, [], min(96, len(labels))
    steps = -(-len(labels) // batch)
    for epoch in range(epochs):
        g = torch.Generator().manual_seed(seed * 1000 + epoch)
        order = torch.randperm(len(labels), generator=g)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = 2e-3 * common.one_cycle(epoch * steps + step, epochs * steps)
            rows = order[step * batch:(step + 1) * batch]
            part = sampling.random_parts(g, len(rows))
            head.train()
            logits, long, short, _, moments = temporal.look_twice(head, samples.frames[rows].float(), samples.length[rows], part, aux=True)
            each = lambda z: -(goal[rows] * F.log_softmax(z, 1)).sum(1)
            cost = each(logits) + (0.1 * each(long) if variant["dual"] else 0) + 0.1 * each(moments.mean(1))
            loss = (cost * weight[rows]).sum() / weight[rows].sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        if variant["pa"] and epoch >= epochs // 5 and epoch % 2:
            # The mean over all epochs so far: what was said before the wrong labels were learnt by heart keeps its weight.
            answers.append(samples.answers(head))
            memory = np.mean(answers, 0)
            # A network that knows little yet would confirm its own mistakes.
            if epoch >= 0.4 * epochs:
                goal, weight = (torch.from_numpy(v).float() for v in agreement.revise(memory, labels, np.eye(7)[labels], POWER))
    return head, memory


def run(sequences: syndfer.Sequences, seeds: int, epochs: int, log, keep=lambda rows: None) -> list[dict]:
    """One row per noise, seed and variant; `keep` gets all rows so far after each seed and noise."""
    train, test = Samples.of(sequences, "train"), Samples.of(sequences, "valid", "test")
    # Nothing is chosen on valid here, so its people are tested on too.
    rows = []
    for seed in range(1, seeds + 1):
        for noise, (kind, share) in NOISES.items():
            labels = spoil(train.labels, kind, share, seed)
            wrong = labels != train.labels
            for name, variant in VARIANTS.items():
                head, memory = teach(train, labels, variant, seed, epochs)
                war, uar = metrics.war_uar(test.answers(head).mean(1).argmax(1), test.labels)
                row = {"noise": noise, "seed": seed, "variant": name, "war": war, "uar": uar}
                if variant["pa"] and wrong.any():
                    verdict, _, threshold = agreement.verdicts(memory, labels, power=POWER)
                    score = agreement.evidence(memory, labels)
                    row |= {"auc": float(roc_auc_score(wrong, score)), "threshold": threshold,
                            "noisy-recall": float((verdict[wrong] == agreement.NOISY).mean()),
                            "noisy-precision": float(wrong[verdict == agreement.NOISY].mean()) if (verdict == agreement.NOISY).any() else None}
                    unsure = wrong | (verdict == agreement.HARD)
                    if wrong.any() and (unsure & ~wrong).any():
                        row["auc-noise-against-hard"] = float(roc_auc_score(wrong[unsure], score[unsure]))
                rows.append(row)
                log(" ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
            keep(rows)
    return rows


def table(rows: list[dict]) -> dict:
    """Mean and spread (standard deviation over seeds) per noise and variant."""
    out = {}
    for noise in NOISES:
        for name in VARIANTS:
            mine = [r for r in rows if r["noise"] == noise and r["variant"] == name]
            if mine:
                entry = {}
                for key in ("war", "uar", "auc", "auc-noise-against-hard", "noisy-recall", "noisy-precision"):
                    values = [r[key] for r in mine if r.get(key) is not None]
                    if values:
                        entry[key] = {"mean": float(np.mean(values)), "spread": float(np.std(values))}
                out.setdefault(noise, {})[name] = entry
    return out


def main(argv: list[str]) -> None:
    p = common.parser("head-study", __doc__)
    p.add_argument("--encoder", type=Path, help="encoder checkpoint (default: WORK/encoder.pt)")
    p.add_argument("--sequences", type=Path, help="SynDFER sequences (default: WORK/synth/seq)")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--epochs", type=int, default=20)
    args = p.parse_args(argv)
    device = common.setup(args)
    log = common.Log(args.work / "head-study.log")
    network, key = head_stage.load_encoder(args.encoder or args.work / "encoder.pt", device)
    sequences = syndfer.load(args.sequences or args.work / "synth" / "seq", network, device, args.work / "banks" / f"{key}-seq", log)
    keep = lambda rows: head_stage.store(args.models / "metrics-head.json", "syndfer-study", {
        "command": f"python -m dfer_training head-study --seeds {args.seeds} --epochs {args.epochs}", "encoder": key,
        "train": len(sequences.rows("train")), "test": len(sequences.rows("valid")) + len(sequences.rows("test")),
        "seeds": sorted({r["seed"] for r in rows}), "table": table(rows)})
    run(sequences, args.seeds, args.epochs, log, keep)
