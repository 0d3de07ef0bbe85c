# SPDX-License-Identifier: MPL-2.0
"""Stage `head`: trains the temporal head on cached embeddings of real faces (pseudo-clips) and of SynDFER."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from . import common, encoder, export as shipping, ferplus, head_measure, pseudo, sampling, syndfer, temporal
from .nets import Encoder

COMPOSED = 1500
"""Pictures of valid and of test from which windows are composed."""
SPOILT = 1 / 3
"""Of what a head is trained on, the share that is badly lit, coarse or noisy from start to end."""


def arguments(argv: list[str]):
    p = common.parser("head", __doc__, resumes=True)
    p.add_argument("--ferplus", type=Path, help="unzipped FER+ (default: DATA/ferplus)")
    p.add_argument("--encoder", type=Path, help="encoder checkpoint (default: WORK/encoder.pt; with --dataset the shipped one)")
    p.add_argument("--sequences", type=Path, help="SynDFER sequences (default: WORK/synth/seq)")
    p.add_argument("--dataset", nargs=2, metavar=("KIND", "PATH"), help="train and evaluate on `dfew` or `ferv39k` at PATH instead")
    p.add_argument("--fold", type=int, default=1, help="fold of DFEW, 1 to 5")
    p.add_argument("--backbone", choices=["encoder", "resnet18"], default="encoder", help="with --dataset: the frame encoder or a 112x112 RGB ResNet-18")
    p.add_argument("--epochs", type=int, default=30, help="with --dataset: passes over the training clips")
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--batch", type=int, default=192)
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--decay", type=float, default=0.05)
    p.add_argument("--cap", type=int, default=3000, help="pictures of a class in the bank of real faces")
    p.add_argument("--revise", type=int, default=200, help="steps between two looks of prediction agreement at the real faces' labels; 0 = never")
    p.add_argument("--rendered", type=float, default=0.3, help="share of SynDFER windows in a batch")
    p.add_argument("--test", action="store_true", help="also measure on the test splits: for a finished head, not for choosing one")
    p.add_argument("--start", type=Path, help="head.pt to go on from, for an encoder that changed a little")
    p.add_argument("--name", default="head", help="name of checkpoint and log; the figures of `head` alone go to metrics-head.json")
    args = p.parse_args(argv)
    # What only the other of the two trainings looks at.
    others = ("ferplus", "sequences", "steps", "batch", "rate", "decay", "cap", "revise", "rendered", "test", "start")
    others = others if args.dataset else ("fold", "backbone", "epochs", "fresh")
    if ignored := [f"--{name}" for name in others if getattr(args, name) != p.get_default(name)]:
        p.error(f"{', '.join(ignored)}: of no use {'with' if args.dataset else 'without'} --dataset")
    return args


def load_encoder(path: Path, device) -> tuple[Encoder, str]:
    """The averaged encoder of a checkpoint, or of `checkpoints/`, and the key of its weights."""
    network = Encoder().to(device, memory_format=torch.channels_last)
    common.load_weights(common.need(path, "the encoder's checkpoint"), network)
    return network.eval(), key_of(network)


def key_of(network) -> str:
    """A short name of a network's weights, for caches."""
    return hashlib.sha256(b"".join(p.detach().cpu().numpy().tobytes() for p in network.parameters())).hexdigest()[:12]


def load(work: Path, key: str) -> tuple[temporal.Head, dict]:
    """The head of WORK/head.pt and all that stands there; a ValueError when it was not trained on the encoder `key`."""
    state = common.load_checkpoint(common.need(work / "head.pt", "the head's checkpoint"))
    if state["encoder"] != key:
        raise ValueError("head.pt was trained on another encoder: run the stage head again")
    head = temporal.Head(state["features"])
    head.load_state_dict(state["head"])
    return head.eval(), state


