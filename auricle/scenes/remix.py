"""One scene mixed from recordings, from (seed, split, index) and the list of recordings alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field

from auricle.audio import read_audio
from auricle.config import Config
from auricle.errors import MediaError, SceneError
from auricle.levels import speech_weighted_rms
from auricle.mouth import find_face
from auricle.scenes.mixing import KINDS, MixConfig, draw_kinds, excerpt, high_pass, in_room, mix, scene_rng, sum_interferers
from auricle.scenes.recordings import Recording, Unusable
from auricle.scenes.scene import InterfererKind, Split
from auricle.scenes.synth.rooms import draw_room, room_response
from auricle.scenes.writer import InterfererRecord, SceneRecord, StagedScene, scene_id
from auricle.video import iterate_frames

SAMPLE_RATE_HZ = 16000
FRAME_RATE_HZ = 25.0
ATTEMPTS = 8
MIN_SCENE_S = 1.0
MAX_FILM_SHORTER_S = 0.2
QUIETEST = 1e-5  # speech-weighted root mean square of an excerpt that still counts as sound

Made = TypeVar("Made")


class RemixConfig(Config):
    """What `auricle corpus mix` writes."""

    seed: int = 0
    """Every draw comes from (seed, split, scene number)."""
    duration_s: float = Field(default=3.0, ge=MIN_SCENE_S, le=600)
    """Longest scene, in seconds; a shorter target makes a shorter scene."""
    condition: str = "mixed"
    """A label that is written with each scene."""
    reverberant_share: float = Field(default=0.5, ge=0, le=1)
    """Share of scenes with a room: from recorded responses where given, else synthetic ones; the others are dry."""
    rt60_s: tuple[float, float] = (0.15, 0.6)
    """Range of reverberation times of synthetic rooms, in seconds."""
    frame_size_px: int = Field(default=224, ge=32, multiple_of=2)
    """Side of the square pictures, cut around the face."""
    mix: MixConfig = MixConfig()
    """Levels and interferers."""


@dataclass(frozen=True)
class Pools:
    """The recordings of one split."""

    targets: Sequence[Recording]
    interferers: Mapping[InterfererKind, Sequence[Recording]]
    rooms: Sequence[Recording]


@dataclass(frozen=True)
class Remixed:
    """A scene, or None where every attempt met a bad file; and the bad files."""

    scene: StagedScene | None
    unusable: tuple[Unusable, ...]


def remix_scene(config: RemixConfig, pools: Pools, split: Split, index: int) -> Remixed:
    """Scene `index` (from 0) of a split. A recording that turns out to be silent or broken is reported, and another drawn instead."""
    unusable: list[Unusable] = []
    rng = scene_rng(config.seed, split, index, "mix")
    order = scene_rng(config.seed, split, index // len(pools.targets), "order").permutation(len(pools.targets))
    turns = np.roll(order, -(index % len(pools.targets)))
    candidates = [pools.targets[turn] for turn in turns[:ATTEMPTS]]
    try:
        target, (voice, start, frames) = _first_good(candidates, lambda recording: _target_excerpt(recording, config, rng), unusable)
        parts, records = _interferers(config, pools, target, len(voice), rng, unusable)
        responses, room = _responses(config, pools.rooms, 1 + len(parts), rng, unusable)
        heard = [in_room(audio, response) for audio, response in zip([voice, *parts], responses, strict=True)]
        snr_db = float(rng.uniform(config.mix.snr_db_min, config.mix.snr_db_max))
        interferer = sum_interferers(heard[1:], SAMPLE_RATE_HZ, config.mix, rng)
        mixture = mix(heard[0], voice[None, :], interferer, SAMPLE_RATE_HZ, snr_db, config.mix.peak)
    except SceneError as error:
        return Remixed(None, (*unusable, Unusable(pools.targets[turns[0]].path, f"scene {scene_id(split, index)}: {error}")))
    record = SceneRecord(
        dataset=split,
        scene=scene_id(split, index),
        room=room,
        target={"name": target.name, "time_start": start, "time_end": start + len(voice)},
        duration=len(voice),
        interferers=tuple(records),
        SNR=round(snr_db, 4),
        speaker=target.group,
        condition=config.condition,
        sample_rate_hz=SAMPLE_RATE_HZ,
    )
    return Remixed(StagedScene(record, mixture, frames, FRAME_RATE_HZ), tuple(unusable))


def _interferers(
    config: RemixConfig, pools: Pools, target: Recording, samples: int, rng: np.random.Generator, unusable: list[Unusable]
) -> tuple[list[Float[np.ndarray, " samples"]], list[InterfererRecord]]:
    """A scene's dry interferers, no recording or talker twice; fewer than drawn where recordings run out. Raises SceneError on none."""
    parts: list[Float[np.ndarray, " samples"]] = []
    records: list[InterfererRecord] = []
    taken = {target.group}
    for kind in draw_kinds(rng, config.mix, [kind for kind in KINDS if pools.interferers.get(kind)]):
        pool = [recording for recording in pools.interferers[kind] if recording.group not in taken]
        draws = [pool[draw] for draw in rng.permutation(len(pool))[:ATTEMPTS]]
        try:
            chosen, (audio, offset) = _first_good(draws, partial(_interferer_excerpt, kind=kind, samples=samples, rng=rng), unusable)
        except SceneError:
            if not parts:
                raise
            continue
        taken.add(chosen.group)
        parts.append(audio)
        records.append(InterfererRecord(len(parts), 0, samples, kind, chosen.name, offset))
    return parts, records


