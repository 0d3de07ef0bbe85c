# SPDX-License-Identifier: MPL-2.0
"""What a face does for each expression: weights of the 52 facial actions, after FACS / EMFACS.

Each class has prototypes (action units in ARKit's names with mean weights); a draw picks one, varies every
weight, drops some optional ones, makes the two sides differ a little and scales by an intensity.
"""

import numpy as np

CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")

# name: weight at full intensity. "Both" names stand for Left and Right; a trailing "?" marks optional actions.
_PROTOTYPES = {
    "happy": [  # AU 6 + 12 (+ 25)
        {"mouthSmile": 0.85, "cheekSquint": 0.7, "eyeSquint?": 0.4, "mouthDimple?": 0.3},
        {"mouthSmile": 1.0, "cheekSquint": 0.9, "eyeSquint?": 0.5, "mouthUpperUp": 0.5, "jawOpen": 0.12, "mouthLowerDown?": 0.25},
        {"mouthSmile": 1.05, "cheekSquint": 1.0, "eyeSquint": 0.5, "mouthUpperUp": 0.6, "jawOpen": 0.42, "mouthLowerDown": 0.3, "browOuterUp?": 0.25},
    ],
    "sad": [  # AU 1 + 4 + 15 (+ 17)
        {"browInnerUp": 1.0, "browDown": 0.35, "mouthFrown": 1.0, "mouthShrugLower": 0.6, "eyeBlink": 0.1, "eyeLookDown?": 0.5, "mouthPress?": 0.3},
        {"browInnerUp": 0.9, "browDown?": 0.3, "mouthFrown": 0.8, "eyeBlink": 0.15, "eyeLookDown": 0.4, "mouthRollLower?": 0.3, "mouthPucker?": 0.15},
        {"browInnerUp": 1.0, "browDown": 0.55, "mouthFrown": 0.9, "mouthStretch": 0.6, "cheekSquint": 0.6, "eyeSquint": 0.45, "eyeBlink": 0.12, "jawOpen?": 0.15, "mouthLowerDown?": 0.45, "mouthShrugLower": 0.5},
    ],
    "neutral": [{}],
    "angry": [  # AU 4 + 5 + 7 + 23 (24, or 25/26 shouting)
        {"browDown": 1.15, "eyeWide": 0.35, "eyeSquint?": 0.5, "mouthPress": 0.9, "mouthRollLower": 0.4, "mouthRollUpper": 0.3, "noseSneer?": 0.35, "jawForward?": 0.4},
        {"browDown": 1.2, "eyeWide?": 0.4, "noseSneer": 0.65, "mouthUpperUp": 0.7, "mouthLowerDown": 0.7, "jawOpen": 0.14, "mouthFunnel?": 0.35, "jawForward": 0.5},
        {"browDown": 1.2, "eyeWide": 0.4, "noseSneer": 0.6, "jawOpen": 0.65, "mouthUpperUp": 0.55, "mouthLowerDown": 0.7, "mouthFunnel?": 0.3, "mouthStretch?": 0.3},
        {"browDown": 1.15, "eyeSquint": 0.55, "mouthFrown": 0.35, "mouthPress?": 0.6, "mouthShrugLower?": 0.3, "mouthPucker?": 0.25},
    ],
    "surprise": [  # AU 1 + 2 + 5 + 26 (27)
        {"browInnerUp": 0.9, "browOuterUp": 1.0, "eyeWide": 0.9, "jawOpen": 0.5, "mouthFunnel?": 0.3},
        {"browInnerUp": 1.0, "browOuterUp": 1.05, "eyeWide": 1.0, "jawOpen": 0.85, "mouthFunnel?": 0.25},
        {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.8, "jawOpen": 0.28, "mouthPucker?": 0.3},
    ],
    "disgust": [  # AU 9 + 10 (+ 4, 15, 16, 17)
        {"noseSneer": 1.25, "mouthUpperUp": 0.8, "browDown": 0.6, "cheekSquint": 0.6, "eyeSquint": 0.6, "mouthFrown?": 0.4},
        {"noseSneer": 1.2, "mouthUpperUp": 0.6, "browDown": 0.5, "eyeSquint": 0.6, "mouthFrown": 0.7, "mouthShrugLower": 0.6, "mouthShrugUpper?": 0.5},
        {"noseSneer": 1.1, "mouthUpperUp": 0.9, "browDown": 0.45, "cheekSquint": 0.7, "jawOpen": 0.25, "mouthLowerDown": 0.4, "tongueOut?": 0.5, "mouthStretch?": 0.3},
    ],
    "fear": [  # AU 1 + 2 + 4 + 5 + 20 + 26
        {"browInnerUp": 1.1, "browOuterUp": 0.45, "browDown": 0.45, "eyeWide": 1.15, "mouthStretch": 0.9, "jawOpen": 0.22, "mouthLowerDown": 0.4},
        {"browInnerUp": 1.1, "browOuterUp": 0.5, "browDown": 0.4, "eyeWide": 1.2, "mouthStretch": 1.0, "jawOpen": 0.42, "mouthLowerDown": 0.6, "mouthFrown?": 0.3},
        {"browInnerUp": 1.1, "browOuterUp": 0.4, "browDown": 0.4, "eyeWide": 1.0, "mouthStretch": 0.8, "mouthFrown?": 0.3, "mouthUpperUp?": 0.3},
    ],
}


