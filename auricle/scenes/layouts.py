"""Finds out how a corpus lies on disk, and lists its scenes.

    AVSEC-1/2/3   {train,dev,eval}/scenes/S00001_{mixed,target,interferer}.wav  S00001_silent.mp4
    AVSEC-4       {train,dev,eval}/scenes/S00001_{mix,target,target_anechoic,interferer}.wav (binaural)
                  S00001_{mono_mix,target_mono,target_mono_anechoic,interferer_mono}.wav  S00001_silent.mp4
    both          metadata/scenes.{train,dev,eval}.json: scene, SNR, interferer(s), target
    plain folder  `auricle.scenes.folder`

A folder may be the corpus, one of its splits, or a `scenes` folder itself; or it holds several corpora, which are then taken together, each
scene's id led by its corpus's name (`grid-S00001`). Speakers keep their names: one name in two corpora is taken for one person, as it is
where both were made of the same recordings or voices. Where it is not, intervals are over fewer, larger clusters than they might be, which
is the safe side; two names for one person would make them too narrow, and hide that somebody is in training here and in eval there (which
is logged). Nothing is decoded here: `auricle.scenes.checks` does that.
"""

import json
import logging
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auricle.errors import EmptyCorpusError, SceneError
from auricle.files import is_plain_name
from auricle.scenes.folder import SPLITS, list_folder
from auricle.scenes.scene import InterfererKind, Scene, Split

_log = logging.getLogger(__name__)

VIDEO_NAME = "silent.mp4"
REFERENCE_CHANNEL = 0
INTERFERER_KINDS: dict[str, InterfererKind] = {"speech": "speech", "noise": "noise", "nonspeech": "noise", "music": "music"}


@dataclass(frozen=True)
class _Names:
    """What a layout calls its files, after `S00001_` and before `.wav`."""

    mix: str
    target: str
    target_anechoic: str
    interferer: str


# In order of preference: where a scene has mono files, the binaural ones are left alone (they are another rendering, not their channels).
_LAYOUTS = (
    _Names("mono_mix", "target_mono", "target_mono_anechoic", "interferer_mono"),
    _Names("mix", "target", "target_anechoic", "interferer"),
    _Names("mixed", "target", "target_anechoic", "interferer"),
)
_ROLES = ("target", "target_anechoic", "interferer")


def list_scenes(folder: Path | str, split: Split | None = None) -> list[Scene]:
    """The scenes of a corpus, of one split where asked, in the order of split and id. Paths in them are absolute.

    A file that other scenes of the split have is expected of each (and found missing by the checks); one that none has is None, such as the
    targets of AVSEC's eval scenes. Raises SceneError on a folder or metadata that cannot be read, EmptyCorpusError where nothing is found.
    """
    root = Path(os.path.abspath(Path(folder).expanduser()))
    if not root.is_dir():
        raise SceneError(f"{root}: no such folder; expected an AVSEC corpus or a folder of clips")
    parts = _scene_folders(root)
    corpora = [] if parts else sorted(folder for folder in root.iterdir() if any((folder / name / "scenes").is_dir() for name in SPLITS))
    if corpora:
        scenes = [replace(scene, scene_id=f"{folder.name}-{scene.scene_id}") for folder in corpora for scene in list_scenes(folder)]
        scenes.sort(key=lambda scene: SPLITS.index(scene.split))
        _tell_leaks(root, scenes)
    else:
        scenes = [scene for part in parts for scene in _list_avsec(*part)] if parts else list_folder(root)
    chosen = [scene for scene in scenes if split in (None, scene.split)]
    if not chosen:
        held = sorted({scene.split for scene in scenes})
        cure = f"it holds {', '.join(held)}; put clips into {root / str(split)}" if held else "expected AVSEC's layout, videos or wavs"
        raise EmptyCorpusError(f"{root}: no scenes{f' of split {split!r}' if split else ''}; {cure}")
    return chosen


def _tell_leaks(root: Path, scenes: Iterable[Scene]) -> None:
    """Log speakers who are learned from in one corpus and held out in another: each was split for itself."""
    splits = {name: {scene.speaker for scene in scenes if scene.split == name and scene.speaker} for name in SPLITS}
    for held_out in ("dev", "eval"):
        if shared := sorted(splits["train"] & splits[held_out]):
            names = ", ".join(shared[:3]) + (", ..." if len(shared) > 3 else "")
            _log.warning(
                "%s: %d speakers are in train of one corpus and in %s of another (%s); if these are the same people, results are not of "
                "unseen speakers: split the recordings once, or take corpora apart",
                *(root, len(shared), held_out, names),
            )


def _scene_folders(root: Path) -> list[tuple[Path, Split, Path]]:
    """Folders of scenes, the split of each, and where their metadata would be. Empty for a plain folder."""
    corpus: list[tuple[Path, Split, Path]] = [(root / name / "scenes", name, root / "metadata") for name in SPLITS]
    if corpus := [entry for entry in corpus if entry[0].is_dir()]:
        return corpus
    for scenes, split_folder in ((root / "scenes", root), (root, root.parent)):
        if scenes.is_dir() and _is_avsec(set(os.listdir(scenes))):
            split: Split = next((name for name in SPLITS if name == split_folder.name), "train")
            return [(scenes, split, split_folder.parent / "metadata")]
    return []


