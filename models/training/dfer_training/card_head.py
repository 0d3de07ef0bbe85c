# SPDX-License-Identifier: MPL-2.0
"""The card's tables about the temporal head and SynDFER, from metrics-head.json."""

from . import CLASSES
from .markdown import made_by, percent, table

_SETS = {
    "test-stills": "FER+ test, each picture held still for 2.56 s", "test-drifting": "FER+ test, each picture drifting",
    "test-mixed": "FER+ test, composed windows (changes, covers, foreign stretches)", "syndfer-test": "SynDFER test",
    "valid-stills": "FER+ valid, still", "valid-mixed": "FER+ valid, composed", "syndfer-valid": "SynDFER valid",
}


def scores(m: dict) -> str:
    h, rows = m["head"], []
    for key, name in _SETS.items():
        if key in h:
            s = h[key]
            rows.append([name, s["count"], percent(s["war"]), percent(s["uar"]), *[percent(s["recall"][c], 0) for c in CLASSES], f"{s['ece']:.3f}", f"{s['agreement']:.3f}"])
    note = f"\n\nTemperature {h['temperature']:.3f}, for agreement {h['agreement-temperature']:.3f}; min-agreement {h['min-agreement']:.3f}, min-confidence {h['min-confidence']:.3f}; all chosen on FER+ valid."
    rendered = h.get("syndfer-test", {})
    if own := rendered.get("own-ece"):
        note += f" At a temperature of its own, fitted on its valid people, SynDFER test has an ECE of {own:.3f}."
    if chance := rendered.get("ece-by-chance"):
        note += f" Probabilities without any fault would show {chance:.3f} on its {rendered['count']} windows, at most three of each of {rendered['films']} sequences."
    return table(["set", "windows", "WAR", "UAR", *CLASSES, "ECE", "mean agreement"], rows) + note + made_by(h)


def trust(m: dict) -> str:
    h, rows = m["head"], []
    for key, name in _SETS.items():
        if key in h and key.startswith(("test", "syndfer-test")):
            rows.append([name] + [f"{percent(b['accuracy'])} ({b['count']})" for b in h[key]["agreement-bins"]])
    tenth = [[name, *[percent(t["accuracy"], 0) for t in h[key]["agreement-tenths"]]] for key, name in _SETS.items() if key in h and key.startswith(("test", "syndfer-test"))]
    second = "\n\nThe same by tenths of the windows, from the least agreeing to the most:\n\n" + table(["right, %", *[f"{k}." for k in range(1, 11)]], tenth)
    edges = next(h[k] for k in _SETS if k in h)["agreement-bins"]
    return table(["right, % (windows) at agreement", *[f"{b['from']:.2f} to {b['to']:.2f}" for b in edges]], rows) + second + made_by(h)


def reliability(m: dict) -> str:
    h, rows = m["head"], []
    for key in ("test-mixed", "test-stills", "syndfer-test"):
        for r in h.get(key, {}).get("reliability", []):
            bar = "█" * round(20 * r["accuracy"])
            rows.append([_SETS[key], f"{r['from']:.1f} to {r['from'] + 0.1:.1f}", r["count"], percent(r["confidence"]), percent(r["accuracy"]), bar])
    return table(["set", "probability of the answer", "windows", "mean probability, %", "right, %", ""], rows) + made_by(h)


def study(m: dict) -> str:
    s = m["syndfer-study"]
    cell = lambda e, k: f"{100 * e[k]['mean']:.1f} ± {100 * e[k]['spread']:.1f}" if k in e else "-"
    rows = [["{} % {}".format(*noise.partition(" ")[::2]).strip(), name, cell(e, "war"), cell(e, "uar"), cell(e, "auc"), cell(e, "auc-noise-against-hard"), cell(e, "noisy-recall"), cell(e, "noisy-precision")]
            for noise, variants in s["table"].items() for name, e in variants.items()]
    note = f"\n\n{s['train']} training and {s['test']} test sequences of different people; mean and standard deviation over the seeds."
    return table(["labels exchanged", "network", "WAR", "UAR", "AUC: exchanged labels", "AUC: exchanged against hard", "exchanged found", "found are exchanged"], rows) + note + made_by(s)


def robustness(m: dict) -> str:
    r, rows = m["robustness"], []
    for key, name in (("ferplus", "FER+ test"), ("syndfer", "SynDFER test")):
        rows += [[name, d["what"], d["count"], percent(d["war"]), percent(d["uar"]), percent(d.get("changed")), f"{d['agreement']:.3f}", percent(d["abstained"]), percent(d["war-answered"])] for d in r[key]]
    return table(["set", "disturbance", "windows", "WAR", "UAR", "answers changed, %", "mean agreement", "abstained, %", "WAR of the answered"], rows) + made_by(r)


def footage(m: dict) -> str:
    f, rows = m["head-footage"], []
    for name, v in f["videos"].items():
        for s in v["spans"]:
            rows.append([name, f"{s['label']}, {s['from']:g} to {s['to']:g} s", s["decisions"], percent(s["right"], 0), percent(s["held-back"], 0)])
    return table(["video", "a viewer would say", "decisions", "answered so, %", "held back as uncertain, %"], rows) + made_by(f)


TABLES = {"head": scores, "head-agreement": trust, "head-reliability": reliability, "head-study": study,
          "head-robustness": robustness, "head-footage": footage}
