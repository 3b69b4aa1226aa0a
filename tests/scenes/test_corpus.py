"""`auricle corpus`: what is written can be read, is the same bytes however it was made, and goes on where it stopped."""

import hashlib
import json

import av
import numpy as np
import pytest
import soundfile

from auricle.audio import read_audio, write_audio
from auricle.errors import ConfigError, MediaError
from auricle.levels import speech_weighted_snr_db
from auricle.scenes.checks import check_scenes
from auricle.scenes.film import write_film
from auricle.scenes.layouts import list_scenes
from auricle.scenes.loading import load_clip
from auricle.scenes.mixing import MixConfig
from auricle.scenes.pools import Folders, take_inventory
from auricle.scenes.splits import speakers_by_folder, speakers_by_pattern, speakers_by_table, split_groups
from auricle.scenes.synth.staging import SynthConfig, stage_scene
from auricle.scenes.synth.voice import speak
from auricle.scenes.writer import CorpusWriter
from auricle.signals import resample
from auricle.video import read_frames
from pipelines.corpus import main, parse_counts

SYNTH = ["--scenes", "train=3,dev=1", "--duration", "1", "--seed", "7"]


def _hashes(root):
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus") / "synth"
    assert main(["synth", str(root), *SYNTH, "--workers", "1"]) == 0
    return root


def test_what_is_written_can_be_read(corpus):
    scenes = list_scenes(corpus)
    assert [scene.scene_id for scene in scenes] == ["S00001", "S00002", "S00003", "S34526"]
    assert {scene.condition for scene in scenes} == {"A"}
    assert len(check_scenes(scenes, show=False).usable) == 4
    for scene in scenes:
        assert scene.speaker.startswith(f"synth-{scene.split}-")
        assert 1 <= len(scene.interferer_kinds) <= 3
        clip = load_clip(scene, sample_rate_hz=16000, frame_rate_hz=25.0, frame_size_px=48)
        assert len(clip.mix) == len(clip.target) == 16000
        assert clip.frames.shape == (25, 48, 48)
        target, interferer = (read_audio(path, 16000) for path in (scene.target, scene.interferer))
        assert np.array_equal(clip.mix, target + interferer)
        assert speech_weighted_snr_db(target, interferer, 16000) == pytest.approx(scene.snr_db, abs=0.05)


def test_metadata_has_the_fields_of_avsec4(corpus, shared_data):
    ours = json.loads((corpus / "metadata" / "scenes.train.json").read_text())[0]
    theirs = json.loads((shared_data / "avsec_metadata" / "fields_avsec4.json").read_text())[0]
    assert theirs.keys() <= ours.keys()
    for part in ("target", "listener"):
        assert theirs[part].keys() <= ours[part].keys()
    assert theirs["interferers"][0].keys() <= ours["interferers"][0].keys()
    assert all(type(ours[key]) is type(theirs[key]) for key in theirs)


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_workers_and_a_broken_run_goes_on(corpus, tmp_path):
    root = tmp_path / "again"
    assert main(["synth", str(root), *SYNTH, "--workers", "2"]) == 0
    made = _hashes(root)
    assert made == _hashes(corpus)
    # As if killed while it wrote S00002: the record, which comes last, is not there.
    (root / "metadata" / "records" / "S00002.json").unlink()
    (root / "metadata" / "scenes.train.json").unlink()
    (root / "train" / "scenes" / "S00002_mono_mix.wav").unlink()
    (root / "train" / "scenes" / ".S00002_silent.1-2.mp4").write_bytes(b"half a film")
    kept = (root / "train" / "scenes" / "S00001_mono_mix.wav").stat().st_mtime_ns
    assert main(["synth", str(root), *SYNTH, "--workers", "1"]) == 0
    (root / "train" / "scenes" / ".S00002_silent.1-2.mp4").unlink()
    assert _hashes(root) == made
    assert (root / "train" / "scenes" / "S00001_mono_mix.wav").stat().st_mtime_ns == kept


