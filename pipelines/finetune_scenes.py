"""The scenes of a fine-tuning run: which are learned from, which are held out for the guard."""

from dataclasses import dataclass, replace
from pathlib import Path

from auricle.enhancers.interface import Enhancer
from auricle.errors import EmptyCorpusError
from auricle.scenes.checks import check_scenes
from auricle.scenes.layouts import list_scenes
from auricle.scenes.scene import Scene, Split
from pipelines.settings import Settings


@dataclass(frozen=True)
class FinetuneScenes:
    """train: learned from, in a fixed order. dev: held out, for the guard."""

    train: list[Scene]
    dev: list[Scene]


def find_scenes(settings: Settings, enhancer: Enhancer) -> FinetuneScenes:
    """Read and check both splits, at the rates of `enhancer`. Raises EmptyCorpusError naming what to do where nothing usable is left."""
    wanted = settings.scenes
    if not wanted.folder.exists():
        raise EmptyCorpusError(
            f"scenes.folder = {wanted.folder}: no such folder; write a synthetic corpus first (auricle corpus synth {wanted.folder}), "
            "or name your own (--set scenes.folder=PATH)"
        )
    train, dev = (_usable(wanted.folder, split, enhancer) for split in (wanted.train_split, wanted.dev_split))
    train = train[: wanted.limit or None]
    train = train if wanted.train_targets else _without_targets(train)
    if wanted.labelled is not None:
        # Both corpora may call a scene S00001, and a scene's samples are told by its id.
        train += [replace(scene, scene_id=f"labelled-{scene.scene_id}") for scene in _usable(wanted.labelled, "train", enhancer)]
    return FinetuneScenes(train, dev if wanted.dev_targets else _without_targets(dev))


def _usable(folder: Path, split: Split, enhancer: Enhancer) -> list[Scene]:
    """The scenes of a split that pass; the check tells people what was left out, and makes the mouth crops on the way."""
    report = check_scenes(
        list_scenes(folder, split),
        **enhancer.clip_format,
    )
    return report.usable


def _without_targets(scenes: list[Scene]) -> list[Scene]:
    return [replace(scene, target=None, target_anechoic=None, interferer=None) for scene in scenes]
