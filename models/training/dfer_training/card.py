# SPDX-License-Identifier: MPL-2.0
"""`python -m dfer_training.card`: fills the tables of the model card and of its history from what the stages measured.

Both, models/README.md and models/training/HISTORY.md, are prose with blocks `<!-- figures NAME -->` ... `<!-- end NAME -->`;
what stands between is replaced by the table of that name. So no figure in a table is typed by hand. A stage adds tables to
`TABLES`.
"""

import argparse
import json
import re
from pathlib import Path

from . import CLASSES, card_head
from .common import MODELS, need, write_text
from .markdown import made_by, percent, table


def summary(m: dict) -> str:
    """The figures that say at once how good the networks are."""
    d, e, h = m["detector"], m["encoder"], m["head"]
    at = lambda rows: next(r for r in rows if r["score"] == d["score_threshold"])
    found = lambda r: f"{percent(r['recall'])} % at {r['false_per_image']:.3f} false alarms a photograph"
    scores = lambda s: f"WAR {percent(s['war'])}, UAR {percent(s['uar'])}"
    kept = lambda r: f"holds back {percent(r['abstained'])} %; of the others {percent(r['war-answered'])} % are right"
    rows = [["detector: faces of 5 % of the height and more, found at the shipped threshold", found(at(d["search"]))],
            *([["the same, labels reviewed", found(at(d["reviewed"]))]] if "reviewed" in d else []),
            ["encoder alone, FER+ test, aligned", scores(e["test"]["aligned"])],
            *[[f"whole classifier, {name}", f"{scores(h[key])}, ECE {h[key]['ece']:.3f}; {kept(m['robustness'][part][0])}"]
              for name, key, part in (("FER+ test, each picture held still", "test-stills", "ferplus"),
                                      ("SynDFER test (rendered films)", "syndfer-test", "syndfer"))]]
    return table(["", ""], rows) + "\n\nMade by the commands under the tables below."


def detector_curve(m: dict) -> str:
    d = m["detector"]
    searched = {r["score"]: r for r in d["search"]}
    reviewed = {r["score"]: r for r in d.get("reviewed", [])}
    bold = lambda score: f"**{score:.2f}**" if score == d["score_threshold"] else f"{score:.2f}"
    pair = lambda r: [percent(r["recall"]), f"{r['false_per_image']:.3f}"]
    third = lambda score: pair(reviewed[score]) if reviewed else []
    rows = [[bold(r["score"]), *pair(r), *pair(two), *third(r["score"])] for r in d["curve"] if (two := searched.get(r["score"]))]
    alarms = "false alarms a photograph"
    head = ["score at least", "one look: recall, %", alarms, "two looks: recall, %", alarms]
    return table(head + (["two looks, labels reviewed: recall, %", alarms] if reviewed else []), rows) + made_by(d)


def detector_rest(m: dict) -> str:
    d = m["detector"]
    w, small = d["windows_96"], d["windows_64"]
    bounded = lambda r: f"{percent(r['recall'])} % ({r['false_per_image']:.3f}, score {r['score']:.2f})"
    rows = [["faces scored / photographs", f"{d['faces']} / {d['photographs']}"],
            [f"two looks: recall at {d['at_alarms']['asked']} false alarms a photograph at most", bounded(d["at_alarms"])],
            *([["the same, labels reviewed", bounded(r)]] if (r := d.get("reviewed_at_alarms")) else []),
            ["mean overlap of matched boxes", f"{d['mean_iou']:.3f}"],
            ["landmark error, mean, share of the face's height (faces of 20 pixels and more in the first look)", f"{percent(d['landmark_error'])} %"],
            ["tracking windows of 96x96: found at score 0.5", f"{percent(w['recall'])} % of {w['faces']}"],
            ["tracking windows of 96x96: landmark error", f"{percent(w['landmark_error'])} %"],
            ["windows of 64x64: found, landmark error", f"{percent(small['recall'])} %, {percent(small['landmark_error'])} %"],
            ["ONNX Runtime, one thread, 320x192 / 96x96, fastest of 100", f"{d['onnxruntime_ms']['192x320']} / {d['onnxruntime_ms']['96x96']} ms"]]
    return table(["", ""], rows) + made_by(d)


def encoder_scores(m: dict) -> str:
    e, rows = m["encoder"], []
    for split in ("valid", "test"):
        for view in ("aligned", "frame"):
            s = e[split][view]
            rows.append([f"{split}, {view}", s["count"], percent(s["war"]), percent(s["uar"])]
                        + [percent(s["recall"][c], 0) for c in CLASSES] + [f"{s['ece']:.3f}"])
    note = (f"\n\nECE at temperature {e['temperature']:.3f}, fitted on valid, aligned. ONNX Runtime, one thread, fastest of 100: {e['onnxruntime_ms']} ms a face."
            f" Faces found in {percent(e['found']['test'])} % of test; the others are measured as they are.")
    return table(["FER+", "pictures", "WAR", "UAR", *CLASSES, "ECE"], rows) + note + made_by(e)


TAGGERS = {"all": "all", "majority": "single votes aside, one expression has more than half of the votes",
           "over half of all votes": "one expression has more than half of all votes", "at most half of all votes": "none has",
           "other taggers": "all; the answers are those of other taggers, drawn from the same votes"}