def test_a_corpus_grows_but_is_never_mixed_up(corpus, capsys):
    assert main(["synth", str(corpus), "--scenes", "train=3", "--duration", "1", "--seed", "8"]) == 1
    assert "other seed" in capsys.readouterr().err
    assert main(["synth", str(corpus.parent), *SYNTH]) == 1
    assert "not empty" in capsys.readouterr().err


def test_conditions_change_the_sound_and_nothing_that_is_seen():
    scenes = {name: stage_scene(SynthConfig(condition=name, duration_s=1.0), "eval", 5) for name in ("A", "B", "telephone")}
    films = {name: np.stack(list(scene.frames)) for name, scene in scenes.items()}
    assert np.array_equal(films["A"], films["B"])
    assert len({scene.record.text for scene in scenes.values()}) == 1
    assert not np.array_equal(scenes["A"].mixture.mix, scenes["B"].mixture.mix)
    for scene in scenes.values():
        assert np.array_equal(scene.mixture.mix, scene.mixture.target + scene.mixture.interferer)


def test_the_face_knows_nothing_of_the_interferers():
    quiet, loud = (SynthConfig(duration_s=1.0, mix=MixConfig(snr_db_min=snr_db, snr_db_max=snr_db)) for snr_db in (-10.0, 20.0))
    films = [np.stack(list(stage_scene(config, "train", 2).frames)) for config in (quiet, loud)]
    assert np.array_equal(*films)


def test_competing_talkers_are_other_people_of_the_same_split():
    config = SynthConfig(duration_s=0.5, video=False, mix=MixConfig(speech_share=1.0, music_share=0.0, count_shares=(0, 0, 1)))
    for index in range(6):
        record = stage_scene(config, "dev", index).record
        assert all(part.name != record.speaker and part.name.startswith("synth-dev-") for part in record.interferers)


def test_binaural_scenes_have_both_ears(tmp_path):
    staged = stage_scene(SynthConfig(duration_s=0.5, binaural=True, video=False), "train", 0)
    CorpusWriter(tmp_path).write(staged)
    sounds = {
        part: soundfile.read(tmp_path / "train" / "scenes" / f"S00001_{part}.wav", dtype="int16")[0]
        for part in ("mix", "target", "interferer")
    }
    assert all(sound.shape == (8000, 2) for sound in sounds.values())
    assert np.array_equal(sounds["mix"], sounds["target"] + sounds["interferer"])
    assert not np.array_equal(sounds["target"][:, 0], sounds["target"][:, 1])


def test_films_of_equal_pictures_are_equal_bytes(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3)).astype(np.uint8)
    written = set()
    for attempt in range(4):
        keep = [np.empty(size) for size in np.random.default_rng(attempt).integers(1000, 200000, 50)]
        assert write_film(tmp_path / "film.mp4", [picture.copy() for picture in pictures], 25.0) == 12
        written.add((tmp_path / "film.mp4").read_bytes())
        del keep
    assert len(written) == 1
    assert len(read_frames(tmp_path / "film.mp4")) == 12
    with pytest.raises(MediaError, match="no pictures"):
        write_film(tmp_path / "none.mp4", [], 25.0)
    with pytest.raises(MediaError, match="picture 1 is"):
        write_film(tmp_path / "none.mp4", [pictures[0], pictures[1][:32]], 25.0)
    assert not (tmp_path / "none.mp4").exists()


def test_scene_counts_are_read_and_faults_named():
    assert parse_counts("train=3, eval=0") == {"train": 3, "eval": 0}
    for faulty in ("train", "train=x", "test=3", ""):
        with pytest.raises(ConfigError, match="--scenes"):
            parse_counts(faulty)


def test_dry_run_shows_flags_as_settings(tmp_path, capsys):
    assert main(["synth", str(tmp_path / "out"), "--dry-run", "--condition", "B", "--duration", "2.5", "--binaural"]) == 0
    shown = capsys.readouterr().out
    assert 'condition = "B"' in shown
    assert "duration_s = 2.5" in shown
    assert "binaural = true" in shown
    assert not (tmp_path / "out").exists()
    assert main(["synth", str(tmp_path / "out"), "--condition", "Z"]) == 1
    assert "telephone" in capsys.readouterr().err


