# SPDX-License-Identifier: MPL-2.0
"""What a head does over a few seconds: expressions with onset, apex and offset among things that are not expressions.

Distractors: blinks, saccades, talking, head motion, restless small actions. Times in seconds.
"""

from dataclasses import dataclass

import numpy as np

from . import expressions


@dataclass
class Event:
    """One expression: rises from `start` over `onset`, holds for `apex`, falls over `offset`."""

    label: str
    actions: np.ndarray
    start: float
    onset: float
    apex: float
    offset: float
    intensity: float = 1.0

    def level(self, t: float) -> float:
        """Share of the apex that is shown at time `t`, 0..1."""
        up = _ease((t - self.start) / self.onset)
        down = _ease((t - self.start - self.onset - self.apex) / self.offset)
        return float(up * (1 - down))


class Smooth:
    """Slow random motion of some channels: sums of sines with random periods, unit amplitude."""

    def __init__(self, rng, channels: int, slowest: float = 6.0, fastest: float = 1.2):
        self.period = np.exp(rng.uniform(np.log(fastest), np.log(slowest), (4, channels)))
        self.phase = rng.uniform(0, 2 * np.pi, (4, channels))
        self.gain = rng.uniform(0.2, 1, (4, channels)) * np.sqrt(self.period / slowest)
        self.gain /= self.gain.sum(0)

    def __call__(self, t: float) -> np.ndarray:
        return (self.gain * np.sin(2 * np.pi * t / self.period + self.phase)).sum(0)


class Performance:
    """A face in time: `actions(t)` [52], `angles(t)` (yaw, pitch, roll), `shift(t)` metres, `weights(t)` [7]."""

    def __init__(self, rng, names, events, duration, restless=0.1, talking=0.0, turn=(0.0, 0.0, 0.0), sway=1.0, blink_rate=0.3):
        self.names, self.events = names, events
        self.rest = expressions.idle(rng, names, restless)
        self.turn, self.sway = np.asarray(turn, float), sway
        self.nod, self.drift, self.mood = Smooth(rng, 3), Smooth(rng, 3, 8, 2), Smooth(rng, 2, 3, 0.5)
        self.blinks, t = [], rng.exponential(1 / blink_rate)
        while t < duration:
            self.blinks.append((t, rng.uniform(0.12, 0.24)))
            t += 0.4 + rng.exponential(1 / blink_rate)
        self.looks, t = [(0.0, *rng.normal(0, 0.15, 2))], rng.exponential(1.2)
        while t < duration:
            self.looks.append((t, *np.clip(rng.normal(0, (0.35, 0.2)), -1, 1)))
            t += 0.3 + rng.exponential(1.2)
        self.talking = talking
        self.speech = Smooth(rng, 4, 0.6, 0.16)
        self.pauses = Smooth(rng, 1, 3.0, 0.8)

    def weights(self, t: float) -> np.ndarray:
        """[7] intensity of each class at time `t` (neutral stays 0: it is what remains)."""
        out = np.zeros(7)
        for event in self.events:
            k = expressions.CLASSES.index(event.label)
            out[k] = max(out[k], event.level(t) * event.intensity)
        return out

    def actions(self, t: float) -> np.ndarray:
        out = self.rest * (1 + 0.5 * self.mood(t)[0])
        for event in self.events:
            # At the apex nobody stands perfectly still.
            out = out + event.level(t) * event.intensity * (1 + 0.06 * self.mood(t)[1]) * event.actions
        if self.talking > 0:
            voice = self.speech(t) * self.talking * (self.pauses(t)[0] > -0.25)
            out = out + expressions.expand(
                {"jawOpen": 0.22 * max(0, voice[0]) * 2, "mouthFunnel": 0.4 * max(0, voice[1]), "mouthLowerDown": 0.4 * max(0, voice[2]),
                 "mouthPucker": 0.4 * max(0, voice[3]), "mouthClose": 0.15 * max(0, -voice[0])}, self.names)
        look = [l for l in self.looks if l[0] <= t][-1]
        out = out + expressions.gaze(look[1], look[2], self.names)
        lid = max([0.0] + [1 - abs((t - start) / length * 2 - 1) for start, length in self.blinks if start <= t <= start + length])
        if lid > 0:
            lids = expressions.expand({"eyeBlink": 1.0}, self.names)
            shut = _ease(lid * 1.5)
            out = np.where(lids > 0, np.maximum(out, shut), out)
            wide = expressions.expand({"eyeWide": 1.0, "eyeSquint": 1.0}, self.names)
            out = np.where(wide > 0, out * (1 - shut), out)
        return np.clip(out, 0, 1.4).astype(np.float32)

    def angles(self, t: float) -> np.ndarray:
        motion = self.turn + self.sway * np.array([0.22, 0.09, 0.08]) * self.nod(t)
        for event in self.events:
            motion = motion + event.level(t) * event.intensity * np.array(_NOD.get(event.label, (0, 0, 0)))
        return motion

    def shift(self, t: float) -> np.ndarray:
        return self.sway * np.array([0.012, 0.012, 0.006]) * self.drift(t)


_NOD = {"sad": (0.0, 0.10, 0.02), "surprise": (0, -0.05, 0), "fear": (0, -0.06, 0), "happy": (0, -0.02, 0.03), "angry": (0, 0.07, 0), "disgust": (0.05, 0.0, 0.04)}
"""How the head tends to move along: yaw, pitch, roll in radians at full intensity."""


def _ease(x: float) -> float:
    x = min(1.0, max(0.0, x))
    return x * x * (3 - 2 * x)
