# SPDX-License-Identifier: MPL-2.0
"""`python -m dfer_training STAGE [options]`: runs one stage of the recipe.

Every stage is a module with `main(argv)`; it is imported only when asked for, so that a stage's
dependencies (the renderer's, say) are not needed by the others.
"""

import importlib
import sys

STAGES = {
    "detector": ("detector", "train the face detector on facedet"),
    "align": ("align", "align FER+ by the detector's landmarks and place the live crop"),
    "render": ("synth", "render SynDFER: clips and stills of moving heads"),
    "encoder": ("encoder", "train the frame encoder on FER+ and rendered stills"),
    "head": ("head", "train the temporal head on cached embeddings"),
    "head-study": ("noise_study", "what dual stream, key re-sampling and agreement earn under label noise, on SynDFER"),
    "head-robustness": ("head_robust", "the whole classifier under disturbances"),
    "head-footage": ("timeline", "what the shipped networks say over videos"),
    "evaluate": ("evaluate", "measure every network and write models/metrics.json"),
    "seeds": ("seeds", "how far the figures of two rebuilds on different seeds lie apart"),
    "export": ("export", "write the ONNX graphs, model.toml files and reference tensors"),
}


def usage() -> str:
    lines = ["usage: python -m dfer_training STAGE [options]   (STAGE --help lists its options)", ""]
    lines += [f"  {name:16} {what}" for name, (_, what) in STAGES.items()]
    return "\n".join(lines)


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(usage())
        return 0
    stage = sys.argv[1]
    if stage not in STAGES:
        print(f"unknown stage '{stage}': it is one of {', '.join(STAGES)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"dfer_training.{STAGES[stage][0]}")
    try:
        return module.main(sys.argv[2:]) or 0
    except (FileNotFoundError, ValueError) as error:
        print(f"{stage}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