def test_splits_are_disjoint_complete_and_even():
    names = [f"p{number}" for number in range(50)]
    splits = split_groups(names, {"train": 160, "dev": 40, "eval": 0}, 3, what="people")
    assert set(splits) == set(names)
    assert sorted(splits.values()).count("train") == 40
    assert splits == split_groups(reversed(names), {"train": 160, "dev": 40}, 3, what="people")
    grown = split_groups([*names, "new"], {"train": 1, "dev": 1}, 3, what="people", settled=splits)
    assert all(grown[name] == splits[name] for name in names)
    with pytest.raises(ConfigError, match="2 cannot be divided"):
        split_groups(["a", "b"], {"train": 1, "dev": 1, "eval": 1}, 0, what="people")


def test_speakers_are_named_by_folder_pattern_or_table(tmp_path):
    librispeech = ["1183/124566/0.flac", "1183/9/1.flac", "40/1/0.flac"]
    assert [speakers_by_folder(librispeech)(name) for name in librispeech] == ["1183", "1183", "40"]
    nested = ["trainval/abc/1.mp4", "trainval/def/1.mp4"]
    assert [speakers_by_folder(nested)(name) for name in nested] == ["abc", "def"]
    assert speakers_by_folder(["x/a.wav", "x/b.wav"])("x/a.wav") == "a"
    assert speakers_by_pattern(r"(\d+)-\d+-\d+")("train/1183-124566-0000.flac") == "1183"
    with pytest.raises(ConfigError, match="no group"):
        speakers_by_pattern(r"\d+")
    table = tmp_path / "people.csv"
    table.write_text("file,text,person\na.mpg,hello,Ann\n")
    assert [speakers_by_table(table)(name) for name in ("x/a.mpg", "b.mpg")] == ["Ann", "b"]


