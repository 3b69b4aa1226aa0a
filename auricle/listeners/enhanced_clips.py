"""Labelled clips from scenes and an enhancer: mixtures, what the enhancer makes of them, what its policies might, and the clean targets.

A listener that has only heard damaged dry speech does not know where enhancement ends: it takes a room for damage, and rates what was
suppressed too far above the clean target (docs/log.md). Labels are PESQ against the reverberant target, and what the mask did to speech
and noise apart. Clip number i depends on the seed and i only.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from auricle.audio import read_audio
from auricle.enhancers.assets import default_enhancer
from auricle.enhancers.checkpoint import load_enhancer
from auricle.enhancers.exploration import ExplorationConfig, Explorer
from auricle.enhancers.interface import Enhancer
from auricle.errors import EmptyCorpusError, MetricError, SceneError
from auricle.levels import normalise_loudness
from auricle.listeners.calibration import DatasetConfig, EnhancedConfig
from auricle.listeners.dataset import LUFS, SetWriter
from auricle.listeners.labels import Damage, Labels, make_labels, severity_of_clarity, severity_of_ratio
from auricle.metrics.intrusive import pesq_wb
from auricle.scenes.layouts import list_scenes
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Clip, Scene

RECIPE = 1
KINDS = {"target": 0.1, "anechoic": 0.05, "remixed": 0.15, "mixture": 0.1, "enhanced": 0.15, "policy": 0.45}
"""Shares of the clips. target: the clean talker in the room; anechoic: without it. remixed: target and little interference. mixture: as
noisy as the scenes are. enhanced: the enhancer's output; policy: the same, its mask sharpened or blunted, shifted, moved by knots."""
LATE_S, LONGEST_ROOM_S = 0.05, 0.5

Audio = Float32[np.ndarray, " samples"]


def prepare_enhanced(
    config: EnhancedConfig, data: DatasetConfig, cache: Path, *, progress: Callable[[int, int], None] | None = None
) -> Path:
    """The folder of the set: found in the cache, or made there. Raises EmptyCorpusError where no scene has all its parts."""
    scenes = whole_scenes(config)
    enhancer_folder = config.enhancer or default_enhancer()
    folder = Path(cache) / f"enhanced-{_fingerprint(config, data, scenes, enhancer_folder)}"
    if not (folder / "labels.jsonl").is_file():
        maker = _Maker(load_enhancer(enhancer_folder), config, data)
        with SetWriter(folder, config.clips, data) as writer:
            for index in range(config.clips):
                writer.add(*maker.clip(scenes[index % len(scenes)], index))
                if progress:
                    progress(index + 1, config.clips)
    return folder


def whole_scenes(config: EnhancedConfig) -> list[Scene]:
    """The scenes that have all their parts. Raises EmptyCorpusError, or SceneError where there is no such folder."""
    assert config.scenes is not None, "the caller asks only where scenes are configured"
    if not config.scenes.is_dir():
        raise SceneError(
            f"calibrate.enhanced.scenes = {config.scenes}: no such folder; make the corpus first (auricle corpus synth "
            f"{config.scenes}), or name another"
        )
    scenes = [scene for scene in list_scenes(config.scenes, config.split) if scene.target and scene.target_anechoic]
    if not scenes:
        raise EmptyCorpusError(f"{config.scenes}: no scene of the split {config.split} has a target and an anechoic target")
    return scenes


