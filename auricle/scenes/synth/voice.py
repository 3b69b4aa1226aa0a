"""Speech with phoneme times, by espeak-ng through ctypes.

espeak-ng keeps state between utterances in static variables (flutter, noise, wave phase): the same text sounds different the second time.
So that a sentence is the same bytes whoever speaks it and whatever was said before, the library is loaded afresh for every utterance
(0.4 ms, against 3 ms for the speech), under one process-wide lock, because it is not thread-safe either.
"""

import _ctypes
import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import espeakng_loader
import numpy as np
from jaxtyping import Float32
from scipy.signal import resample_poly

from auricle.errors import ConfigError, SceneError

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _IPA, _DONT_EXIT = 0x0001, 0x0002, 0x8000
_POSITION_CHARACTER = 1
_UTF8 = 1
_RATE, _VOLUME, _PITCH, _PITCH_RANGE = 1, 2, 3, 4
_EVENT_END_OF_LIST, _EVENT_PHONEME = 0, 7

_HALF_VOLUME = 50  # at the default of 100 a dozen variants clip

_STRESS_MARKS = "\u02c8\u02cc"  # primary, secondary
_LOCK = threading.Lock()


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Phoneme(NamedTuple):
    """symbol: IPA without stress marks, "" for a pause. Times count from the start of the utterance."""

    symbol: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Utterance:
    """Spoken text. audio: mono in [-1, 1]; phonemes: adjoining, from 0 to the end of the audio."""

    text: str
    audio: Float32[np.ndarray, " samples"]
    sample_rate_hz: int
    phonemes: tuple[Phoneme, ...]

    @property
    def duration_s(self) -> float:
        """Length of the audio."""
        return len(self.audio) / self.sample_rate_hz


def speak(
    text: str,
    voice: str = "en-us",
    *,
    pitch: int = 50,
    pitch_range: int = 50,
    rate_wpm: int = 170,
    tract_scale: float = 1.0,
    sample_rate_hz: int = 16000,
) -> Utterance:
    """`text` spoken aloud; equal arguments give equal bytes.

    voice: "language" or "language+variant", of `all_languages()` and `variants()`. pitch, pitch_range: 0-100, espeak-ng's scales (50 is the
    voice's own). rate_wpm: 80-450 words a minute. tract_scale: 0.7-1.4; above 1 all resonances and the pitch rise (a shorter vocal tract)
    at an unchanged speaking rate. Raises ConfigError for an unknown voice, SceneError where nothing can be said.
    """
    _check(voice, pitch, pitch_range, rate_wpm, tract_scale)
    # The vocal tract is scaled by reading the samples at another rate, which also changes the tempo: asked for the inverse beforehand.
    with _LOCK:
        pcm, rate_hz, events = _synthesise(text, voice, pitch, pitch_range, round(rate_wpm / tract_scale))
    if not any(symbol for symbol, _ in events):
        raise SceneError(f"text {text!r}: voice {voice!r} had nothing to say; give it words")
    down = round(rate_hz * tract_scale / 50)
    audio = resample_poly(pcm.astype(np.float32) / 32768.0, sample_rate_hz // 50, down).astype(np.float32)
    return Utterance(text, audio, sample_rate_hz, _phonemes(events, down * 50, len(audio) / sample_rate_hz))


@cache
def languages() -> tuple[str, ...]:
    """The English accents, by espeak-ng's identifiers; "en" is British."""
    folder = Path(espeakng_loader.get_data_path()) / "lang" / "gmw"
    return tuple(sorted(path.name.lower() for path in folder.glob("en*") if path.name != "en-Shaw"))


@cache
def all_languages() -> tuple[str, ...]:
    """Every language and accent that espeak-ng speaks, by its identifiers."""
    folder = Path(espeakng_loader.get_data_path()) / "lang"
    return tuple(sorted({path.name.lower() for path in folder.rglob("*") if path.is_file()}))


@cache
def variants() -> tuple[str, ...]:
    """The voice variants: speakers, in espeak-ng's sense."""
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))


def _check(voice: str, pitch: int, pitch_range: int, rate_wpm: int, tract_scale: float) -> None:
    language, _, variant = voice.partition("+")
    if language not in all_languages():
        raise ConfigError(f"voice {voice!r}: no language {language!r}; choose one of {', '.join(languages())}, or another of espeak-ng's")
    if variant and variant not in variants():
        raise ConfigError(f"voice {voice!r}: no variant {variant!r}; choose one of {', '.join(variants())}")
    bounds = {
        "pitch": (pitch, 0, 100),
        "pitch_range": (pitch_range, 0, 100),
        "rate_wpm": (rate_wpm, 80, 450),
        "tract_scale": (tract_scale, 0.7, 1.4),
    }
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise ConfigError(f"{name} = {value}: must lie within {low} to {high}")


@contextmanager
def _fresh_library() -> Iterator[tuple[ctypes.CDLL, int]]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    # Two variants draw from the C library's own generator, which outlives the reloading.
    ctypes.CDLL(None).srand(1)
    try:
        rate_hz = library.espeak_Initialize(
            _SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), _PHONEME_EVENTS | _IPA | _DONT_EXIT
        )
        if rate_hz <= 0:
            raise SceneError(f"espeak-ng cannot read its data in {espeakng_loader.get_data_path()}; reinstall espeakng-loader")
        yield library, rate_hz
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)


def _synthesise(text: str, voice: str, pitch: int, pitch_range: int, rate_wpm: int) -> tuple[np.ndarray, int, list[tuple[str, int]]]:
    """PCM16 samples, their rate, and (IPA symbol, sample) of every phoneme's start."""
    pieces: list[np.ndarray] = []
    events: list[tuple[str, int]] = []

    def collect(samples, count, reported) -> int:
        if count > 0 and samples:
            pieces.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        index = 0
        while reported[index].type != _EVENT_END_OF_LIST:
            if reported[index].type == _EVENT_PHONEME:
                symbol = reported[index].id.string.decode("utf-8", errors="ignore")
                events.append((symbol.strip(_STRESS_MARKS), reported[index].sample))
            index += 1
        return 0

    callback = _SynthCallback(collect)
    with _fresh_library() as (library, rate_hz):
        library.espeak_SetSynthCallback(callback)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        if library.espeak_SetVoiceByName(voice.encode()):
            raise ConfigError(f"voice {voice!r}: espeak-ng refuses it; choose another of `variants()`")
        for parameter, value in ((_RATE, rate_wpm), (_VOLUME, _HALF_VOLUME), (_PITCH, pitch), (_PITCH_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return pcm, rate_hz, events


def _phonemes(events: list[tuple[str, int]], rate_hz: float, duration_s: float) -> tuple[Phoneme, ...]:
    starts = [min(sample / rate_hz, duration_s) for _, sample in events] + [duration_s]
    leading = [Phoneme("", 0.0, starts[0])] if starts[0] > 0 else []
    spoken = [Phoneme(symbol, start, end) for (symbol, _), start, end in zip(events, starts[:-1], starts[1:], strict=True) if end > start]
    return tuple(leading + spoken)