def banks(args, splits: tuple, network, key: str, device, log) -> dict:
    """Real faces, encoded: banks for composing, and `SPLIT-stills`: every picture of valid and test at every scale of the crop."""
    root = args.ferplus or args.data / "ferplus"
    out = {}
    for split in splits:
        # Every seed is measured on the same pictures.
        seed = args.seed if split == "train" else 1
        path = args.work / "banks" / (f"{key}-{split}-{seed}" + (f"-{args.cap}-{SPOILT:.2f}.pt" if split == "train" else "-scales.pt"))
        if not path.exists():
            faces = ferplus.load(root, split)
            images = pseudo.pictures(faces, encoder.load_aligned(args.work, split, len(faces.labels)), np.random.default_rng(seed),
                                     0.85 if split == "train" else 1.0)
            rows = pseudo.choose(faces.labels, args.cap, seed) if split == "train" else np.random.default_rng(seed).permutation(len(faces.labels))[:COMPOSED]
            made = {split: vars(pseudo.build(network, faces, images, rows, device, seed, log, SPOILT if split == "train" else 0.0))}
            if split != "train":
                whole = pseudo.at_every_scale(network, torch.from_numpy(images)[:, None].float() / 255, device)
                made[f"{split}-stills"] = {"embeddings": whole.half(), "votes": torch.from_numpy(faces.votes),
                                           "labels": torch.from_numpy(faces.labels), "pictures": np.arange(len(images))}
            common.save_checkpoint(path, made)
        for name, fields in common.load_checkpoint(path).items():
            out[name] = pseudo.Bank(**fields)
        log(f"bank {split}: {len(out[split].labels)} pictures x {pseudo.VERSIONS}")
    return out


def loss_of(head, batch, g, smooth: float = 0.02) -> torch.Tensor:
    """Fused answer + 0.1 x synopsis answer + 0.1 x per-moment answers, for one random clip of every window."""
    frames, length, truth, covered = batch
    part = sampling.random_parts(g, len(frames))
    goal = pseudo.target(truth, covered, length, part)
    goal = goal * (1 - smooth) + smooth / goal.shape[1]
    logits, long, short, _, moments = temporal.look_twice(head, frames, length, part, aux=True)
    index = sampling.synopsis(length, part)
    seen = 1 - torch.gather(covered, 1, index)
    each = -(sampling.take(truth, index) * F.log_softmax(moments, 2)).sum(2)
    each = (each * seen).sum() / seen.sum().clamp(min=1)
    cost = lambda z: F.cross_entropy(z, goal)
    return cost(logits) + 0.1 * cost(long) + 0.1 * cost(short) + 0.1 * each


def fit(args, head, composer, sequences: list[tuple], device, log):
    """Trains `head` on `composer`'s windows of real faces and, a share of `args.rendered`, on `sequences`: SynDFER in one or more
    versions, each with its share. Returns the running average, which is what is measured and shipped."""
    decay = [p for p in head.parameters() if p.ndim > 1]
    plain = [p for p in head.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": args.decay}, {"params": plain, "weight_decay": 0.0}], args.rate)
    average, progress = common.Average(head, 0.998), common.Progress(log, args.name, args.steps)
    rendered = [(version, version.rows("train"), round(args.batch * args.rendered * share)) for version, share in sequences]
    running = None
    for step in range(args.steps):
        g = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = args.rate * common.one_cycle(step, args.steps)
        batches = [composer.draw(g, args.batch - sum(count for _, _, count in rendered))]
        batches += [version.draw(g, rows, count) for version, rows, count in rendered]
        batch = tuple(torch.cat(column) for column in zip(*batches))
        head.train()
        loss = loss_of(head, batch, g)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 2.0)
        optimiser.step()
        average.update(head)
        if args.revise and step + 1 >= 0.4 * args.steps and (step + 1) % args.revise == 0:
            log(f"prediction agreement at step {step + 1}: {composer.revise(average.network, args.seed + step)}")
        running = float(loss.detach()) if running is None else 0.98 * running + 0.02 * float(loss.detach())
        progress.step(step + 1, lambda: f"loss {running:.4f}")
    return average.network