class _Maker:
    """Draws clips from scenes; the last scene stays loaded."""

    def __init__(self, enhancer: Enhancer, config: EnhancedConfig, data: DatasetConfig) -> None:
        self._enhancer, self._config, self._data = enhancer.eval(), config, data
        self._explorer = Explorer.of(enhancer, ExplorationConfig())

    def clip(self, scene: Scene, index: int) -> tuple[Audio, Audio, Labels, str]:
        """(clip, clean original, labels, kind), both sounds at -26 LUFS. Where PESQ finds no utterance another draw is made."""
        rate = self._data.sample_rate_hz
        loaded = load_clip(
            scene, sample_rate_hz=rate, frame_rate_hz=self._enhancer.frame_rate_hz, frame_size_px=self._enhancer.frame_size_px
        )
        dry = read_audio(scene.target_anechoic, rate)[: len(loaded.mix)] if scene.target_anechoic else loaded.mix
        for attempt in range(20):
            rng = np.random.default_rng([self._config.seed, index, attempt])
            kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
            audio, damages = self._draw(loaded, dry, kind, rng)
            reference = dry if kind == "anechoic" else loaded.target
            assert reference is not None
            samples = min(len(audio), round(self._data.clip_s * rate))
            start = int(rng.integers(len(audio) - samples + 1))
            audio, reference = audio[start : start + samples], reference[start : start + samples]
            try:
                pesq = pesq_wb(reference, audio, rate)
            except MetricError:
                continue
            labels = make_labels(pesq, tuple(damage(samples / rate) for damage in damages), samples / rate)
            return normalise_loudness(audio, rate, LUFS), normalise_loudness(reference, rate, LUFS), labels, kind
        raise MetricError(f"calibrate: scene {scene.scene_id}: PESQ failed on 20 draws in a row; is there speech in it?")

    def _draw(self, clip: Clip, dry: Audio, kind: str, rng: np.random.Generator) -> tuple[Audio, list[Callable[[float], Damage]]]:
        """A sound of this kind, and its damages as functions of the clip's length."""
        target = clip.target
        assert target is not None
        noise = clip.mix - target
        room = [_whole("reverberation", severity_of_clarity(clarity_db(dry, target, clip.sample_rate_hz)))]
        if kind == "anechoic":
            return dry, []
        if kind == "target":
            return target, room
        if kind == "remixed":
            added = noise * (10 ** (-rng.uniform(5, 40) / 20) * _rms(target) / max(_rms(noise), 1e-9))
            return target + added.astype(np.float32), [*room, _noise(target, added)]
        noise = (noise * 10 ** (rng.uniform(-8, 4) / 20)).astype(np.float32)
        if kind == "mixture":
            return target + noise, [*room, _noise(target, noise)]
        kept, left = self._masked(clip, target, noise, rng if kind == "policy" else None)
        gain = float(kept @ target / max(float(target @ target), 1e-12))
        lost = target - kept / max(gain, 1e-3)
        speech_sdr_db = 20 * np.log10(_rms(target) / max(_rms(lost), 1e-9))
        return kept + left, [*room, _noise(kept, left), _whole("over-suppression", severity_of_ratio(speech_sdr_db, -1, 22))]

    @torch.no_grad()
    def _masked(self, clip: Clip, target: Audio, noise: Audio, rng: np.random.Generator | None) -> tuple[Audio, Audio]:
        """Target and noise through the mask that the enhancer finds for their sum, changed as a policy might where `rng` is given."""
        frames = None if clip.frames is None else torch.from_numpy(clip.frames.copy())[None]
        logits = self._enhancer.mask_logits(torch.from_numpy(target + noise)[None], frames)
        if rng is not None:
            logits = self._moved(logits, rng)
        # Masks are linear in what they are laid upon.
        kept, left = (self._enhancer.apply_mask(torch.from_numpy(part)[None], logits)[0].numpy() for part in (target, noise))
        return kept, left

    def _moved(self, logits: Float[Tensor, "one bins steps"], rng: np.random.Generator) -> Float[Tensor, "one bins steps"]:
        logits = logits * float(np.exp(rng.uniform(np.log(0.4), np.log(3.0)))) + float(rng.normal(0.0, 1.0))
        mean = self._explorer.mean(logits)
        knots = torch.from_numpy(rng.standard_normal(tuple(mean.shape)).astype(np.float32)) * float(abs(rng.normal(0.0, 1.0)))
        return self._explorer.apply(logits, mean, mean + knots)


def clarity_db(dry: Audio, reverberant: Audio, sample_rate_hz: int) -> float:
    """The clarity index C50 of the room between two recordings of one talker, whose response is found by deconvolution."""
    size = 2 * len(dry)
    spectrum = np.fft.rfft(dry, size)
    power = np.abs(spectrum) ** 2
    response = np.fft.irfft(np.conj(spectrum) * np.fft.rfft(reverberant, size) / (power + 1e-3 * power.mean()), size)
    early = round(LATE_S * sample_rate_hz)
    late = np.sum(response[early : round(LONGEST_ROOM_S * sample_rate_hz)] ** 2)
    return float(10 * np.log10(np.sum(response[:early] ** 2) / max(late, 1e-9)))


def _noise(speech: Audio, noise: Audio) -> Callable[[float], Damage]:
    return _whole("noise", severity_of_ratio(20 * np.log10(max(_rms(speech), 1e-9) / max(_rms(noise), 1e-9)), -3, 42))


def _whole(artefact, severity: float) -> Callable[[float], Damage]:
    return lambda duration_s: Damage(artefact, severity, ((0.0, duration_s),))


def _rms(audio: Audio) -> float:
    return float(np.sqrt(np.mean(audio**2)))


def _fingerprint(config: EnhancedConfig, data: DatasetConfig, scenes: list[Scene], enhancer: Path) -> str:
    """Settings, scenes and the enhancer's weights, not folders."""
    settings = config.model_dump(mode="json", exclude={"scenes", "enhancer"})
    weights = hashlib.sha256((enhancer / "model.safetensors").read_bytes()).hexdigest()
    files = [(scene.scene_id, scene.mix.stat().st_size) for scene in scenes]
    content = json.dumps([RECIPE, settings, data.clip_s, data.mels, data.sample_rate_hz, weights, files], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
