"""Measures a GSRM judge on held-out records: other speakers, voices and noises than it learned from.

    python -m auricle.gsrm.report runs/gsrm --speech ... --noise ...
    python -m auricle.gsrm.report runs/reasons/listener --speech ... --noise ...

Agreement with the label, what was contradicted and why, what the spread is worth, whether the check can fail (the answers about one clip
held against another's features), and direct regression of the same features (ridge, in closed form) as the baseline of the paper.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from auricle.errors import CheckpointError, told_in_a_line
from auricle.gsrm.corpus import records
from auricle.gsrm.features import CLIP_MEASURES
from auricle.gsrm.findings import PITCH_SUBJECTS, SUBJECT_WORDS, VOWEL_SUBJECTS, Findings, findings_of
from auricle.gsrm.heard import loud_takes
from auricle.gsrm.judge import GsrmJudge, GsrmOptions
from auricle.gsrm.lessons import Record
from auricle.gsrm.method import FILE
from auricle.gsrm.rendering import LISTENING
from auricle.gsrm.samples import judged
from auricle.judging.verdict import Failed, Scored
from auricle.judging.vllm_engine import answer_messages, is_own_listener
from auricle.listeners.calibration import DatasetConfig
from auricle.metrics.agreement import mean_absolute_error, pearson, spearman
from auricle.metrics.intervals import statistic_interval


@told_in_a_line("python -m auricle.gsrm.report")
def main(argv: Sequence[str] | None = None) -> int:
    """Print the report as JSON."""
    parser = argparse.ArgumentParser(prog="python -m auricle.gsrm.report", description=__doc__.splitlines()[0])
    parser.add_argument(
        "checkpoint", type=Path, help="folder with a gsrm.json: of auricle.gsrm.train, or the listener of auricle calibrate"
    )
    parser.add_argument("--speech", type=Path, nargs="*", default=[], help="folders of clean speech, as in training")
    parser.add_argument("--noise", type=Path, nargs="*", default=[], help="folders of recorded noise, as in training")
    parser.add_argument(
        "--cache", type=Path, default=Path("corpus/gsrm"), help="where records are kept, for a judge that reads (default: corpus/gsrm)"
    )
    parser.add_argument("--held-out", type=int, default=200, help="held-out clips (default: 200)")
    parser.add_argument("--clips", type=int, default=0, help="training clips for the regression beside it (default: 0, leave it out)")
    parser.add_argument("--samples", type=int, default=16, help="answers drawn of each clip, K (default: 16)")
    parser.add_argument("--way", choices=("read", "listen"), help="whether it reads features or hears the clips (default: what it can)")
    parser.add_argument("--free", action="store_true", help="let it claim what it likes: how often is it contradicted then?")
    parser.add_argument("--processes", type=int, default=2, help="processes that make records (default: 2)")
    arguments = parser.parse_args(argv)
    if not (arguments.checkpoint / FILE).is_file():
        inside = arguments.checkpoint / "listener"
        cure = f"give {inside}" if (inside / FILE).is_file() else "`python -m auricle.gsrm.train` or `auricle calibrate` makes a judge"
        raise CheckpointError(f"{arguments.checkpoint}: no {FILE} there; {cure}")
    hears = arguments.way == "listen" or (not arguments.way and is_own_listener(str(arguments.checkpoint)))
    data = DatasetConfig(
        speech=tuple(arguments.speech), noise=tuple(arguments.noise), clips=arguments.clips, held_out_clips=arguments.held_out
    )
    sounds: list[Float32[np.ndarray, " samples"]] | None = None
    if hears:
        held_out, sounds = heard_clips(data, processes=arguments.processes)
    else:
        held_out = records(data, "held-out", arguments.cache, processes=arguments.processes)
    judge = GsrmJudge(GsrmOptions(model=str(arguments.checkpoint), samples=arguments.samples, way="listen" if hears else "read"))
    report = report_on(judge.free() if arguments.free else judge, held_out, sounds, data.sample_rate_hz)
    judge.close()
    if arguments.clips:
        learned = records(data, "train", arguments.cache, processes=arguments.processes)
        found = [[findings_of(one.measured, judge.method.norms) for one in part] for part in (learned, held_out)]
        guess = direct_regression(found[0], [one.score for one in learned], found[1], pitch=judge.method.pitch)
        report["direct_regression"] = _agreement(guess, [one.score for one in held_out])
    print(json.dumps(report, indent=1))
    return 0


def heard_clips(data: DatasetConfig, *, processes: int) -> tuple[list[Record], list[Float32[np.ndarray, " samples"]]]:
    """The records of `data.held_out_clips` and their sounds, for a judge that listens. They are made anew: only records are kept."""
    takes = list(loud_takes(data, "held-out", data.held_out_clips, processes=processes))
    return [take.record for take in takes], [take.audio for take in takes]


def report_text(grounded: dict, free: dict) -> str:
    """The main figures of the same judge, held to what was measured and free, as a Markdown table. Agreement is over the clips that have
    a score, which are told in brackets: two columns are not of the same clips where the numbers differ."""
    rows = {
        "samples that the measurement contradicts": [f"{report['samples_contradicted']:.1%}" for report in (grounded, free)],
        "samples unparsable": [f"{report['samples_unparsable']:.1%}" for report in (grounded, free)],
        "clips with a score": [f"{report['coverage']:.0%}" for report in (grounded, free)],
    }
    for name in ("score", "sound", "naturalness"):
        rows[f"{name}: Pearson with the label"] = [_told(report, name) for report in (grounded, free)]
    lines = [f"| {grounded['clips']} clips | held to what was measured | free |", "|---|---|---|"]
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in rows.items()]
    return "### Evidence, judgement and score of held-out clips\n\n" + "\n".join(lines) + "\n"


def report_on(
    judge: GsrmJudge, held_out: Sequence[Record], sounds: Sequence[np.ndarray] | None = None, sample_rate_hz: int = 16_000
) -> dict:
    """All figures; shares are of clips, or of samples where the name says so. sounds: of the records, for a judge that listens."""
    found = [findings_of(record.measured, judge.method.norms) for record in held_out]
    began = time.process_time()
    if sounds is None:
        asked = [judge.reading(one) for one in found]
    else:
        asked = [answer_messages(LISTENING, [sound], sample_rate_hz) for sound in sounds]
    texts = judge.answers(asked, list(range(len(found))), found)
    cpu_s = time.process_time() - began
    verdicts = [judge.verdict(one, answers) for one, answers in zip(found, texts, strict=True)]
    form, check = judge.method.form, judge.options.check
    samples = [judged(text, form, one, check) for one, each in zip(found, texts, strict=True) for text in each]
    kept = [(verdict, record) for verdict, record in zip(verdicts, held_out, strict=True) if isinstance(verdict, Scored)]
    scores, labels = [float(verdict.score or 0.0) for verdict, _ in kept], [record.score for _, record in kept]
    spreads = [verdict.dimensions["spread"] for verdict, _ in kept]
    report: dict = {
        "clips": len(held_out),
        "scored": len(kept),
        "coverage": len(kept) / len(held_out),
        "cpu_seconds": round(cpu_s, 1),
        "samples_contradicted": _share(samples, "contradicts_evidence"),
        "samples_unparsable": _share(samples, "unparsable"),
        "distinct_texts": len({text for each in texts for text in each}) / max(1, sum(map(len, texts))),
    }
    if len(kept) < 3:
        return report
    report |= {
        "mean_spread": float(np.mean(spreads)),
        "spread_with_error_spearman": _number(spearman(spreads, np.abs(np.array(scores) - np.array(labels)))),
        "score": _agreement(scores, labels),
    }
    for name in ("sound", "naturalness"):
        if all(name in verdict.dimensions for verdict, _ in kept):
            report[name] = _agreement([verdict.dimensions[name] for verdict, _ in kept], [getattr(record, name) for _, record in kept])
    others = list(zip(found, texts[1:], strict=False))
    swapped = [judged(text, form, one, check) for one, each in others for text in each]
    report["samples_contradicted_by_another_clip"] = _share(swapped, "contradicts_evidence")
    report["clips_failed_by_another_clip"] = float(np.mean([isinstance(judge.verdict(one, each), Failed) for one, each in others]))
    return report


def direct_regression(
    learned: Sequence[Findings], scores: Sequence[float], asked: Sequence[Findings], *, pitch: bool = True, ridge: float = 10.0
) -> list[float]:
    """Scores by ridge regression on deciles and on the share of vowels in each bin."""
    inputs, wanted = np.stack([_columns(one, pitch) for one in learned]), np.array(scores)
    middle, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    scaled = (inputs - middle) / scale
    weights = np.linalg.solve(scaled.T @ scaled + ridge * np.eye(scaled.shape[1]), scaled.T @ (wanted - wanted.mean()))
    guesses = (np.stack([_columns(one, pitch) for one in asked]) - middle) / scale @ weights + wanted.mean()
    return np.clip(guesses, 1.0, 5.0).tolist()


def _columns(found: Findings, pitch: bool) -> Float[np.ndarray, " columns"]:
    deciles = [found.decile(name) / 9 for name in CLIP_MEASURES if pitch or name not in PITCH_SUBJECTS]
    bins = [found.share(name, word) for name in VOWEL_SUBJECTS if pitch or name not in PITCH_SUBJECTS for word in SUBJECT_WORDS[name]]
    return np.nan_to_num(np.array([*deciles, *bins, found.vowels / 10, found.speech_s]))


def _agreement(scores: Sequence[float], labels: Sequence[float]) -> dict[str, float | list[float | None] | None]:
    """None where there is no number, as of a correlation with one score for all; JSON has no NaN."""
    interval = statistic_interval(pearson, scores, labels)
    return {
        "pearson": _number(pearson(scores, labels)),
        "interval": [_number(interval.low), _number(interval.high)],
        "spearman": _number(spearman(scores, labels)),
        "mae": _number(mean_absolute_error(scores, labels)),
    }


def _number(value: float) -> float | None:
    return round(value, 3) if np.isfinite(value) else None


def _told(report: dict, name: str) -> str:
    found = report.get(name)
    if not found or found["pearson"] is None:
        return "-"
    low, high = found["interval"]
    return f"{found['pearson']:.2f} [{low:.2f}, {high:.2f}] ({report['scored']} clips)"


def _share(samples: Sequence[object], reason: str) -> float:
    return float(np.mean([isinstance(sample, Failed) and sample.reason == reason for sample in samples]))


if __name__ == "__main__":
    sys.exit(main())
