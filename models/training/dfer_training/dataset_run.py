# SPDX-License-Identifier: MPL-2.0
"""`head --dataset dfew PATH --fold N` and `--dataset ferv39k PATH`: trains and evaluates by the published protocol.

Sixty-four pictures of a clip are looked at (as the paper does), each is encoded once, and the temporal head learns
from these embeddings, with prediction agreement. The test clips are used once, at the end; every one counts.

WORK keeps the embeddings of each split and the backbone after each of its epochs, so that a stopped run goes on, and the head.
"""

import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import CLASSES, common, dfew, encoder, ferv39k, head as head_stage, metrics, noise_study

LOOKS = 64


class ResNet18(nn.Module):
    """torchvision's ResNet-18 over 112x112 RGB, random start: [B, 3, 112, 112] in 0..1 -> (embedding [B, 512], logits)."""

    SIZE = 112

    def __init__(self):
        super().__init__()
        from torchvision.models import resnet18

        self.body = resnet18(num_classes=len(CLASSES))
        self.answer, self.body.fc = self.body.fc, nn.Identity()

    def forward(self, x):
        embedding = self.body((x - 0.45) / 0.25)
        return embedding, self.answer(embedding)


class Grey(nn.Module):
    """The frame encoder over grey 64x64 pictures in 0..1."""

    SIZE = encoder.SIZE

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(encoder.prepare(x))


def look(clip: dfew.Clip, backbone) -> torch.Tensor:
    """The clip's LOOKS pictures, [LOOKS, channels, S, S] in 0..1; short clips repeat pictures."""
    n, seen = len(clip.pictures), {}
    for index in sorted({n * i // LOOKS for i in range(LOOKS)}):
        image = cv2.imread(str(clip.pictures[index]), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"{clip.pictures[index]}: not a readable picture")
        if isinstance(backbone, Grey):
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            seen[index] = cv2.resize(grey, (Grey.SIZE,) * 2, interpolation=cv2.INTER_AREA)[None]
        else:
            seen[index] = cv2.resize(image[..., ::-1], (ResNet18.SIZE,) * 2, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    return torch.from_numpy(np.stack([seen[n * i // LOOKS] for i in range(LOOKS)])).float() / 255


def teach_frames(backbone: nn.Module, clips: list[dfew.Clip], epochs: int, seed: int, device, log, path: Path, fresh: bool = False) -> None:
    """First stage of the ResNet: single pictures learn their clip's label. Goes on from the epoch that `path` holds."""
    optimiser = torch.optim.AdamW(backbone.parameters(), 1e-3, weight_decay=0.05)
    batch, steps, first = min(32, len(clips)), -(-len(clips) // 32), 0
    if state := common.load_checkpoint(path, fresh):
        backbone.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["epoch"]
        log(f"backbone resumed at epoch {first}")
    progress, done = common.Progress(log, "backbone", epochs * steps), first * steps
    for epoch in range(first, epochs):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(clips))
        for start in range(0, len(order), batch):
            rows = order[start:start + batch]
            if len(rows) < 2:
                continue  # Batch normalisation needs two.
            x = torch.stack([look(dfew.Clip(clips[i].name, (clips[i].pictures[rng.integers(len(clips[i].pictures))],), clips[i].label), backbone)[0] for i in rows])
            if rng.random() < 0.5:
                x = x.flip(3)
            with common.autocast(device):
                logits = backbone.train()(x.to(device))[1]
            loss = F.cross_entropy(logits.float(), torch.tensor([clips[i].label for i in rows], device=device), label_smoothing=0.1)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            done += 1
            progress.step(done, lambda: f"loss {float(loss.detach()):.3f}")
        common.save_checkpoint(path, {"network": backbone.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch + 1})


def key_of(clips: list[dfew.Clip]) -> str:
    """A short name of clips, for caches: which they are and where they lie."""
    return f"{zlib.crc32(repr([(c.name, len(c.pictures), str(c.pictures[0].resolve())) for c in clips]).encode()):08x}"


@torch.no_grad()
def encode(backbone: nn.Module, clips: list[dfew.Clip], device, log, path: Path, fresh: bool = False) -> noise_study.Samples:
    """The clips' embeddings; kept in a file named `path` and, by a checksum, after the clips."""
    path = path.with_name(f"{path.name}-{key_of(clips)}.pt")
    if fresh or not path.exists():
        backbone.eval()
        progress, out = common.Progress(log, "encoding", len(clips)), []
        for i, clip in enumerate(clips):
            with common.autocast(device):
                out.append(backbone(look(clip, backbone).to(device))[0].half().cpu())
            progress.step(i + 1)
        common.save_checkpoint(path, {"embeddings": torch.stack(out)})
    embeddings = common.load_checkpoint(path)["embeddings"]
    return noise_study.Samples(embeddings, torch.full((len(clips),), LOOKS), np.array([c.label for c in clips]))


def main(args, device, log) -> dict:
    kind, root = args.dataset[0], Path(args.dataset[1])
    if kind not in ("dfew", "ferv39k"):
        raise ValueError(f"--dataset knows dfew and ferv39k, not {kind!r}")
    splits = dfew.load(root, args.fold) if kind == "dfew" else ferv39k.load(root)
    log(f"{kind}: {len(splits['train'])} train clips, {len(splits['test'])} test clips")
    name = f"{kind}-{args.fold}" if kind == "dfew" else kind
    if args.backbone == "resnet18":
        backbone = ResNet18().to(device)
        path = args.work / f"{name}-frames-{args.seed}-{args.epochs}-{key_of(splits['train'])}.pt"
        teach_frames(backbone, splits["train"], args.epochs, args.seed, device, log, path, args.fresh)
        key = head_stage.key_of(backbone)
    else:
        network, key = head_stage.load_encoder(args.encoder or common.MODELS / "training" / "checkpoints" / "encoder.pt", device)
        backbone = Grey(network)
    train, test = (encode(backbone, splits[s], device, log, args.work / "banks" / f"{name}-{s}-{key}", args.fresh) for s in ("train", "test"))
    head, _ = noise_study.teach(train, train.labels, noise_study.VARIANTS["all"], args.seed, args.epochs, width=96)
    common.save_checkpoint(args.work / f"{name}-{args.backbone}.pt", {"head": head.state_dict(), "features": train.frames.shape[2], "encoder": key})
    guess = test.answers(head).mean(1).argmax(1)
    war, uar = metrics.war_uar(guess, test.labels)
    figures = {"dataset": kind, "backbone": args.backbone, "clips": len(test.labels), "war": war, "uar": uar,
               "recall": {c: (None if np.isnan(r) else float(r)) for c, r in zip(CLASSES, metrics.recalls(guess, test.labels))},
               "confusion": metrics.confusion(guess, test.labels).tolist()}
    if kind == "dfew":
        figures["fold"] = args.fold
    head_stage.store(args.work / "metrics-datasets.json", f"{name}-{args.backbone}", figures)
    log(f"{name}: WAR {100 * war:.2f} UAR {100 * uar:.2f} over {len(test.labels)} test clips")
    return figures
