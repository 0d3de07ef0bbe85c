# SPDX-License-Identifier: MPL-2.0
"""Stage `encoder`: trains the frame encoder on FER+ (as it is and aligned) and, when there are any, rendered stills.

With `--teacher`, larger encoders trained before say what they see in every augmented picture, and the encoder learns from
the votes and from them (Beyer et al., "Knowledge distillation: a good teacher is patient and consistent", arXiv 2106.05237);
then faces without any label (`--faces`) teach, too.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from . import CLASSES, align, augment, common, ferplus, metrics
from .nets import Encoder, multiply_adds

MEAN, STD = 0.507, 0.255
SIZE = align.SIZE
SAVE_EVERY = 100
BALANCE = 0.2
"""How far the logits are shifted towards rare classes. Not chosen for each run: UAR hangs on the two rarest classes, of which valid
has so few pictures that runs which differ in their seed alone chose 0.05 and 0.2, and lay 4 points of UAR apart on test."""


class Sampler:
    """Draws training rows. A class with n pictures is drawn in proportion to n ** power: 1 keeps FER+'s own mix."""

    def __init__(self, labels: np.ndarray, power: float, device):
        count = np.bincount(labels, minlength=len(CLASSES)).astype(np.float64)
        share = np.where(count > 0, count, 1.0) ** power
        weight = (share / count.clip(1))[labels]
        self.weight = torch.from_numpy(weight / weight.sum()).to(device)

    def rows(self, g: torch.Generator, size: int) -> torch.Tensor:
        return torch.multinomial(self.weight, size, replacement=True, generator=g)


def soften(votes: torch.Tensor, labels: torch.Tensor, own: float = 0.15, smooth: float = 0.03) -> torch.Tensor:
    """Training target: the taggers' distribution, pulled a little to the label it is measured by, then smoothed."""
    hard = F.one_hot(labels, votes.shape[1]).float()
    return (votes * (1 - own) + hard * own) * (1 - smooth) + smooth / votes.shape[1]


def prepare(x: torch.Tensor) -> torch.Tensor:
    return ((x - MEAN) / STD).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def predict(network, images: np.ndarray, device, size: int = SIZE, change=None, mirror: bool = False) -> np.ndarray:
    """Logits [N, 7] of uint8 [N, h, w]; `change` is applied to the resized pictures (float [B, 1, S, S], 0..1)."""
    out = []
    for start in range(0, len(images), 128):
        x = torch.from_numpy(images[start:start + 128])[:, None].float() / 255
        if x.shape[-1] != size:
            x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
        if change is not None:
            x = change(x)
        logits = network.eval()(prepare(x.to(device)))[1]
        if mirror:
            logits = (logits + network(prepare(x.flip(-1).to(device)))[1]) / 2
        out.append(logits.float().cpu())
    return torch.cat(out).numpy()


