"""Does a listener put the sounds of one scene in the right order?

    python -m benchmarks.ordering --corpus corpus/A --listener auricle/assets/listener runs/listener/listener

What a reward from a listener rests on: of one scene, the mixture, what the enhancer makes of it, what a policy that suppresses too much or
too little makes of it, and the clean target, with and without its room. Scores are expected ones (question `score`), PESQ is against the
target in its room. `within a scene` is the mean over scenes of Spearman's coefficient over the degraded sounds; `pooled` is over all of
them. Use the dev split: the eval split is for results, not for choosing a listener.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from auricle.audio import read_audio
from auricle.enhancers.assets import default_enhancer
from auricle.enhancers.checkpoint import load_enhancer
from auricle.enhancers.interface import Enhancer
from auricle.errors import MetricError
from auricle.listeners.asking import score_of_sound
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.questions import question
from auricle.metrics.intervals import mean_interval
from auricle.metrics.intrusive import pesq_wb
from auricle.scenes.layouts import list_scenes
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Scene

MASKS = {"enhanced": (1.0, 0.0), "over-suppressed": (2.0, -1.0), "doubled": (2.0, 0.0), "blunted": (0.5, 1.0)}
"""What is done to the mask's logits: factor and shift."""
DEGRADED = ("mixture", *MASKS)
ORDERS = (
    ("target", "enhanced"),
    ("target", "over-suppressed"),
    ("target", "mixture"),
    ("enhanced", "mixture"),
    ("enhanced", "over-suppressed"),
    ("enhanced", "blunted"),
)
PESQ = "PESQ"

Audio = Float32[np.ndarray, " samples"]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ordering", description=__doc__, formatter_class=formatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--scenes", type=int, default=40, help="the first so many (default: 40)")
    parser.add_argument("--listener", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--enhancer", type=Path, help="default: the shipped one")
    parser.add_argument("--output", type=Path, help="all scores, as JSON")
    arguments = parser.parse_args(argv)
    scenes = [scene for scene in list_scenes(arguments.corpus, arguments.split) if scene.target and scene.target_anechoic]
    if not scenes:
        parser.error(f"{arguments.corpus}: no scene of the split {arguments.split} has a target and an anechoic target")
    enhancer = load_enhancer(arguments.enhancer or default_enhancer()).eval()
    listeners = {str(folder): load_listener(folder) for folder in arguments.listener}
    asked, scores = question("score"), []
    for scene in scenes[: arguments.scenes]:
        sounds, reference, rate = sounds_of(enhancer, scene)
        row = {name: {kind: score_of_sound(one, audio, rate, asked) for kind, audio in sounds.items()} for name, one in listeners.items()}
        try:
            row[PESQ] = {kind: pesq_wb(reference, audio, rate) for kind, audio in sounds.items()}
        except MetricError as error:
            print(f"{scene.scene_id}: left out, {error}", file=sys.stderr)
            continue
        scores.append(row)
    show(scores, [*listeners, PESQ])
    if arguments.output:
        arguments.output.write_text(json.dumps(scores, indent=1))
    return 0


@torch.no_grad()
def sounds_of(enhancer: Enhancer, scene: Scene) -> tuple[dict[str, Audio], Audio, int]:
    """The sounds of a scene by kind, the target in its room, and the sample rate in Hz."""
    clip = load_clip(
        scene,
        sample_rate_hz=enhancer.sample_rate_hz,
        frame_rate_hz=enhancer.frame_rate_hz,
        frame_size_px=enhancer.frame_size_px,
    )
    assert clip.target is not None, "main takes no others"
    assert scene.target_anechoic is not None, "main takes no others"
    mix = torch.from_numpy(clip.mix)[None]
    logits = enhancer.mask_logits(mix, None if clip.frames is None else torch.from_numpy(clip.frames.copy())[None])
    masked = {kind: enhancer.apply_mask(mix, factor * logits + shift)[0].numpy() for kind, (factor, shift) in MASKS.items()}
    dry = read_audio(scene.target_anechoic, clip.sample_rate_hz)[: len(clip.mix)]
    return {"mixture": clip.mix, **masked, "target": clip.target, "anechoic": dry}, clip.target, clip.sample_rate_hz


def show(scores: Sequence[Mapping[str, Mapping[str, float]]], raters: Sequence[str]) -> None:
    """Means, orders and correlations with PESQ, a column for each rater."""
    table = Table(
        "", *(rater if rater == PESQ else f"listener {number}" for number, rater in enumerate(raters)), title=f"{len(scores)} scenes"
    )
    for kind in scores[0][PESQ]:
        table.add_row(f"mean: {kind}", *(f"{np.mean([row[one][kind] for row in scores]):.2f}" for one in raters))
    for better, worse in ORDERS:
        shares = ([float(row[one][better] > row[one][worse]) for row in scores] for one in raters)
        table.add_row(f"{better} above {worse}", *(_with_interval(share) for share in shares))
    table.add_row("Spearman with PESQ within a scene", *(_with_interval([_spearman([row], one) for row in scores]) for one in raters))
    table.add_row("Spearman with PESQ, pooled", *(f"{_spearman(scores, one):.2f}" for one in raters))
    Console().print(*(f"listener {number}: {rater}\n" for number, rater in enumerate(raters) if rater != PESQ), table, sep="")


def _with_interval(values: Sequence[float]) -> str:
    found = mean_interval(values)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _spearman(rows: Sequence[Mapping[str, Mapping[str, float]]], rater: str) -> float:
    pairs = [(row[rater][kind], row[PESQ][kind]) for row in rows for kind in DEGRADED]
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


if __name__ == "__main__":
    sys.exit(main())
