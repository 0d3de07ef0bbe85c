# SPDX-License-Identifier: MPL-2.0
"""SynDFER: rendered people whose expressions, and when they show them, are known exactly. Stage `render`."""


def main(argv: list[str]) -> None:
    """Renders stills, frames, sequences and, when asked, the demo clip; what exists is kept."""
    from pathlib import Path

    from .. import common, crop

    p = common.parser("render", __doc__)
    p.add_argument("--what", nargs="+", choices=["stills", "frames", "sequences", "demo"], default=["stills", "frames", "sequences"])
    p.add_argument("--stills", type=int, default=12000, help="aligned crops for the encoder")
    p.add_argument("--frames", type=int, default=1500, help="whole pictures with boxes and landmarks")
    p.add_argument("--per-person", type=int, default=5, help="sequences of each of the 560 people to train on, 1 to 7")
    p.add_argument("--held-out", type=int, default=5, help="sequences of each of the 140 people to measure on, 1 to 7")
    p.add_argument("--crop", type=Path, help="crop.json of stage align: places faces as FER+'s (default: WORK/crop.json)")
    p.add_argument("--detector", type=Path, help="detector checkpoint (default: WORK/detector.pt)")
    p.add_argument("--demo", type=Path, help="where the demo clip goes (default: media/demo.mp4 of this checkout)")
    args = p.parse_args(argv)
    if not all(1 <= count <= 7 for count in (args.per_person, args.held_out)):
        raise ValueError("--per-person and --held-out are 1 to 7: one sequence of each expression at most")
    try:
        import numba  # noqa: F401
    except ImportError as error:
        raise ValueError("the renderer needs numba (and anny for its first run): pip install '.[render]'") from error
    from . import demo, mesh, sequences, stills
    from .person import Casting

    work = args.work / "synth"
    log = common.Log(args.work / "render.log")
    casting = Casting(mesh.load(work / "mesh.npz"))
    if {"stills", "sequences"} & set(args.what):
        shape = crop.place(args.crop or args.work / "crop.json", "template")
        place = framing(casting, args.detector or args.work / "detector.pt", shape, work / "template.json", log)
    if "stills" in args.what:
        stills.crops(casting, work / "stills", args.stills, place, seed=args.seed, log=log)
        stills.gather(work / "stills")
    if "frames" in args.what:
        stills.frames(casting, work / "frames", args.frames, seed=args.seed + 1, log=log)
    if "sequences" in args.what:
        sequences.render(casting, work / "seq", place, args.per_person, args.held_out, seed=args.seed + 2, log=log)
    if "demo" in args.what:
        demo.render(casting, args.demo or common.MODELS.parent / "media" / "demo.mp4")
        log("demo clip rendered")


def framing(casting, detector, shape, path, log):
    """Where a rendered face's true landmarks go, [5, 2], for it to lie as if the detector's had been carried onto `shape`.

    The two differ: our detector sees mouths a little higher than they are. Measured on one still of every fifth person and kept
    in the file `path`, so that a stopped rendering goes on alike.
    """
    import json

    import numpy as np
    import torch

    from .. import align, common
    from ..nets import Detector
    from . import stills

    if not path.exists():
        network = Detector().to(memory_format=torch.channels_last)
        common.load_weights(common.need(detector, "the detector's weights"), network)
        images, marks = stills.unhidden(casting, shape)
        seen, _, scores = align.find(network, images, torch.device("cpu"))
        sure = scores >= align.SURE
        place = align.counterpart(marks[sure], seen[sure], np.asarray(shape))
        common.write_text(path, json.dumps(place.tolist()))
        log(f"framing by {sure.sum()} stills: {np.round(place, 3).tolist()}")
    return np.array(json.loads(path.read_text()))