def load_aligned(work: Path, split: str, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Aligned pictures [N, S, S] uint8 and the mask [N] of faces found, as stage `align` wrote them."""
    path = work / f"aligned-{split}.npz"
    if not path.exists():
        return None
    with np.load(path) as file:
        images, found = file["images"], file["found"]
    if len(images) != count:
        raise ValueError(f"{path} holds {len(images)} pictures, FER+ {split} {count}: remove it and align again")
    return images, found


class Batches:
    """Augmented training batches on `device`: FER+ as it is, FER+ aligned, rendered stills and faces without labels, in
    the shares asked for. What a target lacks to a sum of 1 is left to the teachers: their share of FER+'s, nothing of the
    rendered stills', whose truth is known, and all of a face without a label."""

    # Some of the augmentation is drawn once a call.
    CALL = 512

    def __init__(self, args, train: ferplus.Faces, device):
        self.args, self.device = args, device
        self.plain = torch.from_numpy(train.images).to(device)
        left = args.teacher_share if args.teacher else 0.0
        self.target = (1 - left) * soften(torch.from_numpy(train.votes), torch.from_numpy(train.labels)).to(device)
        self.sampler = Sampler(train.labels, args.power, device)
        self.aligned = None
        if (aligned := load_aligned(args.work, "train", len(train.images))) is not None:
            self.aligned = tuple(torch.from_numpy(x).to(device) for x in aligned)
        # Pictures [N, S, S] and targets [N, 7], with their share of a batch and whether they count as placed.
        self.extra = []
        if args.stills:
            with np.load(common.need(Path(args.stills), "the rendered stills")) as file:
                self.add(file["images"], file["targets"], args.still_share, not args.loose_stills)
        if args.faces:
            images = align.strangers(args.faces, args.work, SIZE)
            self.add(images, np.zeros((len(images), len(CLASSES))), args.face_share, True)

    def add(self, images: np.ndarray, targets: np.ndarray, share: float, placed: bool) -> None:
        self.extra.append((torch.from_numpy(images).to(self.device), torch.from_numpy(targets).float().to(self.device), share, placed))

    def __call__(self, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        mine, workers = common.rank()
        g = torch.Generator(self.device).manual_seed(self.args.seed * 7_000_003 + step * workers + mine)
        most = self.args.batch // workers
        parts = [self.draw(g, min(self.CALL, most - start), size) for start in range(0, most, self.CALL)]
        return tuple(torch.cat(part) for part in zip(*parts))

    def draw(self, g: torch.Generator, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        args = self.args
        chance = lambda: torch.rand(count, generator=g, device=self.device)
        rows = self.sampler.rows(g, count)
        target = self.target[rows]
        x = F.interpolate(self.plain[rows][:, None].float(), (SIZE, SIZE), mode="bilinear", align_corners=False)
        placed = torch.zeros(count, dtype=torch.bool, device=self.device)
        if self.aligned is not None:
            images, found = self.aligned
            placed = (chance() < args.aligned_share) & found[rows]
            x = torch.where(placed[:, None, None, None], images[rows][:, None].float(), x)
        # Each kind has its own stretch of the unit interval.
        lot, low = chance(), 0.0
        for images, targets, share, fixed in self.extra:
            put, low = (lot >= low) & (lot < low + share), low + share
            pick = torch.randint(len(images), (count,), generator=g, device=self.device)
            other = F.interpolate(images[pick][:, None].float(), (SIZE, SIZE), mode="bilinear", align_corners=False)
            x = torch.where(put[:, None, None, None], other, x)
            target = torch.where(put[:, None], targets[pick], target)
            if fixed:
                placed = placed | put
        x = augment.faces(x / 255, size, g, placed, args.strength)
        return augment.mix(x, target, g, 0.35 * args.strength)


class Teachers:
    """Trained encoders that are asked together."""

    def __init__(self, paths: list[Path], device):
        self.device, self.networks = device, []
        for path in paths:
            state = common.load_checkpoint(common.need(path, "a teacher's checkpoint"))
            network = Encoder(**state["shape"]).to(device, memory_format=torch.channels_last)
            network.load_state_dict(state["average"])
            self.networks.append(network.eval())

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Their mean distribution [B, 7] over the classes; x as for `Encoder`."""
        with common.autocast(self.device):
            return torch.stack([network(x)[1].float().softmax(1) for network in self.networks]).mean(0)

    def teach(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """`target` [B, 7], filled up to a sum of 1 with their word."""
        return target + (1 - target.sum(1, keepdim=True)) * self(x)


def arguments(argv: list[str]):
    p = common.parser("encoder", __doc__, resumes=True)
    p.add_argument("--ferplus", type=Path, help="unzipped FER+ (default: DATA/ferplus)")
    p.add_argument("--stills", help="rendered stills: npz with images [N, S, S] uint8 and targets [N, 7]")
    p.add_argument("--faces", type=Path, help="folder in facedet's layout whose faces teach without labels; they need --teacher")
    p.add_argument("--teacher", type=Path, nargs="+", default=[], help="checkpoints of larger encoders to learn from as well")
    p.add_argument("--teacher-share", type=float, default=0.7, help="of the target, where there are taggers' votes")
    p.add_argument("--widths", type=int, nargs=4, help="channels of the four stages (default: the shipped encoder's)")
    p.add_argument("--depths", type=int, nargs=4, help="blocks of the four stages (default: the shipped encoder's)")
    p.add_argument("--start", type=Path, help="weights to start from, such as checkpoints/encoder.pt (default: random)")
    p.add_argument("--steps", type=int, default=9000)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--decay", type=float, default=0.05)
    p.add_argument("--power", type=float, default=0.65, help="class balance of the draw: 1 = FER+'s own, 0 = even")
    p.add_argument("--strength", type=float, default=1.0, help="of the augmentation; less for a short run")
    p.add_argument("--small", type=int, default=48, help="picture side in the first part of the run")
    p.add_argument("--small-part", type=float, default=0.6, help="how long that part is, 0..1")
    p.add_argument("--aligned-share", type=float, default=0.5)
    p.add_argument("--still-share", type=float, default=0.1)
    p.add_argument("--loose-stills", action="store_true", help="move, turn and scale a still as the picture it stands in for: aligned or not")
    p.add_argument("--face-share", type=float, default=0.15)
    p.add_argument("--measure-every", type=int, default=500)
    p.add_argument("--name", default="encoder", help="name of checkpoint and log")
    p.add_argument("--workers", type=int, default=1, help="processes that share a batch; with --threads 1 the better choice on busy cores")
    args = p.parse_args(argv)
    if args.faces and not args.teacher:
        p.error("--faces have no labels: name a --teacher who knows some")
    return args


def main(argv: list[str]) -> None:
    args = arguments(argv)
    common.spread(args.workers, work, argv, args.work)


def work(argv: list[str]) -> None:
    """What every worker does; the first one also logs, measures and saves."""
    args = arguments(argv)
    device = common.setup(args)
    first = common.rank()[0] == 0
    log = common.Log(args.work / f"{args.name}.log") if first else lambda text: None
    root = args.ferplus or args.data / "ferplus"
    train, valid = ferplus.load(root, "train"), ferplus.load(root, "valid")
    shape = {key: tuple(value) for key in ("widths", "depths") if (value := getattr(args, key))}
    network = Encoder(**shape).to(device, memory_format=torch.channels_last)
    if args.start:
        common.load_weights(args.start, network)
    batches = Batches(args, train, device)
    if batches.aligned is None:
        log("no aligned copies of FER+ (stage align): training on the pictures as they are")
    log(f"{len(train.labels)} train, {len(valid.labels)} valid; aligned {batches.aligned is not None}, "
        f"stills and faces {[len(images) for images, *_ in batches.extra]}; {len(args.teacher)} teachers; "
        f"{multiply_adds(network, (1, 1, SIZE, SIZE)):.1f} M multiply-adds")
    fit(args, network, shape, batches, valid, device, log)


def fit(args, network, shape: dict, batches: Batches, valid: ferplus.Faces, device, log: common.Log) -> None:
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": args.decay}, {"params": plain, "weight_decay": 0.0}], args.rate)
    average = common.Average(network, 0.998)
    path, first = args.work / f"{args.name}.pt", 0
    if state := common.load_checkpoint(path, args.fresh):
        network.load_state_dict(state["network"])
        average.network.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = average.steps = state["step"]
        log(f"resumed at step {first}")
    teachers = Teachers(args.teacher, device) if args.teacher else None
    progress, running = common.Progress(log, args.name, args.steps), None
    for step in range(first, args.steps):
        for group in optimiser.param_groups:
            group["lr"] = args.rate * common.one_cycle(step, args.steps, warm=0.08)
        size = args.small if step < args.small_part * args.steps else SIZE
        x, target = batches(step, size)
        x = prepare(x)
        if teachers:
            target = teachers.teach(x, target)
        torch.manual_seed(args.seed * 11 + step * common.rank()[1] + common.rank()[0])
        with common.autocast(device):
            logits = network.train()(x)[1]
        loss = F.cross_entropy(logits.float(), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        common.share_gradients(network)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update(network)
        running = loss.detach() if running is None else running.lerp(loss.detach(), 0.02)
        progress.step(step + 1, lambda: f"loss {float(running):.4f}")
        last = step + 1 == args.steps
        if common.rank()[0]:
            continue
        if (step + 1) % SAVE_EVERY == 0 or last:
            common.save_checkpoint(path, {"network": network.state_dict(), "average": average.network.state_dict(),
                                          "optimiser": optimiser.state_dict(), "step": step + 1, "shape": shape})
        if (step + 1) % args.measure_every == 0 or last:
            report(args, average.network, valid, device, log, size)
    # For a run that was stopped after its last step, too: stage export asks for it.
    if common.rank()[0] == 0:
        save_balance(args, average.network, valid, device, log)


def balance(prior: np.ndarray) -> np.ndarray:
    """Shift of the logits [7] towards rare classes, -BALANCE * log(prior) (Menon et al., arXiv 2007.07314), for classes' shares [7]."""
    shift = -BALANCE * np.log(prior)
    return shift - shift.mean()


def save_balance(args, network, valid: ferplus.Faces, device, log: common.Log) -> None:
    """Writes the shift for stage export, and logs what it does to valid, plain and aligned pictures together."""
    views = [valid.images]
    if (aligned := load_aligned(args.work, "valid", len(valid.images))) is not None:
        views.append(aligned[0])
    logits, labels = np.concatenate([predict(network, v, device) for v in views]), np.tile(valid.labels, len(views))
    shift = balance(np.bincount(valid.labels, minlength=len(CLASSES)) / len(valid.labels))
    before, after = (metrics.war_uar((logits + s).argmax(1), labels) for s in (0, shift))
    common.write_text(args.work / f"{args.name}-shift.json", json.dumps(shift.tolist()))
    log(f"shift of the logits {np.round(shift, 2)}: valid WAR {100 * before[0]:.2f} to {100 * after[0]:.2f}, "
        f"UAR {100 * before[1]:.2f} to {100 * after[1]:.2f}")


def report(args, network, valid: ferplus.Faces, device, log: common.Log, size: int) -> None:
    """Valid only: the test split takes no part in any choice."""
    views = {"plain": valid.images}
    if (aligned := load_aligned(args.work, "valid", len(valid.images))) is not None:
        views["aligned"] = aligned[0]
    for name, images in views.items():
        with common.autocast(device):
            logits = predict(network, images, device, size)
        war, uar = metrics.war_uar(logits.argmax(1), valid.labels)
        log(f"valid {name}: WAR {100 * war:.2f} UAR {100 * uar:.2f} "
            + " ".join(f"{c} {100 * r:.0f}" for c, r in zip(CLASSES, metrics.recalls(logits.argmax(1), valid.labels))))
