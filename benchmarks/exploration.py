"""How much of a policy gradient is signal, for each way to explore and each reward: measured where actions are, scene by scene.

    python -m benchmarks.exploration --corpus corpus/tiny-A
    python -m benchmarks.exploration --corpus corpus/tiny-A --scenes 48 --way bands=8 --way bands=4,knot_s=1.0 --way sigma=0.3

Of every scene pairs of samples are drawn, mean + sigma e and mean - sigma e, and judged. Over scenes, each with the weight of its variance,
as in a step's batch:

    spread   standard deviation of a scene's samples, in the reward's own unit
    linear   share of the variance that a gradient explains, |E[reward e]|^2: 1 where rewards are linear in the action, less where they bend
             or jump
    even     share of the variance that both of a pair have alike. Mirrored samples would be rid of it, and look in half as many directions
    share    |E g|^2 / E |g|^2 of the gradient g from a step's samples of one scene (4, compared with their mean). With n samples a linear
             reward of d numbers has (n - 1) / (d + n): fewer bands and knots are followed more surely, and can say less

The number after +- is the jackknife's standard error over scenes. All ways have the same scenes; a scene that some way or judge has no
score of is left out of all, and counted.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from ray.rllib.core.columns import Columns
from rich.console import Console
from rich.table import Table

from actors.policy import FRAMES, LOGITS, MIX, EnhancementPolicy
from auricle.config import build, parse_assignments
from auricle.enhancers.assets import default_enhancer
from auricle.enhancers.exploration import ExplorationConfig
from auricle.errors import told_in_a_line
from auricle.judging.local import LocalPanel
from auricle.judging.panel import PanelConfig
from auricle.scenes.layouts import list_scenes
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Clip

PANEL = (
    {"name": "pesq"},
    {"name": "stoi"},
    {"name": "si_sdr"},
    {"name": "dnsmos", "options": {"fast": True}},
    {"name": "listener", "options": {"ask": ["rate"]}},
)
WAYS = ("bands=8,knot_s=0.4", "bands=4,knot_s=1.0", "sigma=0.3")
Sums = Float[np.ndarray, "scenes sums"]


@told_in_a_line("python -m benchmarks.exploration")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exploration", description=__doc__, formatter_class=formatter)
    parser.add_argument("--corpus", type=Path, required=True, help="scenes with targets")
    parser.add_argument("--scenes", type=int, default=24, help="so many of the split train, drawn by chance (default: 24)")
    parser.add_argument("--pairs", type=int, default=16, help="pairs of samples of a scene (default: 16)")
    parser.add_argument("--samples", type=int, default=4, help="of a scene in one step of finetune (default: 4)")
    parser.add_argument("--clip", type=float, default=2.0, help="seconds of each scene (default: 2)")
    parser.add_argument("--way", action="append", metavar="A=VALUE,...", help=f"keys of [exploration] (default: {', then '.join(WAYS)})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="all figures, as JSON")
    arguments = parser.parse_args(argv)
    if arguments.scenes < 2:
        parser.error(f"--scenes {arguments.scenes}: errors need two or more")
    if not 2 <= arguments.samples <= arguments.pairs / 2:
        parser.error(f"--samples {arguments.samples}: at least 2, and at most half of --pairs {arguments.pairs}")
    ways = {way: build(ExplorationConfig, parse_assignments(way.split(",")), source=f"--way {way}") for way in arguments.way or WAYS}
    torch.set_num_threads(1)
    scenes = [scene for scene in list_scenes(arguments.corpus, "train") if scene.target is not None]
    if len(scenes) < arguments.scenes:
        parser.error(f"--scenes {arguments.scenes}: {arguments.corpus} has {len(scenes)} with targets to train on")
    picked = np.random.default_rng(arguments.seed).permutation(len(scenes))[: arguments.scenes]
    sums: dict[str, dict[str, Sums]] = {}
    with LocalPanel(build(PanelConfig, {"judges": list(PANEL)}, source="judges")) as judges:
        for way, config in ways.items():
            policy = EnhancementPolicy.from_enhancer(default_enhancer(), config).eval()
            clips = [load_clip(scenes[index], **policy.enhancer.clip_format, duration_s=arguments.clip) for index in picked]
            sums[way] = measured(policy, clips, judges, arguments)
            print(f"{way}: {json.dumps(figures_of(sums[way]))}", file=sys.stderr, flush=True)
    whole = np.isfinite(np.concatenate([each for one in sums.values() for each in one.values()], axis=1)).all(axis=1)
    if whole.sum() < 2:
        raise SystemExit(f"only {whole.sum()} of {len(whole)} scenes were judged by all; see the judges' deadlines")
    found = {way: figures_of({name: each[whole] for name, each in one.items()}) for way, one in sums.items()}
    show(
        found,
        f"{whole.sum()} of {arguments.scenes} scenes, {arguments.pairs} pairs of each, a step's gradient from {arguments.samples} samples",
    )
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1))
    return 0


def measured(policy: EnhancementPolicy, clips: Sequence[Clip], judges: LocalPanel, arguments: argparse.Namespace) -> dict[str, Sums]:
    """What is known of each scene for one way to explore, by reward; NaN where one of its samples has no score."""
    sums: dict[str, list[list[float]]] = {}
    for index, clip in enumerate(clips):
        noise, sounds = _draws(policy, clip, arguments.pairs, np.random.default_rng([arguments.seed, index]))
        for name, scores in _scores(judges, sounds, clip).items():
            sums.setdefault(name, []).append(sums_of(noise, scores, arguments.samples))
    return {name: np.array(each) for name, each in sums.items()}


@torch.no_grad()
def _draws(
    policy: EnhancementPolicy, clip: Clip, pairs: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "pairs numbers"], Float[np.ndarray, "rows samples"]]:
    """Noise of so many pairs, and the sounds: first all mean + sigma e, then all mean - sigma e."""
    mix = torch.from_numpy(clip.mix)[None]
    frames = None if clip.frames is None else torch.from_numpy(clip.frames.copy())[None]
    result = policy.forward_train({Columns.OBS: {MIX: mix, FRAMES: frames}})
    mean, logits = result[Columns.ACTION_DIST_INPUTS].mT, result[LOGITS]
    noise = rng.standard_normal((pairs, *mean.shape[1:]), dtype=np.float32)
    moved = mean + policy.explorer.sigma * torch.from_numpy(np.concatenate([noise, -noise]))
    rows = logits.expand(2 * pairs, -1, -1)
    sounds = policy.enhancer.apply_mask(mix.expand(2 * pairs, -1), policy.explorer.apply(rows, mean.expand_as(moved), moved))
    return noise.reshape(pairs, -1), sounds.numpy()


def _scores(judges: LocalPanel, sounds: Float[np.ndarray, "rows samples"], clip: Clip) -> dict[str, Float[np.ndarray, " rows"]]:
    """Every judge's score of every row, NaN where it failed."""
    requests = [
        {"clip_id": str(row), "audio": sound, "sample_rate_hz": clip.sample_rate_hz, "reference": clip.target}
        for row, sound in enumerate(sounds)
    ]
    answers = judges.judge(requests)
    return {name: np.array([answer[name].get("score", np.nan) for answer in answers], dtype=np.float64) for name in answers[0]}


