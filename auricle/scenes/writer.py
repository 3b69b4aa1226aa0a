"""Writes scenes in AVSEC-4's layout, so that a run killed anywhere goes on where it stopped.

ROOT/SPLIT/scenes/S00001_silent.mp4, S00001_mono_mix.wav, S00001_target_mono.wav, S00001_interferer_mono.wav,
    S00001_target_mono_anechoic.wav  (and, binaural, S00001_{mix,target,interferer,target_anechoic}.wav)
ROOT/metadata/scenes.SPLIT.json      all records of a split, written last
ROOT/metadata/records/S00001.json    one scene's record, written after its media: where it is, the scene is complete
ROOT/metadata/corpus.json            what made the corpus
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16, UInt8
from scipy.io import wavfile

from auricle.errors import ConfigError
from auricle.files import replacing
from auricle.scenes.film import write_film
from auricle.scenes.mixing import Mixture
from auricle.scenes.scene import InterfererKind, Split

FIRST_NUMBER: dict[Split, int] = {"train": 1, "dev": 34526, "eval": 50001}
"""AVSEC numbers scenes through its splits; so do we, with room for each split to grow."""

_MONO = {"mix": "mono_mix", "target": "target_mono", "interferer": "interferer_mono", "target_anechoic": "target_mono_anechoic"}


@dataclass(frozen=True)
class InterfererRecord:
    """One interferer as AVSEC writes it. Times and offset in samples; position: a number for its place in the room."""

    position: int
    time_start: int
    time_end: int
    type: InterfererKind
    name: str
    offset: int


@dataclass(frozen=True)
class SceneRecord:
    """One scene's entry in scenes.SPLIT.json: AVSEC-4's fields, and speaker, condition, sample rate and text of ours."""

    dataset: Split
    scene: str
    room: str
    target: Mapping[str, Any]
    duration: int
    interferers: tuple[InterfererRecord, ...]
    SNR: float
    speaker: str
    condition: str
    sample_rate_hz: int
    text: str = ""
    listener: Mapping[str, Any] = field(default_factory=lambda: {"rotation": 0, "hrir_filename": []})


@dataclass(frozen=True)
class StagedScene:
    """A scene ready to be written. frames: RGB pictures, drawn only as they are read; None for a scene without video."""

    record: SceneRecord
    mixture: Mixture
    frames: Iterable[UInt8[np.ndarray, "height width 3"]] | None
    frame_rate_hz: float


def scene_id(split: Split, index: int) -> str:
    """AVSEC's name for scene `index` (from 0) of a split."""
    return f"S{FIRST_NUMBER[split] + index:05d}"


class CorpusWriter:
    """Writes one corpus. Instances in several processes may write different scenes of the same folder at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def claim(self, recipe: Mapping[str, Any]) -> None:
        """Marks the folder as made by `recipe`. Raises ConfigError where another recipe, or something else, is there already."""
        path = self.root / "metadata" / "corpus.json"
        text = _json(recipe)
        if path.is_file():
            if path.read_text(encoding="utf-8") != text:
                before = json.loads(path.read_text(encoding="utf-8"))
                changed = sorted(key for key in {*before, *recipe} if before.get(key) != json.loads(text).get(key))
                raise ConfigError(
                    f"{self.root}: holds a corpus made with other {', '.join(changed)}; give the same options, or a new folder"
                )
            return
        if self.root.is_dir() and any(self.root.iterdir()):
            raise ConfigError(f"{self.root}: is not empty and holds no corpus of ours; give a new folder")
        _write_text(path, text)

    def is_complete(self, scene: str) -> bool:
        """Whether a scene was written to its end."""
        return self._record_path(scene).is_file()

    def write(self, staged: StagedScene) -> None:
        """Writes a scene's sounds and film; the record comes last."""
        record = staged.record
        stem = self.root / record.dataset / "scenes" / record.scene
        for part, mono_name in _MONO.items():
            sound = getattr(staged.mixture, part)
            self._write_wav(stem.with_name(f"{record.scene}_{mono_name}.wav"), sound[0], record.sample_rate_hz)
            if len(sound) == 3:
                self._write_wav(stem.with_name(f"{record.scene}_{part}.wav"), sound[1:].T, record.sample_rate_hz)
        if staged.frames is not None:
            write_film(stem.with_name(f"{record.scene}_silent.mp4"), staged.frames, staged.frame_rate_hz)
        _write_text(self._record_path(record.scene), _json(asdict(record)))

    def finish(self, split: Split, scenes: Iterable[str]) -> list[dict[str, Any]]:
        """Gathers the records of the complete ones of `scenes` into the split's metadata file; returns them."""
        paths = [self._record_path(scene) for scene in scenes]
        records = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
        _write_text(self.root / "metadata" / f"scenes.{split}.json", _json(records))
        return records

    def _record_path(self, scene: str) -> Path:
        return self.root / "metadata" / "records" / f"{scene}.json"

    @staticmethod
    def _write_wav(path: Path, samples: Int16[np.ndarray, "samples *channels"], sample_rate_hz: int) -> None:
        with replacing(path) as temporary:
            wavfile.write(temporary, sample_rate_hz, samples)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    conversions: tuple[tuple[type, Callable[[Any], Any]], ...] = ((Path, str), (np.integer, int), (np.floating, float))
    for kind, convert in conversions:
        if isinstance(value, kind):
            return convert(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no place in a record")


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
