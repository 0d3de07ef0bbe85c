# SPDX-License-Identifier: MPL-2.0
"""Stage `detector`: trains the face detector on facedet; every step mixes whole frames and tracking windows."""

import json
from pathlib import Path

import numpy as np
import torch

from . import common, facedet, search
from .detector_loss import loss
from .detector_measure import detect, measure, measure_windows, neither
from .nets import Detector, multiply_adds

MEAN, STD = 127.5, 64.0


def normalise(images: torch.Tensor, device) -> torch.Tensor:
    """uint8 [B, H, W, 3] RGB -> float [B, 3, H, W], as model.toml says (mean 0.5, std 0.251 of full scale)."""
    x = images.to(device).permute(0, 3, 1, 2)
    return ((x.float() - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def pad(lists: list, shape: tuple) -> tuple[torch.Tensor, torch.Tensor]:
    """Lists of arrays -> one tensor [B, max length, *shape] and the mask [B, max length] of what is real."""
    most = max([len(x) for x in lists] + [1])
    out, mask = torch.zeros(len(lists), most, *shape), torch.zeros(len(lists), most, dtype=torch.bool)
    for i, items in enumerate(lists):
        if items:
            out[i, :len(items)] = torch.from_numpy(np.asarray(items, np.float32))
            mask[i, :len(items)] = True
    return out, mask


def batch(composer: facedet.Composer, kind: str, size: int) -> tuple:
    """`size` canvases of a kind ("frame" or "window") as (images uint8, boxes, landmarks, present, ignored, shunned)."""
    make = composer.frame if kind == "frame" else composer.window
    canvases = [composer.finish(make()) for _ in range(size)]
    boxes, present = pad([c.boxes for c in canvases], (4,))
    marks, _ = pad([c.landmarks for c in canvases], (5, 2))
    ignored, shunned = pad([c.ignored for c in canvases], (4,))
    return torch.from_numpy(np.stack([c.image for c in canvases])), boxes, marks, present, ignored, shunned


class Steps(torch.utils.data.Dataset):
    """Item n holds the canvases of training step n, the same whatever step one starts at."""

    def __init__(self, photos: list, args):
        self.photos, self.args = photos, args

    def __len__(self) -> int:
        return self.args.steps

    def __getitem__(self, step: int) -> tuple:
        composer = facedet.Composer(self.photos, np.random.default_rng((self.args.seed, step)))
        return batch(composer, "frame", self.args.frames), batch(composer, "window", self.args.windows)


def batches(photos: list, args, first: int):
    """Steps `first` and on, composed ahead by `args.composers` processes."""
    return torch.utils.data.DataLoader(Steps(photos, args), batch_size=None, sampler=range(first, args.steps),
                                       num_workers=args.composers, multiprocessing_context="fork", prefetch_factor=4)


def mine(network, photos: list, device, path: Path, least: float = 0.2) -> None:
    """Sets `suspects` of photographs to what `network` takes for faces there and no label knows; kept in `path`."""
    if not path.exists():
        found = {}
        for start in range(0, len(photos), 16):
            some = photos[start:start + 16]
            boxed = [search.letterbox(p.levels[0]) for p in some]
            for photo, (_, scale), (boxes, _, _) in zip(some, boxed, detect(network, np.stack([b[0] for b in boxed]), device, least)):
                known = np.concatenate([photo.boxes, photo.ignored])
                wrong = [b.tolist() for b in boxes / scale if not neither(b, known)]
                if wrong:
                    found[photo.name] = wrong
        common.write_text(path, json.dumps(found))
    found = json.loads(path.read_text())
    for photo in photos:
        photo.suspects = np.array(found.get(photo.name, []), np.float32).reshape(-1, 4)


def main(argv: list[str]) -> None:
    p = common.parser("detector", __doc__, resumes=True)
    p.add_argument("--labels", type=Path, help="folder of facedet's labels.jsonl (default: DATA/facedet)")
    p.add_argument("--images", type=Path, help="folder of its unzipped train and val (default: DATA/facedet)")
    p.add_argument("--start", type=Path, help="weights to start from, such as checkpoints/detector.pt (default: random)")
    p.add_argument("--mine", action="store_true", help="show in windows what the weights of --start wrongly take for faces")
    p.add_argument("--name", default="detector", help="name of checkpoint and log")
    p.add_argument("--steps", type=int, default=6000)
    p.add_argument("--frames", type=int, default=20, help="frames of 320x192 a step")
    p.add_argument("--windows", type=int, default=24, help="tracking windows of 96x96 a step")
    p.add_argument("--composers", type=int, default=1, help="processes that compose pictures; a GPU wants one for every core")
    p.add_argument("--rate", type=float, default=3e-3)
    p.add_argument("--measure-every", type=int, default=500)
    args = p.parse_args(argv)
    device = common.setup(args)
    log = common.Log(args.work / f"{args.name}.log")
    root = args.data / "facedet"
    labels, images = (x or root for x in (args.labels, args.images))
    train, val = (facedet.load(labels, images, split) for split in ("train", "val"))
    network = Detector().to(device, memory_format=torch.channels_last)
    if args.start:
        common.load_weights(args.start, network)
    if args.mine:
        mine(network, train, device, args.work / f"{args.name}-suspects.json")
        log(f"{sum(len(p.suspects) for p in train)} false faces in {sum(len(p.suspects) > 0 for p in train)} photographs")
    log(f"{len(train)} train, {len(val)} val photographs; {multiply_adds(network, (1, 3, 192, 320)):.1f} M multiply-adds")
    fit(args, network, train, val, device, log)


def fit(args, network, train: list, val: list, device, log: common.Log) -> None:
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0.0}], args.rate)
    average = common.Average(network, 0.998)
    path, first = args.work / f"{args.name}.pt", 0
    if state := common.load_checkpoint(path, args.fresh):
        network.load_state_dict(state["network"])
        average.network.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = average.steps = state["step"]
        log(f"resumed at step {first}")
    progress, sums = common.Progress(log, args.name, args.steps), {}
    for step, parts in enumerate(batches(train, args, first), first):
        for group in optimiser.param_groups:
            group["lr"] = args.rate * common.one_cycle(step, args.steps, warm=0.05)
        optimiser.zero_grad(set_to_none=True)
        for images, *targets in parts:
            with common.autocast(device):
                heads = network.train()(normalise(images, device))
            terms = loss(heads, *(t.to(device) for t in targets))
            sum(terms.values()).backward()
            for name, value in terms.items():
                sums[name] = sums.get(name, value.detach()).lerp(value.detach(), 0.02)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        average.update(network)
        progress.step(step + 1, lambda: " ".join(f"{k} {float(v):.3f}" for k, v in sums.items()))
        last = step + 1 == args.steps
        if (step + 1) % 100 == 0 or last:
            common.save_checkpoint(path, {"network": network.state_dict(), "average": average.network.state_dict(),
                                          "optimiser": optimiser.state_dict(), "step": step + 1})
        if (step + 1) % args.measure_every == 0 or last:
            report(average.network, val, device, log)


def report(network, val: list, device, log: common.Log) -> None:
    curve = measure(network, val, device)
    for row in curve["curve"]:
        if row["score"] in (0.3, 0.4, 0.5, 0.6):
            log(f"score {row['score']:.2f}: recall {row['recall']:.4f}, {row['false_per_image']:.4f} false a picture")
    log(f"landmark error {curve['landmark_error']:.4f} of the face's height; windows {measure_windows(network, val, device)}")