def sums_of(noise: Float[np.ndarray, "pairs numbers"], scores: Float[np.ndarray, " rows"], samples: int) -> list[float]:
    """Of one scene, each without bias: variance of its samples, and what of it pairs have alike; product of two independent gradients, and
    squared length of one."""
    there, back = scores.reshape(2, len(noise))
    odd, even = float(np.square((there - back) / 2).mean()), float(((there + back) / 2).var(ddof=1))
    gradients = []
    # One of each pair only: samples of a step are not mirrored.
    for start in range(0, len(noise) - samples + 1, samples):
        rewards = there[start : start + samples]
        gradients.append((rewards - rewards.mean()) @ noise[start : start + samples] / (samples - 1))
    products = np.array(gradients) @ np.array(gradients).T
    count, own = len(products), float(np.trace(products))
    return [odd + even, even, (float(products.sum()) - own) / (count * (count - 1)), own / count]


def figures_of(sums: Mapping[str, Sums]) -> dict[str, dict[str, float]]:
    """The figures of each reward, with their errors. Ratios of sums: of the same scene's estimates they would be biased."""
    figures: dict[str, Callable[[Sums], float]] = {
        "spread": lambda rows: float(np.sqrt(rows[:, 0].mean())),
        "linear": lambda rows: float(rows[:, 2].sum() / rows[:, 0].sum()),
        "even": lambda rows: float(rows[:, 1].sum() / rows[:, 0].sum()),
        "share": lambda rows: float(rows[:, 2].sum() / rows[:, 3].sum()),
    }
    told: dict[str, dict[str, float]] = {}
    for reward, rows in sums.items():
        told[reward] = {}
        for name, figure in figures.items():
            left_out = np.array([figure(np.delete(rows, row, axis=0)) for row in range(len(rows))])
            told[reward] |= {name: figure(rows), f"{name}_error": float(np.sqrt((len(rows) - 1) * left_out.var()))}
    return told


def show(found: Mapping[str, Mapping[str, Mapping[str, float]]], title: str) -> None:
    """A row for each way and reward."""
    table = Table("exploration", "reward", "spread", "linear", "even", "share", title=title)
    for way, rewards in found.items():
        for name, one in rewards.items():
            table.add_row(
                way, name, f"{one['spread']:.4f}", *(f"{one[f]:.3f} +- {one[f + '_error']:.3f}" for f in ("linear", "even", "share"))
            )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
