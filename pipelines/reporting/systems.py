"""Scenes through several enhancers and several scorers, a bounded number of clips under way, results in a fixed order."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from auricle.enhancers.interface import Enhancer
from auricle.metrics.scoring import Answer
from auricle.progress import Progress
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Clip, Scene
from pipelines.reporting.scores import SceneScores
from pipelines.reporting.scoring import ClipScorer

NOISY = "noisy"
"""The system that does nothing."""

_CLIPS_UNDER_WAY = 128


@dataclass(frozen=True)
class Output:
    """One system's output for one scene, at the enhancer's rate."""

    system: str
    audio: Float32[np.ndarray, " samples"]
    reference: Float32[np.ndarray, " samples"] | None
    sample_rate_hz: int


def score_systems(
    scenes: Sequence[Scene], networks: Mapping[str, Enhancer], scorers: Sequence[ClipScorer], console: Console | None = None
) -> list[SceneScores]:
    """Every scorer's answers on the noisy clip and on each network's output, in the order of scenes and systems."""
    with _progress_bar(console, len(scenes) * (1 + len(networks))) as advance:
        finished = []
        for score in _scores(scenes, networks, scorers):
            finished.append(score)
            advance()
    return finished


def outputs_of(scene: Scene, networks: Mapping[str, Enhancer]) -> Iterator[Output]:
    """The noisy clip, then what each network makes of it. Networks that want the same share one loaded clip."""
    clips: dict[tuple[object, ...], Clip] = {}
    for place, (name, network) in enumerate(networks.items()):
        wanted = tuple(network.clip_format.values())
        if wanted not in clips:
            clips[wanted] = load_clip(scene, **network.clip_format)
        clip = clips[wanted]
        if place == 0:
            yield Output(NOISY, clip.mix, clip.target, clip.sample_rate_hz)
        yield Output(name, enhanced(network, clip), clip.target, clip.sample_rate_hz)


def enhanced(network: Enhancer, clip: Clip) -> Float32[np.ndarray, " samples"]:
    """A network's output for one whole clip."""
    device = next(network.parameters()).device
    mix = torch.from_numpy(np.asarray(clip.mix, np.float32))[None].to(device)
    frames = None if clip.frames is None else torch.from_numpy(np.asarray(clip.frames))[None].to(device)
    return network.enhance(mix, frames)[0].float().cpu().numpy()


def _scores(scenes: Sequence[Scene], networks: Mapping[str, Enhancer], scorers: Sequence[ClipScorer]) -> Iterator[SceneScores]:
    under_way: deque[tuple[Scene, str, list[Future[Answer]]]] = deque()
    for scene in scenes:
        for output in outputs_of(scene, networks):
            clip_id = f"{scene.scene_id}/{output.system}"
            futures = [scorer.submit(clip_id, output.audio, output.reference, output.sample_rate_hz) for scorer in scorers]
            under_way.append((scene, output.system, futures))
            if len(under_way) >= _CLIPS_UNDER_WAY:
                yield _merged(*under_way.popleft())
    for scorer in scorers:
        scorer.flush()
    while under_way:
        yield _merged(*under_way.popleft())


def _merged(scene: Scene, system: str, futures: Sequence["Future[Answer]"]) -> SceneScores:
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    words = ""
    for future in futures:
        answer = future.result()
        values, reasons, words = {**answer.values, **values}, {**answer.reasons, **reasons}, words or answer.words
    return SceneScores(scene, system, values, reasons, words)


@contextmanager
def _progress_bar(console: Console | None, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("clips"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=console is None) as bar:
        task = bar.add_task("evaluating", total=total)
        yield lambda: bar.advance(task)
