"""From folders of recordings to what each split may draw on: targets, interferers and rooms that no other split has."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.errors import ConfigError
from auricle.scenes.recordings import Recording, Unusable, find_recordings, grouped
from auricle.scenes.remix import MIN_SCENE_S, Pools
from auricle.scenes.scene import InterfererKind, Split
from auricle.scenes.splits import SpeakerOf, speakers_by_folder, split_groups


@dataclass(frozen=True)
class Folders:
    """Where recordings lie; at least targets and one kind of interferer."""

    targets: Path
    targets_are_films: bool
    speech: Path | None = None
    noise: Path | None = None
    music: Path | None = None
    rooms: Path | None = None


@dataclass(frozen=True)
class Inventory:
    """The pools of each split, the files that were left out, and remarks for the summary."""

    pools: Mapping[Split, Pools]
    unusable: Sequence[Unusable]
    remarks: Sequence[str]

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any recording, its group or its split."""
        entries: list[tuple[str, str, str, str]] = []
        for split, pools in self.pools.items():
            roles = [("target", pools.targets), ("room", pools.rooms), *pools.interferers.items()]
            entries += [(split, role, item.name, item.group) for role, items in roles for item in items]
        return hashlib.sha256(json.dumps(sorted(entries)).encode()).hexdigest()[:16]


def take_inventory(folders: Folders, shares: Mapping[Split, float], seed: int, speaker_of: SpeakerOf | None) -> Inventory:
    """Looks through `folders` and divides what is there. speaker_of: from a file's path in its folder; None goes by folder names.

    Speakers are disjoint between splits, over targets and competing talkers together; noises, music and rooms by file. Raises ConfigError.
    """
    if not (folders.speech or folders.noise or folders.music):
        raise ConfigError("nothing to mix with: give --speech, --noise or --music")
    unusable: list[Unusable] = []
    remarks: list[str] = []

    def found(folder: Path | None, *, video: bool = False, min_duration_s: float = 0.1, people: bool = False) -> list[Recording]:
        if folder is None:
            return []
        recordings, bad = find_recordings(folder, video=video, min_duration_s=min_duration_s)
        unusable.extend(bad)
        return grouped(recordings, speaker_of or speakers_by_folder([item.name for item in recordings])) if people else recordings

    targets = found(folders.targets, video=folders.targets_are_films, min_duration_s=MIN_SCENE_S, people=True)
    speech = found(folders.speech, people=True)
    speakers = split_groups((item.group for item in targets), shares, seed, what=f"target speakers in {folders.targets}")
    if speech:
        others = split_groups((item.group for item in speech), shares, seed, what=f"talkers in {folders.speech}", settled=speakers)
        speakers = {**others, **speakers}

    def divided(recordings: list[Recording], folder: Path | None, what: str) -> dict[str, Split] | None:
        """By file; None, with a remark, where there are fewer files than splits: then all splits share them."""
        if len({item.group for item in recordings}) < sum(share > 0 for share in shares.values()):
            if recordings:
                remarks.append(f"{folder}: {len(recordings)} {what} for {len(shares)} splits: all splits share them")
            return None
        return split_groups((item.group for item in recordings), shares, seed, what=f"{what} in {folder}")

    sounds = {"noise": found(folders.noise), "music": found(folders.music), "room": found(folders.rooms)}
    homes = {
        "noise": divided(sounds["noise"], folders.noise, "noises"),
        "music": divided(sounds["music"], folders.music, "pieces of music"),
        "room": divided(sounds["room"], folders.rooms, "room responses"),
    }

    def of_split(kind: str, split: Split) -> list[Recording]:
        home = homes[kind]
        return [item for item in sounds[kind] if home is None or home[item.group] == split]

    pools = {}
    for split in (split for split, share in shares.items() if share > 0):
        interferers: dict[InterfererKind, list[Recording]] = {
            "speech": [item for item in speech if speakers[item.group] == split],
            "noise": of_split("noise", split),
            "music": of_split("music", split),
        }
        pools[split] = Pools([item for item in targets if speakers[item.group] == split], interferers, of_split("room", split))
    return Inventory(pools, unusable, remarks)
