"""How good an enhancer is on scenes with clean targets, and whether it looks at the picture."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from auricle.enhancers.interface import Enhancer
from auricle.errors import MetricError, SceneError
from auricle.metrics.intervals import Estimate, mean_interval, paired_interval
from auricle.metrics.intrusive import INTRUSIVE
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Clip, Scene

METRICS = ("pesq", "stoi", "si_sdr")
Picture = Literal["own", "shuffled", "none"]
Scores = dict[str, Float[np.ndarray, " clips"]]


def load_clips(scenes: Sequence[Scene], enhancer: Enhancer) -> list[Clip]:
    """Whole scenes at the enhancer's rates. Raises SceneError where one has no target."""
    without = [scene.scene_id for scene in scenes if scene.target is None]
    if without:
        raise SceneError(f"validation needs clean targets, which {', '.join(without[:3])} ({len(without)} scenes) have not")
    return [
        load_clip(
            scene,
            **enhancer.clip_format,
        )
        for scene in scenes
    ]


def score_enhancer(enhancer: Enhancer, clips: Sequence[Clip], picture: Picture = "own") -> Scores:
    """Metrics of the enhanced clips, NaN where one could not be computed.

    picture: `own`; `shuffled`, each clip with the film of one half the list further on; or `none`.
    """
    enhanced = []
    for place, clip in enumerate(clips):
        film = clips[(place + len(clips) // 2) % len(clips)].frames if picture == "shuffled" else clip.frames
        frames = None if picture == "none" or film is None else torch.from_numpy(film.copy())[None]
        enhanced.append(enhancer.enhance(torch.from_numpy(clip.mix.copy())[None], frames)[0].numpy())
    return score_audio(enhanced, clips)


def score_audio(estimates: Sequence[Float[np.ndarray, " samples"]], clips: Sequence[Clip]) -> Scores:
    """Metrics of any estimates of the clips' targets."""
    scores: Scores = {name: np.full(len(clips), np.nan) for name in METRICS}
    for place, (estimate, clip) in enumerate(zip(estimates, clips, strict=True)):
        for name in METRICS:
            try:
                scores[name][place] = INTRUSIVE[name](clip.target, estimate, clip.sample_rate_hz)
            except MetricError:
                continue  # stays NaN: counted as missing by every mean
    return scores


def means(scores: Scores) -> dict[str, float]:
    """The mean of each metric over the clips where it could be computed. Raises MetricError where there is none."""
    for name, values in scores.items():
        if not np.isfinite(values).any():
            raise MetricError(f"{name} could not be computed for any of {len(values)} clips: is the output silent?")
    return {name: float(np.nanmean(values)) for name, values in scores.items()}


def compare(systems: Mapping[str, Scores], clips: Sequence[Clip], baseline: str) -> list[dict[str, object]]:
    """One row a system, group of clips (`all`; `competing talker`) and metric: mean, and difference to `baseline` with a 95 % interval."""
    competing = np.array(["speech" in clip.scene.interferer_kinds for clip in clips])
    rows: list[dict[str, object]] = []
    for group, chosen in (("all", np.ones(len(clips), dtype=bool)), ("competing talker", competing)):
        if not chosen.any():
            continue
        speakers = [clip.scene.speaker or clip.scene.scene_id for clip, used in zip(clips, chosen, strict=True) if used]
        for name, scores in systems.items():
            for metric in METRICS:
                values = scores[metric][chosen]
                mean = mean_interval(values, speakers)
                row = {"group": group, "clips": int(chosen.sum()), "system": name, "metric": metric, "mean": mean.value}
                if name != baseline:
                    row |= _difference(paired_interval(systems[baseline][metric][chosen], values, speakers))
                rows.append(row)
    return rows


def _difference(estimate: Estimate) -> dict[str, float]:
    return {"difference": estimate.value, "low": estimate.low, "high": estimate.high}
