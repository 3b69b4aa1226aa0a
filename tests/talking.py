"""Short scenes for tests of supervised training: speech-like bursts in noise, with a picture that follows the bursts."""

from pathlib import Path

import numpy as np

from auricle.audio import write_audio
from auricle.scenes.film import write_film
from auricle.scenes.scene import Scene

RATE_HZ, FRAMES_HZ = 16_000, 25.0


def talking_scenes(folder: Path, count: int, *, split: str = "train", seconds: float = 1.2) -> list[Scene]:
    """Scenes with all their files, in AVSEC-4's layout (but without metadata); every second one has a competing talker."""
    return [_scene(folder / split / "scenes", f"S{place:05d}", place, split, seconds) for place in range(count)]


def _scene(folder: Path, name: str, place: int, split: str, seconds: float) -> Scene:
    draw = np.random.default_rng((place, len(split)))
    folder.mkdir(parents=True, exist_ok=True)
    loud, target = _talk(draw, seconds)
    interferer = _talk(draw, seconds)[1] if place % 2 else draw.standard_normal(len(target))
    interferer *= 0.7 * np.std(target) / np.std(interferer)
    for role, audio in (("mono_mix", target + interferer), ("target_mono", target), ("interferer_mono", interferer)):
        write_audio(folder / f"{name}_{role}.wav", audio, RATE_HZ)
    pictures = (np.full((48, 48, 3), 30 + int(200 * level), dtype=np.uint8) for level in loud)
    write_film(folder / f"{name}_silent.mp4", pictures, FRAMES_HZ)
    return Scene(
        scene_id=name,
        split=split,
        mix=folder / f"{name}_mono_mix.wav",
        video=folder / f"{name}_silent.mp4",
        target=folder / f"{name}_target_mono.wav",
        interferer=folder / f"{name}_interferer_mono.wav",
        interferer_kinds=("speech",) if place % 2 else ("noise",),
        speaker=f"speaker-{place % 3}",
    )


def _talk(draw: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Loudness per picture, and harmonics of a gliding voice under it."""
    frames = round(seconds * FRAMES_HZ)
    loud = np.repeat(draw.random(frames // 5 + 1) > 0.4, 5)[:frames].astype(float)
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = draw.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * draw.uniform(1, 3) * times))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))
    envelope = np.interp(times, np.arange(frames) / FRAMES_HZ, loud)
    return loud, 0.1 * voice * envelope + 1e-3 * draw.standard_normal(len(times))
