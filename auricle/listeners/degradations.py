"""Clean speech damaged in labelled ways: which artefact, how strong, when. Equal generators give equal clips.

Every damage takes the sound so far, some noise of the same length, the sample rate and a generator, and returns the damaged sound and
what it did. `degrade` draws one of them (sometimes two) for a clip.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy import ndimage, signal

from auricle.listeners.labels import Damage, severity_of_clarity, severity_of_ratio
from auricle.listeners.nonspeech import no_speech
from auricle.listeners.suppression import HOP, suppress

Audio = Float32[np.ndarray, " samples"]
Damaged = tuple[Audio, tuple[Damage, ...]]
Maker = Callable[[Audio, Audio, int, np.random.Generator], Damaged]

SHARES: Mapping[str, float] = {
    "clean": 0.05,
    "noise": 0.13,
    "correlated noise": 0.08,
    "muffling": 0.08,
    "clipping": 0.07,
    "drop-outs": 0.09,
    "suppression": 0.30,
    "reverberation": 0.07,
    "level jumps": 0.04,
    "garbling": 0.05,
    "no speech": 0.04,
}
"""How often each damage is drawn. Suppression leads: it is what an enhancer's policy will sound like."""

SECOND_DAMAGE_SHARE = 0.25
_SECOND = ("noise", "correlated noise", "muffling", "drop-outs", "reverberation")
RAMP_S = 0.005


@dataclass(frozen=True)
class Degraded:
    """A damaged clip. kind: the damage that was drawn, a key of SHARES (its damages may have several artefacts).

    reference: what the clip would be without its damages but in its room. A room is no fault of an enhancer, whose targets are reverberant
    too, and PESQ against dry speech takes light reverberation for ruin (docs/log.md).
    """

    audio: Audio
    damages: tuple[Damage, ...]
    kind: str
    reference: Audio


