"""What a judge's pick of N enhancements is worth: PESQ of the one it picks, beside that of the plain one, of a random one, and of the best.

    python -m benchmarks.best_of --corpus corpus/A --judge gsrm listener dnsmos

Candidates are those of `auricle enhance --best-of N`: the plain enhancement and N - 1 explored ones. PESQ is against the target in its
room; no judge sees the target. Intervals are over scenes. Use the dev split: the eval split is for results, not for choosing a judge.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from auricle.enhancers.assets import default_enhancer
from auricle.enhancers.checkpoint import load_enhancer
from auricle.enhancers.chunks import ChunkConfig
from auricle.errors import told_in_a_line
from auricle.judging.local import LocalPanel
from auricle.metrics.intervals import mean_interval
from auricle.metrics.intrusive import pesq_wb
from auricle.scenes.layouts import list_scenes
from auricle.scenes.loading import load_clip
from pipelines.best_of import BestOf, judge_alone
from pipelines.command import load_settings
from pipelines.settings import Settings

Audio = Float32[np.ndarray, " samples"]
Scores = Float[np.ndarray, "scenes candidates"]


@told_in_a_line("python -m benchmarks.best_of")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.best_of", description=__doc__, formatter_class=formatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--scenes", type=int, default=24, help="the first so many (default: 24)")
    parser.add_argument("--count", type=int, default=8, help="N (default: 8)")
    parser.add_argument("--judge", nargs="+", default=["gsrm"], help="judges of the panel, or kinds")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE", help="as in finetune")
    parser.add_argument("--output", type=Path, help="all scores, as JSON")
    arguments = parser.parse_args(argv)
    settings = load_settings("tiny", arguments.assignments)
    scenes, rate_hz, pesq = candidates(arguments, settings)
    scores = {judge: judged(judge, scenes, rate_hz, settings) for judge in arguments.judge}
    show(pesq, scores)
    if arguments.output:
        arguments.output.write_text(json.dumps({"PESQ": pesq.tolist()} | {judge: found.tolist() for judge, found in scores.items()}))
    return 0


@torch.no_grad()
def candidates(arguments: argparse.Namespace, settings: Settings) -> tuple[list[list[Audio]], int, Scores]:
    """The candidates of every scene, their sample rate in Hz, and PESQ of each."""
    enhancer = load_enhancer(default_enhancer()).eval()
    picker, made, pesq = BestOf(settings, arguments.judge[0], arguments.count), [], []
    for scene in list_scenes(arguments.corpus, arguments.split)[: arguments.scenes]:
        clip = load_clip(
            scene,
            sample_rate_hz=enhancer.sample_rate_hz,
            frame_rate_hz=enhancer.frame_rate_hz,
            frame_size_px=enhancer.frame_size_px,
        )
        assert clip.target is not None, f"{scene.scene_id}: no target, no PESQ"
        frames = None if clip.frames is None else torch.from_numpy(clip.frames.copy())
        sounds = [one[0].numpy() for one in picker.candidates(enhancer, torch.from_numpy(clip.mix)[None], frames, ChunkConfig())]
        made.append(sounds)
        pesq.append([pesq_wb(clip.target, sound, clip.sample_rate_hz) for sound in sounds])
    return made, enhancer.sample_rate_hz, np.array(pesq)


def judged(judge: str, scenes: Sequence[Sequence[Audio]], rate_hz: int, settings: Settings) -> Scores:
    """The judge's score of every candidate, NaN where it failed."""
    config = judge_alone(settings.panel, judge)
    requests = [
        {"clip_id": f"{scene}/{number}", "audio": sound, "sample_rate_hz": rate_hz, "reference": None}
        for scene, sounds in enumerate(scenes)
        for number, sound in enumerate(sounds)
    ]
    with LocalPanel(config) as panel:
        answers = [answer[config.judges[-1].name] for answer in panel.judge(requests)]
    faults = Counter(answer["reason"] for answer in answers if "score" not in answer)
    print(f"{judge}: {len(answers)} candidates judged; failed: {dict(faults) or 'none'}", file=sys.stderr)
    return np.array([answer.get("score", np.nan) for answer in answers], dtype=np.float64).reshape(len(scenes), -1)


def show(pesq: Scores, scores: dict[str, Scores]) -> None:
    """A row for each way to pick."""
    table = Table(
        "picked by", "PESQ", "beside random", "Spearman within a scene", "scored", title=f"{len(pesq)} scenes, N = {pesq.shape[1]}"
    )
    random = pesq.mean(axis=1)
    picks = {"nobody: plain": pesq[:, 0], "nobody: random": random}
    picks |= {judge: _picked(pesq, found) for judge, found in scores.items()}
    for name, values in (picks | {"PESQ": pesq.max(axis=1)}).items():
        found = scores.get(name)
        orders = [] if found is None else [_spearman(*pair) for pair in zip(found, pesq, strict=True)]
        told = ("", "") if found is None else (_with_interval(orders), f"{np.isfinite(found).mean():.0%}")
        table.add_row(name, f"{np.nanmean(values):.3f}", _with_interval(values - random), *told)
    Console().print(table)


def _picked(pesq: Scores, scores: Scores) -> Float[np.ndarray, " scenes"]:
    """PESQ of the best by score, as `BestOf` picks it; NaN where no candidate has one."""
    known = np.isfinite(scores).any(axis=1)
    best = np.where(np.isfinite(scores), scores, -np.inf).argmax(axis=1)
    return np.where(known, pesq[np.arange(len(pesq)), best], np.nan)


def _spearman(scores: Float[np.ndarray, " candidates"], pesq: Float[np.ndarray, " candidates"]) -> float:
    known = np.isfinite(scores)
    if known.sum() < 3 or np.ptp(scores[known]) == 0:
        return float("nan")
    return float(spearmanr(scores[known], pesq[known]).statistic)


def _with_interval(values: Sequence[float] | Float[np.ndarray, " scenes"]) -> str:
    found = mean_interval(values)
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


if __name__ == "__main__":
    sys.exit(main())
