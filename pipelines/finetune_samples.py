"""Clips to hear at the end of a run: noisy, before, after, clean, with what the judges said of each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ray import serve

from auricle.enhancers.checkpoint import load_enhancer
from auricle.enhancers.interface import Enhancer
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Clip, Scene
from pipelines.samples import hearing_from_verdicts, write_sample


def write_samples(run: Path, scenes: Sequence[Scene], before: str, after: Path, panel_app: str, timeout_s: float) -> None:
    """Write `samples/SCENE_ID/` for each scene; before and after are enhancers' checkpoint folders."""
    pretrained, finetuned = load_enhancer(before).eval(), load_enhancer(after).eval()
    for scene in scenes:
        clip = load_clip(
            scene,
            **pretrained.clip_format,
        )
        stages = {"noisy": clip.mix, "before": cleaned(pretrained, clip), "after": cleaned(finetuned, clip)}
        if clip.target is not None:
            stages["clean"] = clip.target
        said = ask_panel(panel_app, stages, clip, timeout_s)
        write_sample(run, scene.scene_id, stages, clip.sample_rate_hz, said, about=about(scene))


def cleaned(enhancer: Enhancer, clip: Clip) -> np.ndarray:
    """The enhancer's output on a whole clip."""
    frames = None if clip.frames is None else torch.from_numpy(clip.frames)[None]
    return enhancer.enhance(torch.from_numpy(clip.mix)[None], frames)[0].numpy()


def ask_panel(panel_app: str, stages: dict[str, np.ndarray], clip: Clip, timeout_s: float) -> dict[str, dict]:
    """The panel's answers on every stage of one clip, as entries of words.json."""
    requests = [
        {
            "clip_id": f"sample-{clip.scene.scene_id}-{stage}",
            "audio": audio,
            "sample_rate_hz": clip.sample_rate_hz,
            "reference": None if stage == "clean" else clip.target,
        }
        for stage, audio in stages.items()
    ]
    answers = serve.get_app_handle(panel_app).judge.remote(requests).result(timeout_s=timeout_s)
    return {stage: hearing_from_verdicts(answer) for stage, answer in zip(stages, answers, strict=True)}


def about(scene: Scene) -> str:
    """A scene in a few words."""
    level = f"{scene.snr_db:.0f} dB" if scene.snr_db is not None else ""
    return ", ".join(filter(None, [level, "+".join(scene.interferer_kinds), scene.condition]))