def _first_good(candidates: Sequence[Recording], take: Callable[[Recording], Made], unusable: list[Unusable]) -> tuple[Recording, Made]:
    for recording in candidates:
        try:
            return recording, take(recording)
        except MediaError as error:
            unusable.append(Unusable(recording.path, str(error)))
    if not candidates:
        raise SceneError("no recording is left to draw from, but the target talker's own; give recordings of more people")
    raise SceneError(f"none of {len(candidates)} recordings that were tried can be used; the last: {unusable[-1].reason}")


def _target_excerpt(
    recording: Recording, config: RemixConfig, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " samples"], int, Iterator[UInt8[np.ndarray, "height width 3"]] | None]:
    """Up to `duration_s` of the target, where it begins (on a picture's beginning, so that film and sound stay together), and its film."""
    audio = read_audio(recording.path, SAMPLE_RATE_HZ, reject_silence=True)
    samples = min(round(config.duration_s * SAMPLE_RATE_HZ), len(audio))
    if samples < MIN_SCENE_S * SAMPLE_RATE_HZ:
        raise MediaError(
            f"{recording.path}: {len(audio) / SAMPLE_RATE_HZ:.2f} s of sound; at least {MIN_SCENE_S:g} s are needed", fault="length"
        )
    picture = round(SAMPLE_RATE_HZ / FRAME_RATE_HZ)
    start = int(rng.integers((len(audio) - samples) // picture + 1)) * picture
    voice = audio[start : start + samples]
    _require_sound(voice, recording)
    film = _film(recording, start / SAMPLE_RATE_HZ, samples / SAMPLE_RATE_HZ, config.frame_size_px) if recording.has_video else None
    return voice, start, film


def _interferer_excerpt(
    recording: Recording, kind: InterfererKind, samples: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " samples"], int]:
    length_s = samples / SAMPLE_RATE_HZ
    if recording.duration_s > length_s:
        start_s = float(rng.uniform(0, recording.duration_s - length_s))
        audio = read_audio(recording.path, SAMPLE_RATE_HZ, start_s=start_s, duration_s=length_s)
        audio, offset = np.pad(audio, (0, max(0, samples - len(audio)))), round(start_s * SAMPLE_RATE_HZ)
    else:
        audio, offset = excerpt(read_audio(recording.path, SAMPLE_RATE_HZ), samples, rng, loop=kind != "speech")
    # Rumble and quiet recordings: judged and scaled without what lies below 80 Hz.
    audio = high_pass(audio, SAMPLE_RATE_HZ, 80.0)
    _require_sound(audio, recording)
    return audio / np.sqrt(np.mean(audio**2)), offset


def _require_sound(audio: Float[np.ndarray, " samples"], recording: Recording) -> None:
    level = speech_weighted_rms(audio, SAMPLE_RATE_HZ)
    if level < QUIETEST:
        raise MediaError(f"{recording.path}: an excerpt is silent above the rumble (speech-weighted level {level:.1e})", fault="silent")


def _responses(
    config: RemixConfig, rooms: Sequence[Recording], count: int, rng: np.random.Generator, unusable: list[Unusable]
) -> tuple[list[Float[np.ndarray, "1 taps"]], str]:
    """A response for each source of a scene (the target's first), and the room's name."""
    if rng.random() >= config.reverberant_share:
        return [np.ones((1, 1))] * count, "dry"
    if not rooms:
        room = draw_room(rng, config.rt60_s)
        distances_m = [rng.uniform(0.5, 1.2), *rng.uniform(0.8, 3.0, count - 1)]
        name = f"synthetic-rt60-{room.rt60_s:.3f}"
        return [room_response(room, rng, SAMPLE_RATE_HZ, distance_m=distance_m) for distance_m in distances_m], name
    chosen = [
        _first_good([rooms[draw] for draw in rng.integers(len(rooms), size=ATTEMPTS)], _recorded_response, unusable) for _ in range(count)
    ]
    return [response for _, response in chosen], chosen[0][0].name


def _recorded_response(recording: Recording) -> Float[np.ndarray, "1 taps"]:
    """A recorded response from its direct path on, which gets gain 1: what comes before would shift the sound against the lips."""
    taps = read_audio(recording.path, SAMPLE_RATE_HZ, reject_silence=True).astype(np.float64)
    direct = int(np.argmax(np.abs(taps)))
    return (taps[direct:] / taps[direct])[None, :]


def _film(recording: Recording, start_s: float, length_s: float, size_px: int) -> Iterator[UInt8[np.ndarray, "size_px size_px 3"]]:
    """The target's pictures, cut to squares around the face of the first. They are grey, which is what enhancers see.

    Raises MediaError where the film ends much before the sound; a few pictures that lack are repeated.
    """
    first, count = round(start_s * FRAME_RATE_HZ), int(np.ceil(length_s * FRAME_RATE_HZ - 1e-6))
    pictures = list(islice(iterate_frames(recording.path, FRAME_RATE_HZ), first, first + count))
    missing = count - len(pictures)
    if not pictures or missing > MAX_FILM_SHORTER_S * FRAME_RATE_HZ:
        raise MediaError(f"{recording.path}: the film is {missing / FRAME_RATE_HZ:.2f} s shorter than its sound", fault="length")
    pictures += [pictures[-1]] * missing
    height, width = pictures[0].shape
    side = min(height, width)
    face = find_face(pictures[0])
    middle_x, middle_y = (width / 2, height / 2) if face is None else (face[0] + face[2] / 2, face[1] + face[3] / 2)
    left = int(np.clip(middle_x - side / 2, 0, width - side))
    top = int(np.clip(middle_y - side / 2, 0, height - side))
    method = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
    squares = (cv2.resize(picture[top : top + side, left : left + side], (size_px, size_px), interpolation=method) for picture in pictures)
    return (cv2.cvtColor(square, cv2.COLOR_GRAY2RGB) for square in squares)
