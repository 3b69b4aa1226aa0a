# ruff: noqa: RUF001 (IPA letters look like Latin ones)
"""The embedded corpus's parts: voices, texts, faces, noises."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from auricle.errors import ConfigError, SceneError
from auricle.scenes.synth.conditions import companded, find_condition, microphone
from auricle.scenes.synth.face import draw_look, render_face
from auricle.scenes.synth.lips import VISEMES, Lips, lip_track
from auricle.scenes.synth.music import STYLES, music
from auricle.scenes.synth.noises import NOISES, noise
from auricle.scenes.synth.rooms import draw_room, room_response
from auricle.scenes.synth.talkers import say, talker
from auricle.scenes.synth.texts import sentence
from auricle.scenes.synth.voice import Phoneme, languages, speak, variants


def _energy(utterance, phoneme):
    piece = utterance.audio[int(phoneme.start_s * utterance.sample_rate_hz) : int(phoneme.end_s * utterance.sample_rate_hz)]
    high = np.diff(piece)
    return float(np.mean(high**2) / np.mean(piece**2))


def test_speech_is_the_same_bytes_whatever_was_said_before():
    first = speak("The lamp is near the window.", "en-us+f2")
    speak("Something else entirely.", "en+m3", rate_wpm=220)
    assert np.array_equal(speak("The lamp is near the window.", "en-us+f2").audio, first.audio)


def test_no_voice_remembers():
    said = {name: speak("My brother opened five silver spoons.", f"en-us+{name}").audio for name in variants()}
    again = {name: speak("My brother opened five silver spoons.", f"en-us+{name}").audio for name in reversed(variants())}
    assert [name for name in said if not np.array_equal(said[name], again[name])] == []


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


def test_threads_that_speak_at_once_say_the_same():
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: speak("A quick word, please.", "en+f3").audio, range(8)))
    assert all(np.array_equal(audio, said[0]) for audio in said)


def test_sentences_hardly_repeat():
    rng = np.random.default_rng(0)
    said = [sentence(rng) for _ in range(3000)]
    assert len(set(said)) > 2900
    assert len({word for text in said for word in text.lower().split()}) > 600


def test_lips_close_for_bilabials_and_open_for_open_vowels():
    opening = {}
    for symbol in ("p", "ɑ", "u", "f"):
        phonemes = [Phoneme("ə", 0.0, 0.2), Phoneme(symbol, 0.2, 0.4), Phoneme("ə", 0.4, 0.6)]
        opening[symbol] = Lips(*lip_track(phonemes, 15, 25.0, lead_s=0.0)[7])
    assert opening["p"].opening < 0.03
    assert opening["p"].press > 0.9
    assert opening["ɑ"].opening > 0.8
    assert opening["u"].rounding > 0.8
    assert opening["f"].bite > 0.8


def test_what_a_camera_cannot_see_is_not_shown():
    for alike in ("pbm", "fv", "tdn", "sz", "kɡŋ", "θð", "ʃʒ"):
        assert len({VISEMES[symbol] for symbol in alike}) == 1


def test_every_accent_can_be_lip_read():
    rng = np.random.default_rng(1)
    silent = set()
    for language in languages():
        for _ in range(15):
            silent |= {letter for phoneme in speak(sentence(rng), language).phonemes for letter in phoneme.symbol if letter not in VISEMES}
    # Length marks and diacritics only.
    assert not {letter for letter in silent if letter.isalpha() and unicodedata.category(letter) == "Ll"}


def test_the_face_shows_the_lips():
    closed, opened = Lips(0.0, press=1.0, teeth=0.0), Lips(1.0, teeth=0.0)
    look = draw_look(np.random.default_rng(2))
    frames = {}
    for name, lips in (("closed", closed), ("open", opened)):
        frames[name] = np.stack(list(render_face(look, np.tile(lips, (5, 1)), 25.0, np.random.default_rng(3))))
    assert frames["open"].shape == (5, 224, 224, 3)
    assert frames["open"].dtype == np.uint8
    changed = np.abs(frames["open"].astype(int) - frames["closed"]).mean(axis=(0, 3))
    # Only mouth and jaw move with the lips: eyes, brows and background do not know of them.
    assert changed[:90].max() == 0
    assert changed[125:185, 90:135].mean() > 5


@pytest.mark.parametrize("kind", sorted(NOISES))
def test_noises_are_sound_and_differ(kind):
    first, second = (noise(kind, np.random.default_rng(seed), 24000, 16000) for seed in (0, 1))
    assert np.isfinite(first).all()
    assert first.std() == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.9
    assert np.array_equal(first, noise(kind, np.random.default_rng(0), 24000, 16000))


@pytest.mark.parametrize("style", STYLES)
def test_music_plays(style):
    audio = music(np.random.default_rng(0), 32000, 16000, style)
    assert np.isfinite(audio).all()
    assert all(audio[start : start + 8000].std() > 0.01 for start in range(0, 32000, 8000))


@pytest.mark.parametrize("rt60_s", [0.15, 0.5])
def test_rooms_begin_with_the_direct_path_and_decay_as_asked(rt60_s):
    rng = np.random.default_rng(0)
    room = draw_room(rng, (rt60_s, rt60_s))
    response = room_response(room, rng, 16000, distance_m=2.0, ears=True)
    assert response.shape[0] == 3
    assert np.argmax(np.abs(response[0]) > 0) == 0
    assert response[0, 0] == 1
    tail = response[0, 640:]
    decay_db = 10 * np.log10(np.cumsum((tail**2)[::-1])[::-1] / (tail**2).sum() + 1e-30)
    fall = [np.argmax(decay_db < level) / 16000 for level in (-5, -20)]
    assert 4 * (fall[1] - fall[0]) == pytest.approx(rt60_s, rel=0.25)


def test_microphones_are_linear_and_dull():
    condition = find_condition("B")
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 1, 16000))
    summed = microphone(first + second, condition, 16000)
    assert np.allclose(summed, microphone(first, condition, 16000) + microphone(second, condition, 16000))
    spectrum = np.abs(np.fft.rfft(summed[0])) ** 2
    assert spectrum[7000:].mean() < 0.01 * spectrum[500:3000].mean()
    with pytest.raises(ConfigError, match="telephone"):
        find_condition("Z")


def test_mu_law_errs_a_little():
    audio = speak("A short test.").audio[None, :].astype(np.float64)
    error = companded(audio) - audio
    snr_db = 10 * np.log10((audio**2).sum() / (error**2).sum())
    assert 30 < snr_db < 45


def test_splits_share_no_voice():
    voices = {split: {talker(0, split, number).voice.partition("+")[2] for number in range(16)} for split in ("train", "dev", "eval")}
    assert not voices["train"] & voices["dev"]
    assert not voices["train"] & voices["eval"]
    assert not voices["dev"] & voices["eval"]


def test_talk_fills_its_time():
    spoken = say(talker(0, "train", 0), np.random.default_rng(0), 80000, 16000)
    assert len(spoken.audio) == 80000
    assert spoken.phonemes[-1].end_s <= 5.0
    assert spoken.audio[-1600:].std() < 0.2
    assert np.abs(spoken.audio[60000:75000]).max() > 0.02