def degrade(speech: Audio, noise: Audio, sample_rate_hz: int, rng: np.random.Generator, kind: str | None = None) -> Degraded:
    """`speech` with the damage `kind` (one of SHARES), or one drawn by SHARES and then perhaps a second one."""
    drawn = kind or str(rng.choice(list(SHARES), p=list(SHARES.values())))
    audio, damages = MAKERS[drawn](speech, noise, sample_rate_hz, rng)
    reference = audio if drawn == "reverberation" else speech
    if kind is None and drawn not in ("clean", "no speech") and rng.random() < SECOND_DAMAGE_SHARE:
        second = str(rng.choice(_SECOND))
        if second == "reverberation" and second != drawn:
            tail, room = draw_room_tail(sample_rate_hz, len(speech) / sample_rate_hz, rng)
            audio, reference = in_room(audio, tail), in_room(speech, tail)
            damages = (*damages, room)
        elif second != drawn:
            audio, more = MAKERS[second](audio, np.roll(noise, len(noise) // 2), sample_rate_hz, rng)
            damages = damages + more
    return Degraded(np.ascontiguousarray(audio, dtype=np.float32), damages, drawn, np.ascontiguousarray(reference, dtype=np.float32))


def clean(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """Nothing is done."""
    return speech, ()


def additive_noise(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """Noise at -5 to 40 dB, throughout or for a part of the clip."""
    snr_db = rng.uniform(-5, 40)
    spans = _spans(len(speech) / rate, rng, whole=0.7)
    gate = _gate(spans, len(speech), rate)
    added = scaled_to_ratio(noise, speech, snr_db) * gate
    severity = severity_of_ratio(snr_db, -3, 42) * _extent(spans, len(speech) / rate)
    return speech + added, (Damage("noise", severity, spans, {"snr_db": snr_db}),)


def correlated_noise(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """Modulated noise reference unit (ITU-T P.810): white noise multiplied by the speech, at a ratio Q of 3 to 40 dB."""
    q_db = rng.uniform(3, 40)
    spans = _spans(len(speech) / rate, rng, whole=0.8)
    added = speech * rng.standard_normal(len(speech)).astype(np.float32) * 10 ** (-q_db / 20)
    severity = severity_of_ratio(q_db, 2, 38) * _extent(spans, len(speech) / rate)
    return speech + added * _gate(spans, len(speech), rate), (Damage("correlated noise", severity, spans, {"q_db": q_db}),)


def muffling(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """A low-pass at 0.7 to 7 kHz, sometimes a high-pass at 150 to 900 Hz with it (a telephone)."""
    low_pass_hz = float(np.exp(rng.uniform(np.log(700), np.log(7000))))
    high_pass_hz = float(np.exp(rng.uniform(np.log(150), np.log(900)))) if rng.random() < 0.3 else 0.0
    order = int(rng.integers(3, 9))
    audio = signal.sosfilt(signal.butter(order, low_pass_hz, "low", fs=rate, output="sos"), speech)
    if high_pass_hz:
        audio = signal.sosfilt(signal.butter(4, high_pass_hz, "high", fs=rate, output="sos"), audio)
    lost_octaves = np.log2(7500 / low_pass_hz) + 0.5 * (np.log2(high_pass_hz / 150) if high_pass_hz else 0.0)
    severity = float(np.clip(lost_octaves / np.log2(7500 / 800), 0, 1))
    whole = ((0.0, len(speech) / rate),)
    parameters = {"low_pass_hz": low_pass_hz, "high_pass_hz": high_pass_hz}
    return audio.astype(np.float32), (Damage("muffling", severity, whole, parameters),)


def clipping(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """Hard clipping of the loudest 0.3 to 35 % of the samples, throughout or for a part."""
    share = float(np.exp(rng.uniform(np.log(0.003), np.log(0.35))))
    limit = max(float(np.quantile(np.abs(speech), 1 - share)), 1e-4)
    spans = _spans(len(speech) / rate, rng, whole=0.75)
    gate = _gate(spans, len(speech), rate)
    clipped = np.clip(speech, -limit, limit)
    loss_db = 10 * np.log10(np.sum(speech**2) / max(np.sum((speech - clipped) ** 2), 1e-9))
    severity = severity_of_ratio(loss_db, 2, 28) * _extent(spans, len(speech) / rate)
    return speech * (1 - gate) + clipped * gate, (Damage("clipping", severity, spans, {"share": share}),)


def drop_outs(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """One to five gaps of 40 to 400 ms where there was speech."""
    # The running sum leaves rounding errors below zero in silence.
    envelope = np.maximum(ndimage.uniform_filter1d(speech.astype(np.float64) ** 2, int(0.1 * rate)), 0.0)
    envelope[: int(0.1 * rate)] = envelope[-int(0.4 * rate) :] = 0.0
    likely = np.where(envelope > 0.1 * envelope.max(), envelope**0.25, 0.0)
    count = int(rng.integers(1, 6))
    starts = rng.choice(len(speech), size=count, p=likely / likely.sum()) / rate
    spans = merged([(float(start), float(start + rng.uniform(0.04, 0.4))) for start in starts], gap_s=0.05)
    lost_s = sum(end - start for start, end in spans)
    severity = float(np.clip(0.2 + lost_s / 1.0, 0, 1))
    return speech * (1 - _gate(spans, len(speech), rate)), (Damage("drop-outs", severity, spans, {"lost_s": lost_s}),)


def suppression(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """A noisy mixture (-6 to 20 dB) through a more or less spoiled mask; the labels are measured on what the mask did."""
    duration_s = len(speech) / rate
    snr_db = rng.uniform(-6, 20)
    result = suppress(speech, scaled_to_ratio(noise, speech, snr_db), rate, rng)
    left = severity_of_ratio(result.residual_snr_db, -3, 42)
    lost = severity_of_ratio(result.speech_sdr_db, -1, 22)
    parameters = {"snr_db": snr_db, "residual_snr_db": result.residual_snr_db, "speech_sdr_db": result.speech_sdr_db}
    spans = _loss_spans(result.local_loss, rate, duration_s)
    damages = [Damage("over-suppression", lost, spans, parameters)]
    damages.append(Damage("musical noise" if result.musical else "noise", left, ((0.0, duration_s),), parameters))
    return result.audio, tuple(damages)


def reverberation(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """A room of exponentially decaying noise: reverberation time 0.2 to 1.2 s, direct-to-reverberant ratio -6 to 14 dB."""
    tail, room = draw_room_tail(rate, len(speech) / rate, rng)
    return in_room(speech, tail), (room,)


def in_room(speech: Audio, tail: Audio) -> Audio:
    """`speech` with a room's tail, the direct sound where it was."""
    return speech + signal.fftconvolve(speech, tail)[: len(speech)].astype(np.float32)


def draw_room_tail(rate: int, duration_s: float, rng: np.random.Generator) -> tuple[Audio, Damage]:
    """A room's response after the direct sound, and what it does to a clip of `duration_s`."""
    rt60_s, drr_db = rng.uniform(0.2, 1.2), rng.uniform(-6, 14)
    samples = int(min(rt60_s, 1.0) * rate)
    tail = rng.standard_normal(samples) * 10 ** (-3 * np.arange(samples) / (rt60_s * rate))
    tail[: int(0.002 * rate)] = 0
    tail = signal.lfilter([1.0], [1.0, -rng.uniform(0.0, 0.6)], tail)
    tail *= np.sqrt(10 ** (-drr_db / 10) / np.sum(tail**2))
    early = 1.0 + np.sum(tail[: int(0.05 * rate)] ** 2)
    c50_db = float(10 * np.log10(early / max(np.sum(tail[int(0.05 * rate) :] ** 2), 1e-9)))
    parameters = {"rt60_s": rt60_s, "drr_db": drr_db, "c50_db": c50_db}
    return tail.astype(np.float32), Damage("reverberation", severity_of_clarity(c50_db), ((0.0, duration_s),), parameters)


def level_jumps(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """The level jumps by 6 to 25 dB, up or down, for a part of the clip."""
    change_db = rng.uniform(6, 25) * rng.choice([-1, 1])
    spans = _spans(len(speech) / rate, rng, whole=0.0)
    gain = 10 ** (change_db / 20 * _gate(spans, len(speech), rate))
    severity = float(np.clip(abs(change_db) / 30, 0, 1))
    return (speech * gain).astype(np.float32), (Damage("level jumps", severity, spans, {"change_db": change_db}),)


def garbling(speech: Audio, noise: Audio, rate: int, rng: np.random.Generator) -> Damaged:
    """Speech that is no speech any more: phases shaken, short blocks reversed, or the whole clip backwards."""
    whole = ((0.0, len(speech) / rate),)
    way = rng.choice(["phase", "blocks", "backwards"], p=[0.5, 0.3, 0.2])
    if way == "backwards":
        return speech[::-1].copy(), (Damage("garbling", 1.0, whole, {}),)
    if way == "blocks":
        block = int(rng.uniform(0.04, 0.2) * rate)
        pieces = [speech[start : start + block][::-1] for start in range(0, len(speech), block)]
        return np.concatenate(pieces), (Damage("garbling", float(np.clip(0.4 + 4 * block / rate, 0, 1)), whole, {"block_s": block / rate}),)
    spread = rng.uniform(0.15, 1.0)
    spectrum = signal.stft(speech, nperseg=512, noverlap=512 - HOP)[2]
    spectrum = spectrum * np.exp(1j * np.pi * spread * rng.uniform(-1, 1, spectrum.shape))
    audio = signal.istft(spectrum, nperseg=512, noverlap=512 - HOP)[1][: len(speech)]
    return np.pad(audio, (0, len(speech) - len(audio))).astype(np.float32), (Damage("garbling", spread, whole, {"phase_spread": spread}),)


MAKERS: Mapping[str, Maker] = {
    "clean": clean,
    "noise": additive_noise,
    "correlated noise": correlated_noise,
    "muffling": muffling,
    "clipping": clipping,
    "drop-outs": drop_outs,
    "suppression": suppression,
    "reverberation": reverberation,
    "level jumps": level_jumps,
    "garbling": garbling,
    "no speech": no_speech,
}


def scaled_to_ratio(noise: Audio, speech: Audio, snr_db: float) -> Audio:
    """`noise` at `snr_db` below the speech, by mean power."""
    gain = np.sqrt(np.mean(speech**2) / max(float(np.mean(noise**2)), 1e-12) * 10 ** (-snr_db / 10))
    return (noise * gain).astype(np.float32)


def merged(spans: list[tuple[float, float]], gap_s: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Spans in order, those nearer than `gap_s` made one."""
    result: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1] + gap_s:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def _spans(duration_s: float, rng: np.random.Generator, whole: float) -> tuple[tuple[float, float], ...]:
    """With probability `whole` the whole clip, else one stretch of 0.4 to 1.5 s within it."""
    if rng.random() < whole:
        return ((0.0, duration_s),)
    length_s = rng.uniform(0.4, min(1.5, 0.7 * duration_s))
    start_s = rng.uniform(0.0, duration_s - length_s)
    return ((float(start_s), float(start_s + length_s)),)


def _extent(spans: tuple[tuple[float, float], ...], duration_s: float) -> float:
    """A damage in a part of the clip weighs more than its share of the time: people remember the worst."""
    return float((sum(end - start for start, end in spans) / duration_s) ** 0.5)


def _gate(spans: tuple[tuple[float, float], ...], samples: int, rate: int) -> Audio:
    """1 within the spans and 0 outside, with short ramps."""
    gate = np.zeros(samples, dtype=np.float32)
    for start_s, end_s in spans:
        gate[int(start_s * rate) : int(np.ceil(end_s * rate))] = 1.0
    ramp = max(1, int(RAMP_S * rate))
    return gate if gate.all() else ndimage.uniform_filter1d(gate, ramp)


def _loss_spans(local_loss: np.ndarray, rate: int, duration_s: float) -> tuple[tuple[float, float], ...]:
    """Where the mask took much more speech than elsewhere; the whole clip where it took evenly."""
    level = max(0.25, 1.6 * float(np.median(local_loss)))
    hot = np.flatnonzero(local_loss > level)
    if len(hot) == 0 or len(hot) > 0.7 * len(local_loss):
        return ((0.0, duration_s),)
    step_s = HOP / rate
    runs = merged([(float(max(0.0, (k - 0.5) * step_s)), float(min(duration_s, (k + 0.5) * step_s))) for k in hot], gap_s=0.15)
    longest = sorted(runs, key=lambda run: run[0] - run[1])[:3]
    return tuple(sorted(longest))
