"""The clips one listens to: a run's held-out examples, before and after, with the judges' words.

RUN/samples/SCENE_ID/{noisy,before,after,clean}.wav
RUN/samples/SCENE_ID/words.json   {"before": {"description": "...", "expected": 2.1, "sentiment": 2.4, "spans": [...]}, ...}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from auricle.audio import write_audio
from auricle.files import on_disk, replacing

STAGES = ("noisy", "before", "after", "clean")
"""noisy: the scene as it is. before: by the pretrained enhancer. after: by the fine-tuned one. clean: the target, where there is one."""

_TEXTS = ("description", "rationale", "text")


@dataclass(frozen=True)
class Hearing:
    """What the judges said of one clip. words: the listener's description. scores: by judge or dimension. spans: artefacts in time."""

    words: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    spans: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Sample:
    """One scene's clips (stage -> file) and hearings (stage -> what was said), for the stages that exist."""

    scene_id: str
    files: Mapping[str, Path]
    hearings: Mapping[str, Hearing]
    about: str = ""


def write_sample(
    run: Path,
    scene_id: str,
    clips: Mapping[str, Float32[np.ndarray, " samples"]],
    sample_rate_hz: int,
    words: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    about: str = "",
) -> Path:
    """Write or renew some stages of a sample; the others stay. Returns the sample's folder.

    words: stage -> description, expected, sentiment, spans... about: the scene in a few words, such as `-5 dB, babble`.
    """
    unknown = set(clips) - set(STAGES)
    if unknown:
        raise ValueError(f"unknown stage {', '.join(sorted(unknown))}; choose from {', '.join(STAGES)}")
    folder = run / "samples" / scene_id
    for stage, audio in clips.items():
        with on_disk(folder / f"{stage}.wav"):
            write_audio(folder / f"{stage}.wav", audio, sample_rate_hz)
    kept = _read_words(folder)
    known = {**kept, **{stage: dict(said) for stage, said in (words or {}).items()}, **({"about": about} if about else {})}
    with on_disk(folder / "words.json"), replacing(folder / "words.json") as temporary:
        temporary.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder


def hearing_from_verdicts(verdicts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The panel's answers on one clip (judge -> verdict, docs/design.md) as an entry of words.json."""
    entry: dict[str, Any] = {}
    for judge, verdict in verdicts.items():
        if verdict.get("state") != "scored":
            entry.setdefault("failed", {})[judge] = verdict.get("reason") or "failed"
            continue
        if verdict.get("rationale") and "description" not in entry:
            entry["description"] = verdict["rationale"]
        entry[judge] = verdict["score"]
        entry["spans"] = [*entry.get("spans", ()), *(verdict.get("spans") or ())]
    return entry


def read_samples(run: Path) -> list[Sample]:
    """All samples of a run that have at least one clip, by scene id."""
    samples = []
    for folder in sorted((run / "samples").glob("*/")):
        files = {stage: folder / f"{stage}.wav" for stage in STAGES if (folder / f"{stage}.wav").exists()}
        if files:
            words = _read_words(folder)
            hearings = {stage: _hearing(words[stage]) for stage in STAGES if isinstance(words.get(stage), dict)}
            samples.append(Sample(folder.name, files, hearings, str(words.get("about", ""))))
    return samples


def _read_words(folder: Path) -> dict[str, Any]:
    path = folder / "words.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _hearing(entry: Mapping[str, Any]) -> Hearing:
    words = next((str(entry[key]) for key in _TEXTS if entry.get(key)), "")
    scores = {key: float(value) for key, value in entry.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    return Hearing(words.strip(), scores, tuple(entry.get("spans") or ()))
