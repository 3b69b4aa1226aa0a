"""A small enhancer, and rows of the finetune stream as its rollout actors make them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns

from actors.policy import ENHANCED, FRAMES, MIX, NOISE_SEEDS, SCENE_ROW, EnhancementPolicy
from auricle.enhancers.checkpoint import save_enhancer
from auricle.enhancers.exploration import ExplorationConfig
from auricle.enhancers.registry import build_enhancer

SAMPLE_RATE_HZ, CLIP_S, FRAMES_A_CLIP = 16000, 0.4, 10
SCENES, SAMPLES = 4, 2
EXPLORATION = ExplorationConfig(bands=4, knot_s=0.1)
OPTIONS = {
    "window_samples": 128,
    "hop_samples": 64,
    "frame_size_px": 16,
    "channels": 2,
    "width": 8,
    "video_width": 4,
    "layers": 1,
}


def small_enhancer(folder: Path) -> Path:
    """The checkpoint of a freshly drawn small network."""
    torch.manual_seed(0)
    return save_enhancer(build_enhancer("tf_fusion", OPTIONS), folder)


def stream_rows(folder: Path, step: int, *, scenes: int = SCENES, seed: int = 0, precision: str = "fp32") -> dict[str, Any]:
    """One step's rows: the policy of `folder` explores, and the score of a sample is how much it lifts the lowest band."""
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION, precision=precision)
    draw = np.random.default_rng((seed, step))
    mix = (0.1 * draw.standard_normal((scenes, round(CLIP_S * SAMPLE_RATE_HZ)))).astype(np.float32)
    frames = draw.integers(0, 255, (scenes, FRAMES_A_CLIP, 16, 16), dtype=np.uint8)
    ids = np.arange(scenes * SAMPLES) + step * scenes * SAMPLES
    owner = np.repeat(np.arange(scenes), SAMPLES)
    made = policy.forward_exploration(
        {
            Columns.OBS: {MIX: torch.from_numpy(mix), FRAMES: torch.from_numpy(frames)},
            SCENE_ROW: torch.from_numpy(owner),
            NOISE_SEEDS: ids.tolist(),
        }
    )
    action, mean = (made[name].mT.numpy().copy() for name in (Columns.ACTIONS, Columns.ACTION_DIST_INPUTS))
    return {
        "rollout_id": ids,
        "step": np.full(len(ids), step),
        "scene_id": np.array([f"scene-{scene}" for scene in owner]),
        "mix": mix[owner],
        "frames": frames[owner],
        "target": 0.5 * mix[owner],
        "enhanced": made[ENHANCED].numpy(),
        "action": action,
        "action_mean": mean,
        "reference_mean": mean.copy(),
        "parts": action[:, 0].mean(axis=1, keepdims=True).astype(np.float32),
        "reference_parts": mean[:, 0].mean(axis=1, keepdims=True).astype(np.float32),
    }


def chosen(rows: dict[str, Any], index: Any) -> dict[str, Any]:
    """Some of the rows."""
    return {name: column[index] for name, column in rows.items()}