def _is_avsec(present: set[str]) -> bool:
    """Whether some mixture has its film or interferer beside it; a lone `my_mix.wav` among other clips makes no corpus."""
    parts = (VIDEO_NAME, *(f"{layout.interferer}.wav" for layout in _LAYOUTS))
    return any(f"{scene_id}_{part}" in present for scene_id in _mix_names(present) for part in parts)


def _list_avsec(folder: Path, split: Split, metadata: Path) -> list[Scene]:
    present = set(os.listdir(folder))
    records = _read_metadata(metadata / f"scenes.{split}.json")
    mixes = _mix_names(present)
    # A scene with a record or a film but no mixture is listed too, so that the checks can say what is missing.
    films = {name.removesuffix(f"_{VIDEO_NAME}") for name in present if name.endswith(f"_{VIDEO_NAME}") and not name.startswith(".")}
    usual = next((layout for layout in _LAYOUTS if layout in mixes.values()), _LAYOUTS[-1])
    names = {scene_id: mixes.get(scene_id, usual) for scene_id in sorted(mixes.keys() | records.keys() | films)}
    expected = {role for role in _ROLES for scene_id, files in names.items() if f"{scene_id}_{getattr(files, role)}.wav" in present}

    def path_of(scene_id: str, files: _Names, role: str) -> Path | None:
        return folder / f"{scene_id}_{getattr(files, role)}.wav" if role in expected else None

    has_video = any(f"{scene_id}_{VIDEO_NAME}" in present for scene_id in names)
    return [
        Scene(
            scene_id=scene_id,
            split=split,
            mix=folder / f"{scene_id}_{files.mix}.wav",
            video=folder / f"{scene_id}_{VIDEO_NAME}" if has_video else None,
            channel=REFERENCE_CHANNEL,
            target=path_of(scene_id, files, "target"),
            target_anechoic=path_of(scene_id, files, "target_anechoic"),
            interferer=path_of(scene_id, files, "interferer"),
            **_described(records.get(scene_id, {}), metadata / f"scenes.{split}.json"),
        )
        for scene_id, files in names.items()
    ]


def _mix_names(names: Iterable[str]) -> dict[str, _Names]:
    """For each scene that has a mixture: what its files are called."""
    found: dict[str, _Names] = {}
    names = [name for name in names if name.endswith(".wav") and not name.startswith(".")]
    for layout in _LAYOUTS:
        ending = f"_{layout.mix}.wav"
        for name in names:
            # `S00001_mono_mix.wav` ends on `_mix.wav` too, but belongs to no scene `S00001_mono`.
            if name.endswith(ending) and not (layout.mix == "mix" and name.endswith("_mono_mix.wav")):
                found.setdefault(name.removesuffix(ending), layout)
    return found


def _read_metadata(path: Path) -> dict[str, Mapping[str, Any]]:
    """Records by scene id; empty where there is no such file. Raises SceneError naming file and record."""
    if not path.is_file():
        return {}
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{path}: not valid JSON ({error}); is it cut short?") from error
    if not isinstance(records, list):
        raise SceneError(f"{path}: expected a list of scenes, found {type(records).__name__}")
    result: dict[str, Mapping[str, Any]] = {}
    for index, record in enumerate(records):
        name = record.get("scene") if isinstance(record, dict) else None
        if not isinstance(name, str) or not is_plain_name(name) or name in result:
            raise SceneError(f"{path}: record {index}: `scene` is {name!r}; expected a name that no other record has, without folders")
        result[name] = record
    return result


def _described(record: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """What the metadata of AVSEC (one `interferer`, or `interferers`) tells of a scene."""
    interferers = record.get("interferers") or ([record["interferer"]] if record.get("interferer") else [])
    try:
        kinds = tuple(INTERFERER_KINDS[str(interferer["type"])] for interferer in interferers)
        snr_db = None if record.get("SNR") is None else float(record["SNR"])
        if snr_db is not None and not math.isfinite(snr_db):
            raise ValueError(f"SNR = {snr_db}")
        speaker = str(record["speaker"]) if record.get("speaker") else _speaker(record.get("target") or {})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        known = ", ".join(INTERFERER_KINDS)
        raise SceneError(
            f"{source}: scene {record['scene']}: bad field ({error!r}); interferer types are {known}, SNR is a number"
        ) from error
    return {"snr_db": snr_db, "interferer_kinds": kinds, "speaker": speaker, "condition": str(record.get("condition", ""))}


def _speaker(target: Mapping[str, Any]) -> str | None:
    """From the target's name, `trainval/SPEAKER/00080` or `SPEAKER_080`."""
    parts = str(target.get("name", "")).split("/")
    if len(parts) > 1:
        return parts[-2]
    stem, separator, utterance = parts[0].rpartition("_")
    return stem if separator and utterance.isdigit() else None
