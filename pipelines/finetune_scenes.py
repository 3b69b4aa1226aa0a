"""The scenes of a fine-tuning run: which are learned from, which are held out for the guard."""

from dataclasses import dataclass, replace

from auricle.errors import EmptyCorpusError
from auricle.scenes.checks import check_scenes
from auricle.scenes.layouts import list_scenes
from auricle.scenes.scene import Scene
from pipelines.settings import Settings


@dataclass(frozen=True)
class FinetuneScenes:
    """train: learned from, in a fixed order. dev: held out, for the guard. rejected: how many were left out."""

    train: list[Scene]
    dev: list[Scene]
    rejected: int


def find_scenes(settings: Settings) -> FinetuneScenes:
    """Read and check both splits. Raises EmptyCorpusError naming what to do where nothing usable is left."""
    wanted = settings.scenes
    if not wanted.folder.exists():
        raise EmptyCorpusError(
            f"scenes.folder = {wanted.folder}: no such folder; write a synthetic corpus first (auricle corpus synth {wanted.folder}), "
            "or name your own (--set scenes.folder=PATH)"
        )
    train = check_scenes(list_scenes(wanted.folder, wanted.train_split))
    dev = check_scenes(list_scenes(wanted.folder, wanted.dev_split))
    rejected = [*train.rejected, *dev.rejected]
    for rejection in rejected[:20]:
        print(f"left out: {rejection.scene_id}: {rejection.file}: {rejection.reason}")
    if rejected:
        print(f"{len(rejected)} scenes left out, {len(train.usable)} to learn from, {len(dev.usable)} held out")
    usable = train.usable[: wanted.limit or None]
    return FinetuneScenes(
        _without_targets(usable) if not wanted.train_targets else usable,
        _without_targets(dev.usable) if not wanted.dev_targets else dev.usable,
        len(rejected),
    )


def _without_targets(scenes: list[Scene]) -> list[Scene]:
    return [replace(scene, target=None, target_anechoic=None, interferer=None) for scene in scenes]