def export(args, log) -> None:
    """WORK/head.pt -> head.onnx, its hash and calibration in model.toml, and the reference tensors."""
    import onnx

    head, state = load(args.work, load_encoder(args.encoder or args.work / "encoder.pt", torch.device("cpu"))[1])
    features = state["features"]
    folder = args.models / "expression"
    toml = common.need(folder / "model.toml", "the model.toml that the encoder's export writes")
    path = folder / "head.onnx"
    onnx.save(temporal.graph(head, features), path)
    rng = np.random.default_rng(0)
    worst = 0.0
    for batch in (5, 2):
        inputs = {"synopsis": rng.gamma(0.5, 0.8, (batch, 16, features)).astype(np.float32), "detail": rng.gamma(0.5, 0.8, (batch, 4, 4, features)).astype(np.float32)}
        with torch.no_grad():
            logits, long, short, moments = head(*map(torch.from_numpy, inputs.values()))
        expected = {"logits": logits.numpy(), "long": long.numpy(), "short": short.numpy(), "moments": moments.numpy()}
        worst = max(worst, shipping.check(path, inputs, expected))
    shipping.write_reference(args.models / "reference" / "head.json", inputs, expected)
    half = {name: value.half() if value.is_floating_point() else value for name, value in head.state_dict().items()}
    common.save_checkpoint(args.models / "training" / "checkpoints" / "head.pt", state | {"head": half})
    text = toml.read_text()
    for table, key, value in (
        *(("calibration", name.replace("_", "-"), f"{value:.3f}") for name, value in state["calibration"].items()),
        ("graphs.head", "file", '"head.onnx"'),
        ("graphs.head", "sha256", f'"{shipping.digest(path)}"'),
    ):
        text = shipping.set_value(text, table, key, value)
    common.write_text(toml, text)
    log(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {temporal.multiply_adds(head):.2f} M multiply-adds a clip, ONNX Runtime within {worst:.1e} of PyTorch")


def main(argv: list[str]) -> None:
    args = arguments(argv)
    device = common.setup(args)
    log = common.Log(args.work / f"{args.name}.log")
    if args.dataset:
        from . import dataset_run

        return dataset_run.main(args, device, log)
    network, key = load_encoder(args.encoder or args.work / "encoder.pt", device)
    real = banks(args, ("train", "valid") + (("test",) if args.test else ()), network, key, device, log)
    folder = args.sequences or args.work / "synth" / "seq"
    sequences = syndfer.load(folder, network, device, args.work / "banks" / f"{key}-seq", log)
    spoilt = syndfer.load(folder, network, device, args.work / "banks" / f"{key}-seq-spoilt-{args.seed}", log, syndfer.spoil(args.seed), ("train",))
    features = real["train"].embeddings.shape[2]
    head = temporal.Head(features)
    sample = real["train"].embeddings[:, 0].float()
    head.start(sample.mean(0), sample.std(0) + 0.05, network.answer.weight.detach().float().cpu(), network.answer.bias.detach().float().cpu())
    if args.start:
        head.load_state_dict(common.load_checkpoint(common.need(args.start, "the head to start from"))["head"])
    log(f"{sum(p.numel() for p in head.parameters())} weights, {temporal.multiply_adds(head):.2f} M multiply-adds a clip; {len(sequences.labels)} sequences")
    head = fit(args, head, pseudo.Composer(real["train"]), [(sequences, 1 - SPOILT), (spoilt, SPOILT)], device, log)
    calibration = head_measure.calibrate(head, real)
    figures = head_measure.figures(head, real, measured(folder, args.work, network, key, device, log), calibration)
    for line in head_measure.lines(figures):
        log(line)
    common.save_checkpoint(args.work / f"{args.name}.pt", {"head": head.state_dict(), "features": features, "encoder": key,
                                                          "calibration": vars(calibration)})
    # The card speaks of the head that is exported.
    path = args.models / "metrics-head.json" if args.name == "head" else args.work / f"{args.name}-figures.json"
    store(path, args.name, figures | {"command": command(args), "seed": args.seed, "encoder": key, "sequences": len(sequences.labels)})


def measured(folder: Path, work: Path, network, key: str, device, log) -> syndfer.Sequences:
    """The rendered sequences of valid and test in `folder` as the runtime crops them."""
    return syndfer.load(folder, network, device, work / "banks" / f"{key}-seq-measured", log, pseudo.in_turn, ("valid", "test"))


def command(args) -> str:
    """The command line of these figures, without the places of data."""
    start = " --start head.pt" if args.start else ""
    return f"python -m dfer_training head --cap {args.cap} --steps {args.steps} --revise {args.revise} --rendered {args.rendered:g} --rate {args.rate:g} --seed {args.seed}{start}" + (" --test" if args.test else "")


def evaluate(args, log) -> dict:
    """The figures of WORK/head.pt on valid and test, for stage `evaluate`."""
    device = torch.device("cpu")
    network, key = load_encoder(args.work / "encoder.pt", device)
    head, state = load(args.work, key)
    real = banks(args, ("valid", "test"), network, key, device, log)
    sequences = measured(args.work / "synth" / "seq", args.work, network, key, device, log)
    figures = head_measure.figures(head, real, sequences, head_measure.Calibration(**state["calibration"]))
    for line in head_measure.lines(figures):
        log(line)
    return figures


def store(path: Path, name: str, figures: dict) -> None:
    """Sets one entry of the figures' file and keeps the others."""
    whole = json.loads(path.read_text()) if path.exists() else {}
    whole[name] = figures
    common.write_text(path, json.dumps(whole, indent=1) + "\n")