def _talking_film(path, text, voice, *, sound=True):
    """A Matroska film with a coloured picture and 44.1 kHz speech, as a user might have it."""
    spoken = resample(speak(text, voice).audio, 16000, 44100)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=30)
        picture.width, picture.height, picture.pix_fmt = 160, 120, "yuv420p"
        voice_stream = container.add_stream("pcm_s16le", rate=44100, layout="mono") if sound else None
        for number in range(int(len(spoken) / 44100 * 30)):
            frame = np.full((120, 160, 3), (number * 4) % 256, np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(picture.encode(None))
        if voice_stream:
            frame = av.AudioFrame.from_ndarray((spoken * 32767).astype(np.int16)[None, :], format="s16", layout="mono")
            frame.sample_rate = 44100
            container.mux(voice_stream.encode(frame))
            container.mux(voice_stream.encode(None))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    root = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for folder in ("videos", "speech", "noise", "music", "rirs"):
        (root / folder).mkdir()
    text = "The quick brown fox jumps over the lazy dog near the river."
    for number, variant in enumerate(("f2", "m3", "f4", "m1")):
        _talking_film(root / "videos" / f"talk{number}.mkv", text, f"en-us+{variant}")
        (root / "speech" / f"person{number}").mkdir()
        for take in range(2):
            write_audio(root / "speech" / f"person{number}" / f"{take}.wav", speak(text[4 * take :], f"en+{variant}").audio, 16000)
    for number in range(9):
        write_audio(root / "noise" / f"noise{number}.flac", 0.001 * rng.normal(size=48000) + 0.2 * np.sin(np.arange(48000) * 0.002), 16000)
    write_audio(root / "noise" / "silent.wav", np.zeros(48000), 16000)
    (root / "noise" / "torn.wav").write_bytes((root / "noise" / "silent.wav").read_bytes()[:1000])
    _talking_film(root / "videos" / "mute.mkv", text, "en-us+f2", sound=False)
    write_audio(root / "music" / "tune.ogg", 0.3 * np.sin(np.arange(32000) * 0.1), 16000)
    write_audio(root / "rirs" / "room.wav", np.concatenate([np.zeros(80), [0.8], 0.05 * rng.normal(size=2000)]), 16000)
    return root


def _sources(root):
    return [word for kind in ("videos", "speech", "noise", "music", "rirs") for word in (f"--{kind}", str(root / kind))]


def test_recordings_become_scenes(recordings, tmp_path, capsys):
    root = tmp_path / "mixed"
    arguments = ["mix", str(root), *_sources(recordings), "--scenes", "train=6,dev=2,eval=2", "--duration", "1.5", "--workers", "1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for reason in ("mute.mkv: a film without sound", "torn.wav: cut short", "1 pieces of music for 3 splits"):
        assert reason in printed
    scenes = list_scenes(root)
    assert len(check_scenes(scenes, show=False).usable) == len(scenes) == 10
    speakers = {split: {scene.speaker for scene in scenes if scene.split == split} for split in ("train", "dev", "eval")}
    assert len(set.union(*speakers.values())) == sum(map(len, speakers.values()))
    for scene in scenes:
        mix, target, interferer = (read_audio(path, 16000) for path in (scene.mix, scene.target, scene.interferer))
        assert np.array_equal(mix, target + interferer)
        assert speech_weighted_snr_db(target, interferer, 16000) == pytest.approx(scene.snr_db, abs=0.05)
        assert read_frames(scene.video).shape == (38, 224, 224)
    again = tmp_path / "again"
    assert main([*arguments[:1], str(again), *arguments[2:]]) == 0
    assert _hashes(again) == _hashes(root)


def test_silent_recordings_are_replaced_and_reported(recordings, tmp_path, capsys):
    noise = tmp_path / "noise"
    noise.mkdir()
    for name in ("silent.wav", "noise0.flac"):
        (noise / name).write_bytes((recordings / "noise" / name).read_bytes())
    root = tmp_path / "mixed"
    targets = ["--targets", str(recordings / "speech"), "--noise", str(noise)]
    assert main(["mix", str(root), *targets, "--scenes", "train=8", "--duration", "1", "--workers", "1"]) == 0
    assert "silent.wav: an excerpt is silent" in capsys.readouterr().out
    scenes = list_scenes(root)
    assert len(scenes) == 8
    assert all(scene.video is None for scene in scenes)


def test_nobody_competes_with_their_own_voice(recordings):
    folders = Folders(targets=recordings / "speech", targets_are_films=False, speech=recordings / "speech")
    pools = take_inventory(folders, {"train": 2, "dev": 2}, 0, None).pools
    homes = [{item.group for item in [*pool.targets, *pool.interferers["speech"]]} for pool in pools.values()]
    assert not homes[0] & homes[1]
    for faulty in (Folders(recordings / "nowhere", False, noise=recordings / "noise"), Folders(recordings / "speech", False)):
        with pytest.raises(ConfigError, match=r"no such folder|nothing to mix"):
            take_inventory(faulty, {"train": 1}, 0, None)


@pytest.mark.realdata
def test_real_recordings_become_scenes(shared_data, tmp_path):
    folders = {"videos": "av_grid", "speech": "speech_librispeech", "noise": "noise", "music": "music", "rirs": "rir"}
    sources = [word for kind, name in folders.items() for word in (f"--{kind}", str(shared_data / name))]
    people = ["--speakers", str(shared_data / "av_grid" / "transcripts.csv")]
    root = tmp_path / "real"
    assert main(["mix", str(root), *sources, *people, "--scenes", "train=3,eval=2", "--workers", "1"]) == 0
    scenes = list_scenes(root)
    assert len(check_scenes(scenes, show=False).usable) == 5
    assert not {scene.speaker for scene in scenes if scene.split == "train"} & {scene.speaker for scene in scenes if scene.split == "eval"}
