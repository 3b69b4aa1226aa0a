"""One scene of the embedded corpus, from (seed, split, index) alone."""

import math

import numpy as np
from jaxtyping import Float
from pydantic import Field

from auricle.config import Config
from auricle.scenes.mixing import MixConfig, Mixture, Sound, draw_kinds, excerpt, in_room, mix, quantised, scene_rng, sum_interferers
from auricle.scenes.scene import InterfererKind, Split
from auricle.scenes.synth.conditions import Condition, companded, find_condition, microphone
from auricle.scenes.synth.face import render_face
from auricle.scenes.synth.lips import lip_track
from auricle.scenes.synth.music import music
from auricle.scenes.synth.noises import noise
from auricle.scenes.synth.rooms import Room, draw_room, room_response
from auricle.scenes.synth.talkers import SPEAKERS, say, talker
from auricle.scenes.writer import InterfererRecord, SceneRecord, StagedScene, scene_id

SAMPLE_RATE_HZ = 16000
FRAME_RATE_HZ = 25.0


class SynthConfig(Config):
    """What `auricle corpus synth` writes."""

    seed: int = 0
    """Every draw comes from (seed, split, scene number): two corpora of one seed share talkers and sentences, also across conditions."""
    condition: str = "A"
    """Noises, rooms and microphone: a name of `synth.conditions.CONDITIONS`."""
    duration_s: float = Field(default=3.0, ge=0.5, le=60)
    """Length of each scene, in seconds; the film ends with the picture that covers the last sample."""
    binaural: bool = False
    """Also write the two-channel files of AVSEC-4 (a head with two ears), beside the mono ones."""
    video: bool = True
    """Render the talking face; without it the corpus is audio only."""
    mix: MixConfig = MixConfig(snr_db_min=-5.0, snr_db_max=10.0)
    """Levels and interferers."""


def stage_scene(config: SynthConfig, split: Split, index: int) -> StagedScene:
    """Scene `index` (from 0) of a split: equal arguments give equal bytes."""
    condition = find_condition(config.condition)
    frames = math.ceil(config.duration_s * FRAME_RATE_HZ)
    samples = round(config.duration_s * SAMPLE_RATE_HZ)
    number = int(scene_rng(config.seed, split, index, "who").integers(SPEAKERS[split]))
    person = talker(config.seed, split, number)
    spoken = say(person, scene_rng(config.seed, split, index, "speech"), samples, SAMPLE_RATE_HZ)

    sound_rng = scene_rng(config.seed, split, index, f"sound {condition.name}")
    room = draw_room(sound_rng, condition.rt60_s)
    snr_db = float(sound_rng.uniform(config.mix.snr_db_min, config.mix.snr_db_max))
    kinds = draw_kinds(sound_rng, config.mix)
    target = _received(spoken.audio, room, condition, sound_rng, config.binaural, distance_m=sound_rng.uniform(*condition.target_m))
    parts, names = [], []
    for place, kind in enumerate(kinds):
        rng = scene_rng(config.seed, split, index, f"interferer {place} {condition.name}")
        audio, name = _interferer(kind, condition, config.seed, split, number, rng, samples)
        parts.append(_received(audio, room, condition, rng, config.binaural, distance_m=rng.uniform(*condition.interferer_m)))
        names.append(name)
    interferer = sum_interferers(parts, SAMPLE_RATE_HZ, config.mix, sound_rng)
    dry = microphone(np.repeat(spoken.audio[None, :].astype(np.float64), len(target), axis=0), condition, SAMPLE_RATE_HZ)
    mixture = mix(target, dry, interferer, SAMPLE_RATE_HZ, snr_db, config.mix.peak)
    if condition.mu_law:
        mixture = _coded(mixture, config.mix.peak)

    record = SceneRecord(
        dataset=split,
        scene=scene_id(split, index),
        room=f"synth-{condition.name}-rt60-{room.rt60_s:.3f}",
        target={"name": f"{person.name}/{index:05d}", "time_start": 0, "time_end": samples},
        duration=samples,
        interferers=tuple(InterfererRecord(k + 1, 0, samples, kind, names[k], 0) for k, kind in enumerate(kinds)),
        SNR=round(snr_db, 4),
        speaker=person.name,
        condition=condition.name,
        sample_rate_hz=SAMPLE_RATE_HZ,
        text=spoken.text,
    )
    if not config.video:
        return StagedScene(record, mixture, None, FRAME_RATE_HZ)
    face_rng = scene_rng(config.seed, split, index, "face")
    lips = lip_track(spoken.phonemes, frames, FRAME_RATE_HZ, effort=person.effort)
    return StagedScene(record, mixture, render_face(person.look, lips, FRAME_RATE_HZ, face_rng), FRAME_RATE_HZ)


def _received(
    audio: Float[np.ndarray, " samples"], room: Room, condition: Condition, rng: np.random.Generator, ears: bool, *, distance_m: float
) -> Sound:
    return microphone(in_room(audio, room_response(room, rng, SAMPLE_RATE_HZ, distance_m=distance_m, ears=ears)), condition, SAMPLE_RATE_HZ)


def _interferer(
    kind: InterfererKind, condition: Condition, seed: int, split: Split, target_number: int, rng: np.random.Generator, samples: int
) -> tuple[Float[np.ndarray, " samples"], str]:
    """A dry interferer and its name. Competing talkers come from the same split, and are never the target."""
    if kind == "music":
        return music(rng, samples, SAMPLE_RATE_HZ, condition.music), condition.music
    if kind == "noise":
        name = condition.noises[rng.integers(len(condition.noises))]
        if name != "babble":
            return noise(name, rng, samples, SAMPLE_RATE_HZ), name
        voices = [_competing(seed, split, target_number, rng, samples)[0] for _ in range(rng.integers(5, 9))]
        return np.sum(voices, axis=0), name
    return _competing(seed, split, target_number, rng, samples)


def _competing(
    seed: int, split: Split, target_number: int, rng: np.random.Generator, samples: int
) -> tuple[Float[np.ndarray, " samples"], str]:
    number = int(target_number + rng.integers(1, SPEAKERS[split])) % SPEAKERS[split]
    person = talker(seed, split, number)
    # A stretch from the middle of longer talk, so that competing talkers do not all begin with the target.
    spoken = say(person, rng, samples + SAMPLE_RATE_HZ // 2, SAMPLE_RATE_HZ)
    audio, _ = excerpt(spoken.audio, samples, rng, loop=False)
    return audio / np.sqrt(np.mean(audio.astype(np.float64) ** 2) + 1e-9), person.name


def _coded(mixture: Mixture, peak: float) -> Mixture:
    """The line's coding error is counted as interference, so that mix == target + interferer still holds."""
    target, anechoic, interferer = (part / 32768 for part in (mixture.target, mixture.target_anechoic, mixture.interferer))
    return quantised(target, anechoic, companded(target + interferer) - target, peak)
