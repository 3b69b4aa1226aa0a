"""The embedded corpus's parts: voices, texts, faces, noises."""

import numpy as np
import pytest

from auricle.errors import ConfigError, SceneError
from auricle.scenes.synth.voice import languages, speak, variants


def _energy(utterance, phoneme):
    piece = utterance.audio[int(phoneme.start_s * utterance.sample_rate_hz) : int(phoneme.end_s * utterance.sample_rate_hz)]
    high = np.diff(piece)
    return float(np.mean(high**2) / np.mean(piece**2))


def test_speech_is_the_same_bytes_whatever_was_said_before():
    first = speak("The lamp is near the window.", "en-us+f2")
    speak("Something else entirely.", "en+m3", rate_wpm=220)
    assert np.array_equal(speak("The lamp is near the window.", "en-us+f2").audio, first.audio)


def test_phonemes_adjoin_and_cover_the_audio():
    utterance = speak("Seven boats.", "en-gb-scotland+m1", tract_scale=1.1)
    starts = [phoneme.start_s for phoneme in utterance.phonemes]
    ends = [phoneme.end_s for phoneme in utterance.phonemes]
    assert starts[0] == 0.0
    assert starts[1:] == ends[:-1]
    assert ends[-1] == pytest.approx(utterance.duration_s)


@pytest.mark.parametrize("tract_scale", [0.85, 1.0, 1.2])
def test_hissing_phonemes_hiss_where_their_times_say(tract_scale):
    utterance = speak("She sells sea shells.", "en-us+f2", tract_scale=tract_scale)
    hiss = [_energy(utterance, p) for p in utterance.phonemes if p.symbol in ("s", "ʃ")]
    vowels = [_energy(utterance, p) for p in utterance.phonemes if p.symbol in ("i\u02d0", "ɛ")]
    assert len(hiss) == 4
    assert len(vowels) == 4
    assert min(hiss) > 2 * max(vowels)


def test_the_vocal_tract_leaves_the_tempo_as_it_is():
    durations = [speak("A slow walk along the river in May.", tract_scale=scale).duration_s for scale in (0.85, 1.0, 1.2)]
    assert max(durations) < 1.08 * min(durations)


def test_faults_of_a_voice_name_the_cure():
    assert len(languages()) >= 6
    assert len(variants()) >= 50
    with pytest.raises(ConfigError, match="en-us"):
        speak("hello", "klingon")
    with pytest.raises(ConfigError, match="f2"):
        speak("hello", "en-us+nobody")
    with pytest.raises(ConfigError, match="rate_wpm"):
        speak("hello", rate_wpm=1000)
    with pytest.raises(SceneError, match="nothing to say"):
        speak("")