def expand(weights: dict, names: list) -> np.ndarray:
    """Weights [52] from a dict in which a name without its side means both sides."""
    index = {name: i for i, name in enumerate(names)}
    out = np.zeros(len(names), np.float32)
    for name, value in weights.items():
        targets = [name] if name in index else [name + "Left", name + "Right"]
        for target in targets:
            if target not in index:
                raise ValueError(f"no facial action {name!r}; known: {', '.join(names)}")
            out[index[target]] += value
    return out


def draw(rng, label: str, names: list, asymmetry: float = 0.12) -> np.ndarray:
    """Action weights [52] of one person's way of showing `label` at full intensity."""
    prototypes = _PROTOTYPES[label]
    chosen = prototypes[rng.integers(len(prototypes))]
    weights = {}
    for name, value in chosen.items():
        if name.endswith("?"):
            if rng.random() < 0.5:
                continue
            name = name[:-1]
        weights[name] = value * rng.uniform(0.75, 1.2)
    full = expand(weights, names)
    lean = rng.normal(0, asymmetry)
    for i, name in enumerate(names):
        if name.endswith("Left"):
            full[i] *= 1 + lean + rng.normal(0, 0.04)
        elif name.endswith("Right"):
            full[i] *= 1 - lean + rng.normal(0, 0.04)
    return np.clip(full, 0, 1.4)


def idle(rng, names: list, amount: float = 0.1) -> np.ndarray:
    """The small deviations of a resting face: nobody's neutral is zero everywhere."""
    out = np.zeros(len(names), np.float32)
    calm = [i for i, n in enumerate(names) if not n.startswith(("tongue", "jawOpen", "eyeLook", "mouthFunnel", "cheekPuff"))]
    for i in rng.choice(calm, 6, replace=False):
        out[i] = abs(rng.normal(0, amount))
    out[names.index("jawOpen")] = max(0.0, rng.normal(0, 0.03))
    return out


def gaze(horizontal: float, vertical: float, names: list) -> np.ndarray:
    """Action weights for looking to the picture's right (+) / left and up (+) / down, each in -1..1."""
    h, v = float(horizontal), float(vertical)
    weights = {}
    if h > 0:
        weights.update(eyeLookOutLeft=h, eyeLookInRight=h)
    else:
        weights.update(eyeLookInLeft=-h, eyeLookOutRight=-h)
    weights["eyeLookUp" if v > 0 else "eyeLookDown"] = abs(v)
    return expand(weights, names)