def encoder_taggers(m: dict) -> str:
    rows = [[split, TAGGERS[r["what"]], r["count"], percent(r["war"]), percent(r["uar"])]
            for split, part in m["encoder"]["taggers"].items() for r in part]
    return table(["FER+, aligned", "pictures of which", "pictures", "WAR", "UAR"], rows) + made_by(m["encoder"])


def encoder_confusion(m: dict) -> str:
    rows = [[f"**{c}**", *row] for c, row in zip(CLASSES, m["encoder"]["test"]["aligned"]["confusion"])]
    return table(["truth \\ answer", *CLASSES], rows) + made_by(m["encoder"])


def encoder_reliability(m: dict) -> str:
    rows = [[f"{r['from']:.1f} to {r['from'] + 0.1:.1f}", r["count"], percent(r["confidence"]), percent(r["accuracy"])]
            for r in m["encoder"]["test"]["aligned"]["reliability"]]
    return table(["probability of the answer", "pictures", "mean probability, %", "right, %"], rows) + made_by(m["encoder"])


def encoder_robustness(m: dict) -> str:
    rows = [[r["what"], percent(r["war"]), percent(r["uar"]), percent(r["changed"]), f"{r['confidence']:.2f}", percent(r["abstained"])]
            for r in m["encoder"]["robustness"]]
    rows += [[f"{r['what']} degrees ({r['count']} pictures)", percent(r["war"]), percent(r["uar"]), "", "", ""] for r in m["encoder"]["yaw"]]
    count = m["encoder"]["robustness"][0]["count"]
    return table([f"FER+ test, aligned ({count} pictures)", "WAR", "UAR", "answers changed, %", "mean probability", "under 0.4, %"], rows) + made_by(m["encoder"])


def footage(m: dict) -> str:
    # Stage evaluate drops the section when it is given no footage.
    if "footage" not in m:
        return "Not measured."
    f, rows = m["footage"], []
    for name, v in f.items():
        if name != "command":
            parts = "; ".join(f"{e['label']} {e['from']:g}-{e['to']:g} s: {percent(e['share'], 0)} % of {e['frames']} frames"
                              for e in v.get("expected", []))
            rows.append([name, v["frames"], percent(v["with_face"]), parts])
    return table(["video", "frames", "with a face, %", "frames answered as a viewer would"], rows) + made_by(f)


def seeds(m: dict) -> str:
    s, rows = m["seeds"], []
    pair = lambda r, key, show=percent: [show(x) for x in r[key]] if key in r else ["-", "-"]
    for r in s["rows"]:
        if "war" in r:
            rows.append([r["what"], r["count"], *pair(r, "war"), *pair(r, "uar"), *pair(r, "abstained"), *pair(r, "ece", "{:.3f}".format), percent(r["moved"])])
    far = sum(r["moved"] > s["allowed"] for r in s["rows"] if "war" in r)
    note = f"\n\n*Moved*: WAR, UAR or what is held back, whichever moved most. {far} of {len(rows)} moved by more than {percent(s['allowed'])} points."
    return table(["set", "pictures or windows", "WAR", "again", "UAR", "again", "held back, %", "again", "ECE", "again", "moved"], rows) + note + made_by(s)


def seeds_detector(m: dict) -> str:
    rows = [[r["what"], r["count"], *map(percent, r["share"]), percent(r["moved"])] for r in m["seeds"]["rows"] if "share" in r]
    return table(["", "labels", "%", "again", "moved"], rows) + made_by(m["seeds"])


TABLES = {"summary": summary, "detector-curve": detector_curve, "detector": detector_rest, "encoder": encoder_scores,
          "encoder-taggers": encoder_taggers, "encoder-confusion": encoder_confusion, "encoder-reliability": encoder_reliability,
          "encoder-robustness": encoder_robustness, "footage": footage, "seeds": seeds,
          "seeds-detector": seeds_detector} | card_head.TABLES


def fill(text: str, metrics: dict, tables: dict = TABLES) -> str:
    """`text` with the blocks of `tables` filled; a block without a table or a table's missing figures are an error."""
    def one(match: re.Match) -> str:
        name = match[1]
        if name not in tables:
            raise ValueError(f"the card asks for figures '{name}', which no stage makes")
        try:
            body = tables[name](metrics)
        except KeyError as error:
            raise ValueError(f"metrics.json lacks {error} for the card's table '{name}': run stage evaluate") from error
        return f"<!-- figures {name} -->\n{body}\n<!-- end {name} -->"

    return re.sub(r"<!-- figures ([\w-]+) -->\n.*?<!-- end \1 -->", one, text, flags=re.S)


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m dfer_training.card", description=__doc__)
    p.add_argument("--models", type=Path, default=MODELS)
    args = p.parse_args()
    metrics = json.loads(need(args.models / "metrics.json", "the figures").read_text())
    # The head's stages keep a file of their own; "footage" stands in both.
    head = json.loads(need(args.models / "metrics-head.json", "the head's figures").read_text())
    metrics |= {("head-footage" if key == "footage" else key): value for key, value in head.items()}
    metrics["seeds"] = json.loads(need(args.models / "metrics-seeds.json", "the comparison of two seeds").read_text())
    papers = [args.models / "README.md", args.models / "training" / "HISTORY.md"]
    filled = [fill(need(path, "the model card's prose").read_text(), metrics) for path in papers]
    for path, text in zip(papers, filled):
        write_text(path, text)


if __name__ == "__main__":
    main()
