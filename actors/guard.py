"""The guard's meter: the policy on held-out scenes, by metrics that are never optimised and by the panel.

An actor of its own, so that measuring runs beside the stream and never holds up a learner step. The scenes are loaded once. Scores stand in
the scenes' order, whatever fails: a metric that fails on a scene, or a scene that cannot be loaded, is NaN there, and never a number; so
measurements pair up scene by scene, also those of another actor after a restart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ray import serve

from auricle.enhancers.checkpoint import load_enhancer
from auricle.errors import EmptyCorpusError, SceneError
from auricle.judging.panel import PanelConfig, panel_scores
from auricle.learning.guard import Measurement
from auricle.metrics.scoring import score_clip
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Clip, Scene

SHOWN = 3
"""Scenes that cannot be loaded which are named one by one."""


class GuardMeter:
    """A Ray actor: `ray.remote(num_cpus=...)(GuardMeter)`."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        enhancer_folder: str,
        clip_s: float,
        metrics: Sequence[str],
        panel: PanelConfig,
        app_name: str,
        timeout_s: float,
    ) -> None:
        torch.set_num_threads(1)
        self._pretrained = enhancer_folder
        self._enhancer = load_enhancer(enhancer_folder).eval()
        self._metrics, self._panel, self._timeout_s = tuple(metrics), panel, timeout_s
        self._handle = serve.get_app_handle(app_name)
        self._scenes, self._places, self._left_out = len(scenes), list[int](), list[str]()
        self._speakers = tuple(scene.speaker or scene.scene_id for scene in scenes)
        self._clips = self._load(scenes, clip_s)

    def measure(self, step: int, checkpoint: str | None) -> Measurement:
        """Scores of the policy in the folder `checkpoint` (None: the pretrained one) on every held-out scene; see `Measurement`."""
        self._enhancer = load_enhancer(checkpoint or self._pretrained).eval()
        enhanced = self.enhance()
        answers = [
            score_clip(audio, clip.target, clip.sample_rate_hz, self._metrics) for clip, audio in zip(self._clips, enhanced, strict=True)
        ]
        scores = {name: [_number(answer.values.get(name)) for answer in answers] for name in self._metrics}
        parts, panel = self._ask_panel(enhanced)
        known = {name: values for name, values in scores.items() if not np.all(np.isnan(values))}
        scores = {"panel": panel, **parts, **known}
        return Measurement(step, {name: self._in_place(values) for name, values in scores.items()}, self._speakers, self._notes())

    @torch.no_grad()
    def enhance(self) -> list[np.ndarray]:
        """The policy's output on every held-out scene, as it stands."""
        result = []
        for clip in self._clips:
            frames = None if clip.frames is None else torch.from_numpy(clip.frames)[None]
            result.append(self._enhancer.enhance(torch.from_numpy(clip.mix)[None], frames)[0].numpy())
        return result

    def _load(self, scenes: Sequence[Scene], clip_s: float) -> list[Clip]:
        clips = []
        for place, scene in enumerate(scenes):
            try:
                clips.append(load_clip(scene, **self._enhancer.clip_format, duration_s=clip_s))
            except SceneError as error:
                self._left_out.append(f"{scene.scene_id} ({error})")
            else:
                self._places.append(place)
        if not clips:
            raise EmptyCorpusError(f"none of the {len(scenes)} held-out scenes can be loaded; check scenes.dev")
        return clips

    def _notes(self) -> tuple[str, ...]:
        if not self._left_out:
            return ()
        more = len(self._left_out) - SHOWN
        shown = "; ".join(self._left_out[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return (f"{len(self._left_out)} of {self._scenes} held-out scenes cannot be loaded and are never measured: {shown}",)

    def _in_place(self, values: Sequence[float]) -> list[float]:
        """One value a held-out scene, from those of the scenes that could be loaded."""
        result = [float("nan")] * self._scenes
        for place, value in zip(self._places, values, strict=True):
            result[place] = value
        return result

    def _ask_panel(self, enhanced: Sequence[np.ndarray]) -> tuple[dict[str, list[float]], list[float]]:
        requests = [
            {"clip_id": f"guard-{clip.scene.scene_id}", "audio": audio, "sample_rate_hz": clip.sample_rate_hz, "reference": clip.target}
            for clip, audio in zip(self._clips, enhanced, strict=True)
        ]
        answers: list[Any] = []
        # Block by block: all at once would wait for one another within one judge's deadline, and hold up the stream's own blocks.
        for first in range(0, len(requests), self._panel.block_clips):
            block = requests[first : first + self._panel.block_clips]
            answers += self._handle.judge.remote(block).result(timeout_s=self._timeout_s)
        return panel_scores(self._panel, answers)


def _number(score: float | None) -> float:
    return float("nan") if score is None else score
