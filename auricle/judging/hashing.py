"""Hashes that say what a verdict came from: the clip, the prompts, the model's files."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from auricle.errors import CheckpointError

LENGTH = 16
MODEL_SUFFIXES = (".safetensors", ".bin", ".onnx", ".json", ".txt", ".model", ".jinja")


def audio_hash(audio: Float32[np.ndarray, " samples"] | None, sample_rate_hz: int) -> str:
    """Hash of the samples (float32, little-endian) and their rate; empty for None."""
    if audio is None:
        return ""
    digest = hashlib.sha256(f"{sample_rate_hz}:".encode())
    digest.update(np.ascontiguousarray(audio, dtype="<f4").data)
    return digest.hexdigest()[:LENGTH]


def sound_seed(audio: Float32[np.ndarray, " samples"]) -> int:
    """A seed from the sound, 32 bits, so that the same clip is answered in the same words whenever it is judged."""
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(audio).data).digest()[:4], "little")


def content_hash(value: Any) -> str:
    """Hash of anything that JSON can write, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:LENGTH]


def model_hash(model: str, revision: str = "") -> str:
    """Hash of a checkpoint folder's files (names and contents), or, for a model of a hub, of its id and revision."""
    folder = Path(model)
    return _folder_hash(folder.resolve(), _stamp(folder)) if folder.is_dir() else content_hash([model, revision])


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = sorted(path for path in folder.iterdir() if path.suffix in MODEL_SUFFIXES and path.is_file())
    if not found:
        raise CheckpointError(f"{folder}: no model files there; expected safetensors and JSON files")
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in found)


@lru_cache(maxsize=16)
def _folder_hash(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, size, _ in stamp:
        digest.update(f"{name}:{size}:".encode())
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:LENGTH]
