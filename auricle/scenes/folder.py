"""A plain folder of clips: videos with sound, and wavs alone or beside their video.

    talk.mp4                     the sound of the video is the mixture
    talk.wav  talk.mp4           the wav is the mixture, the video the face
    talk_target.wav              the clean talker of `talk`, where there is one
    train/..., dev/..., eval/... subfolders name the split; without them all clips are `train`

Folders may be nested; the scene's id is the path within the folder with `__` for each `/`.
"""

from pathlib import Path

from auricle.audio import AUDIO_SUFFIXES
from auricle.errors import SceneError
from auricle.scenes.scene import Scene, Split
from auricle.video import VIDEO_SUFFIXES

SPLITS: tuple[Split, ...] = ("train", "dev", "eval")
TARGET_SUFFIX = "_target"


def list_folder(folder: Path) -> list[Scene]:
    """All clips of a plain folder, in the order of their ids. Raises SceneError where two files claim the same clip."""
    sounds: dict[Path, Path] = {}
    videos: dict[Path, Path] = {}
    for path in sorted(folder.rglob("*")):
        kind = path.suffix.lower()
        found = sounds if kind in AUDIO_SUFFIXES else videos if kind in VIDEO_SUFFIXES else None
        if found is None or not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        stem = path.relative_to(folder).with_suffix("")
        if stem in found:
            raise SceneError(f"{path} and {found[stem]}: two files for the clip {stem}; keep one of them")
        found[stem] = path
    clips = sorted(stem for stem in sounds.keys() | videos.keys() if not _is_target(stem, sounds, videos))
    scenes = [_scene(stem, sounds, videos) for stem in clips]
    if len({scene.scene_id for scene in scenes}) < len(scenes):
        raise SceneError(f"{folder}: two clips get the same id, because one's name has `__` where the other's has a folder; rename one")
    return scenes


def _scene(stem: Path, sounds: dict[Path, Path], videos: dict[Path, Path]) -> Scene:
    named = next((split for split in SPLITS if len(stem.parts) > 1 and stem.parts[0] == split), None)
    inner = stem.parts[1:] if named else stem.parts
    return Scene(
        scene_id="__".join(inner if named is None else (named, *inner)),
        split=named or "train",
        mix=sounds.get(stem) or videos[stem],
        video=videos.get(stem),
        target=sounds.get(stem.with_name(stem.name + TARGET_SUFFIX)),
        speaker=inner[-2] if len(inner) > 1 else None,
    )


def _is_target(stem: Path, sounds: dict[Path, Path], videos: dict[Path, Path]) -> bool:
    owner = stem.with_name(stem.name.removesuffix(TARGET_SUFFIX))
    return stem.name.endswith(TARGET_SUFFIX) and (owner in sounds or owner in videos)
