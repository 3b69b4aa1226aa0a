"""How well does a listener answer SpeechQualityLLM's questions?  python -m benchmarks.questions --listener FOLDER --clips SET

On prepared clips of speakers and noises that training never heard (a folder that `auricle calibrate` has cached: `held-out-*`), each task
is asked single- and double-ended, in the trained wording and in held-out ones, and as other listeners:

    accuracy    MAE, RMSE, Pearson and Spearman with the labels' scores, 95 % intervals by bootstrap, coverage beside them
    words       difference between scores in held-out wordings and in the trained one
    profiles    mean shift to the neutral listener, beside the shift that the stated rule asks for
    reasons     distinct explanations; the worst damage named; IoU of its time span where it has a place in time

Answers are greedy and free (transformers, no grammar held), so that coverage says what the listener learned.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from auricle.judging.questions_judge import LONGEST_TOKENS
from auricle.judging.verdict import Scored
from auricle.listeners.asking import features_of, greedy_answers
from auricle.listeners.checkpoint import Listener, load_listener
from auricle.listeners.dataset import ClipSet, read_set
from auricle.listeners.features import scaled
from auricle.listeners.profiles import PROFILES, ProfileName, heard_by
from auricle.listeners.quality import MOS, NISQA_DIMENSIONS, audible_damages, quality_of
from auricle.listeners.questions import Question, held_out_questions, question
from auricle.listeners.rated_answers import parse_rated
from auricle.metrics.agreement import span_iou
from auricle.ratings.agreement import MEASURES, measure

LOCAL_SHARE = 0.75


@dataclass(frozen=True)
class Answered:
    """A question to all clips: each answer's text, and what it was parsed to (None: it was not)."""

    asked: Question
    texts: list[str]
    parsed: list[Scored | None]

    def scores(self, dimension: str = "") -> np.ndarray:
        """The scores by clip, NaN where it did not parse; of a dimension, for tasks that give several."""
        values = [None if one is None else one.dimensions.get(dimension, one.score) for one in self.parsed]
        return np.array([np.nan if value is None else value for value in values])


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.questions", description=__doc__, formatter_class=formatter)
    parser.add_argument("--listener", type=Path, required=True, metavar="FOLDER", help="a listener calibrated with the course `questions`")
    parser.add_argument("--clips", type=Path, required=True, metavar="SET", help="a folder of prepared held-out clips")
    parser.add_argument("--limit", type=int, default=0, help="the first so many clips only; 0: all")
    parser.add_argument("--parts", default="accuracy,words,profiles,reasons", help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    listener, clips = load_listener(arguments.listener), read_set(arguments.clips)
    rows = np.arange(min(len(clips), arguments.limit or len(clips)))
    room = Room(listener, clips, rows)
    console, parts = Console(), arguments.parts.split(",")
    figures = {name: part(room, console) for name, part in PARTS.items() if name in parts}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


class Room:
    """The listener with the clips before it; answers are remembered."""

    def __init__(self, listener: Listener, clips: ClipSet, rows: np.ndarray) -> None:
        self.listener, self.rows = listener, rows
        self.truths = [quality_of(clips.labels[row]) for row in rows]
        self._single, self._lengths = features_of(clips, rows)
        self._clean = scaled(torch.from_numpy(np.asarray(clips.references[rows], dtype=np.float32)))
        self._answers: dict[str, Answered] = {}

    def ask(self, asked: Question) -> Answered:
        """The answers of all clips."""
        if asked.text not in self._answers:
            features, lengths = self._single, self._lengths
            if asked.double_ended:
                features = torch.stack([self._clean, features], dim=1).flatten(0, 1)
                lengths = lengths.repeat_interleave(2)
            texts = greedy_answers(self.listener, asked, features, lengths, longest_tokens=LONGEST_TOKENS[asked.task])
            read = [parse_rated(asked, text, truth.duration_s) for text, truth in zip(texts, self.truths, strict=True)]
            self._answers[asked.text] = Answered(asked, texts, [one if isinstance(one, Scored) else None for one in read])
        return self._answers[asked.text]

    def truth(self, dimension: str, profile: ProfileName = "neutral") -> np.ndarray:
        """The labels' scores, as a profile would give them."""
        rng = np.random.default_rng(0)
        return np.array([heard_by(profile, truth, rng).scores[dimension] for truth in self.truths])


def accuracy(room: Room, console: Console) -> list[dict]:
    """Every task and dimension, single- and double-ended."""
    table = Table("task", "dimension", "heard", "coverage", *MEASURES, title="Accuracy", title_justify="left")
    figures = []
    for double_ended in (False, True):
        for asked, dimensions in _standard_questions(double_ended):
            answered = room.ask(asked)
            for dimension in dimensions:
                scores = answered.scores(dimension)
                measures = measure(room.truth(dimension), scores, resamples=500)
                shown = [f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]" for value in measures.values()] or ["-"] * len(MEASURES)
                coverage, ended = float(np.isfinite(scores).mean()), "double" if double_ended else "single"
                table.add_row(asked.task, dimension, ended, f"{coverage:.1%}", *shown)
                values = {name: value.value for name, value in measures.items()}
                figures.append({"task": asked.task, "dimension": dimension, "heard": ended, "coverage": coverage, **values})
    console.print(table)
    return figures


def words(room: Room, console: Console) -> list[dict]:
    """Held-out wordings beside the trained one."""
    table = Table("task", "wording", "coverage", "difference", "pearson with label", title="Held-out wordings", title_justify="left")
    figures = []
    for asked, dimensions in _standard_questions(False):
        dimension = dimensions[0]
        first = room.ask(asked).scores(dimension)
        for place, other in enumerate([asked, *held_out_questions(asked.task, asked.dimension)]):
            scores = room.ask(other).scores(dimension)
            both = np.isfinite(first) & np.isfinite(scores)
            difference = float(np.abs(scores - first)[both].mean()) if both.any() else float("nan")
            found = measure(room.truth(dimension), scores, resamples=50)
            correlation = found["pearson"].value if found else float("nan")
            coverage = float(np.isfinite(scores).mean())
            name = "trained" if place == 0 else f"held out {place}"
            table.add_row(f"{asked.task} {asked.dimension or ''}", name, f"{coverage:.1%}", f"{difference:.3f}", f"{correlation:.3f}")
            row = {"task": asked.task, "dimension": dimension, "wording": name, "coverage": coverage}
            figures.append(row | {"difference": difference, "pearson": correlation})
    console.print(table)
    return figures


def profiles(room: Room, console: Console) -> list[dict]:
    """Other listeners' scores beside the neutral one's."""
    table = Table(
        "profile", "coverage", "mean shift", "by the rule", "pearson with rule", title="Profiles (mos_numeric)", title_justify="left"
    )
    neutral, figures = room.ask(question("mos_numeric")).scores(), []
    for name in PROFILES:
        if name in ("neutral", "vote"):
            continue
        scores, wanted = room.ask(question("mos_numeric", profile=name)).scores(), room.truth(MOS, name)
        both = np.isfinite(scores) & np.isfinite(neutral)
        shift = float((scores - neutral)[both].mean()) if both.any() else float("nan")
        ruled = float((wanted - room.truth(MOS)).mean())
        found = measure(wanted, scores, resamples=50)
        correlation = found["pearson"].value if found else float("nan")
        table.add_row(name, f"{np.isfinite(scores).mean():.1%}", f"{shift:+.2f}", f"{ruled:+.2f}", f"{correlation:.3f}")
        figures.append(
            {"profile": name, "coverage": float(np.isfinite(scores).mean()), "shift": shift, "rule": ruled, "pearson": correlation}
        )
    console.print(table)
    return figures


def reasons(room: Room, console: Console) -> dict[str, float]:
    """What the explanations say."""
    answered = room.ask(question("explanatory"))
    bodies = [one.rationale for one in answered.parsed if one is not None]
    named, overlaps = [], []
    for truth, read in zip(room.truths, answered.parsed, strict=True):
        damages = audible_damages(truth)
        if damages:
            named.append(read is not None and damages[0].artefact in read.rationale)
        if damages and sum(end - start for start, end in damages[0].spans) <= LOCAL_SHARE * truth.duration_s:
            found = [] if read is None else [(span.start_s, span.end_s) for span in read.spans if span.artefact == damages[0].artefact]
            overlaps.append(span_iou(damages[0].spans, found))
    figures = {
        "clips": float(len(answered.texts)),
        "parsed": float(len(bodies)),
        "distinct": float(len(set(bodies))),
        "worst damage named": float(np.mean(named)) if named else float("nan"),
        "span clips": float(len(overlaps)),
        "span IoU": float(np.mean(overlaps)) if overlaps else float("nan"),
    }
    console.print("Explanations: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()), highlight=False)
    for text in answered.texts[:3]:
        console.print(f"  {text}", highlight=False, markup=False)
    return figures


def _standard_questions(double_ended: bool) -> list[tuple[Question, Sequence[str]]]:
    asked: list[tuple[Question, Sequence[str]]] = [(question("mos_numeric", double_ended=double_ended), (MOS,))]
    for name in NISQA_DIMENSIONS[1:]:
        asked.append((question("dim_numeric", name, double_ended=double_ended), (name,)))
        asked.append((question("dim_categ", name, double_ended=double_ended), (name,)))
    asked.append((question("multi_dim", double_ended=double_ended), NISQA_DIMENSIONS))
    asked.append((question("explanatory", double_ended=double_ended), NISQA_DIMENSIONS))
    return asked


PARTS = {"accuracy": accuracy, "words": words, "profiles": profiles, "reasons": reasons}

if __name__ == "__main__":
    sys.exit(main())
