"""Which scenes are found, in each layout, and what their metadata tells."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.errors import EmptyCorpusError, SceneError
from auricle.scenes.layouts import list_scenes


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def avsec1(root: Path, split: str, *ids: str, target: bool = True) -> None:
    for scene in ids:
        parts = ["mixed.wav", "silent.mp4", *(["target.wav", "interferer.wav"] if target else [])]
        touch(root / split / "scenes", *(f"{scene}_{part}" for part in parts))


def avsec4(root: Path, split: str, *ids: str, mono: bool = True, target: bool = True) -> None:
    for scene in ids:
        parts = ["mix.wav", "silent.mp4", *(["target.wav", "target_anechoic.wav", "interferer.wav"] if target else [])]
        if mono:
            parts += ["mono_mix.wav", *(["target_mono.wav", "target_mono_anechoic.wav", "interferer_mono.wav"] if target else [])]
        touch(root / split / "scenes", *(f"{scene}_{part}" for part in parts))


def describe(root: Path, split: str, *records: dict) -> None:
    (root / "metadata").mkdir(parents=True, exist_ok=True)
    (root / "metadata" / f"scenes.{split}.json").write_text(json.dumps(records))


def test_avsec_1_to_3(tmp_path: Path) -> None:
    avsec1(tmp_path, "train", "S00001", "S00002")
    avsec1(tmp_path, "eval", "S50371", target=False)
    describe(
        tmp_path, "train", {"scene": "S00001", "SNR": -3.2, "interferer": {"type": "noise"}, "target": {"name": "trainval/anna/00080"}}
    )
    first, second, evaluation = list_scenes(tmp_path)
    folder = tmp_path / "train" / "scenes"
    assert (first.scene_id, first.split, first.snr_db, first.interferer_kinds, first.speaker) == (
        "S00001",
        "train",
        -3.2,
        ("noise",),
        "anna",
    )
    assert (first.mix, first.target, first.interferer) == tuple(folder / f"S00001_{part}.wav" for part in ("mixed", "target", "interferer"))
    assert (first.video, first.target_anechoic) == (folder / "S00001_silent.mp4", None)
    assert (second.snr_db, second.speaker) == (None, None)
    assert (evaluation.split, evaluation.target, evaluation.interferer) == ("eval", None, None)
    assert [scene.scene_id for scene in list_scenes(tmp_path, "eval")] == ["S50371"]


def test_avsec_4_prefers_mono_and_takes_the_reference_channel_of_binaural_files(tmp_path: Path) -> None:
    avsec4(tmp_path, "train", "S00001")
    avsec4(tmp_path, "dev", "S34526", mono=False)
    describe(
        tmp_path,
        "dev",
        {"scene": "S34526", "SNR": 4, "interferers": [{"type": "speech"}, {"type": "music"}], "speaker": "bob", "condition": "hall"},
    )
    mono, binaural = list_scenes(tmp_path)
    assert [path.name for path in (mono.mix, mono.target, mono.target_anechoic, mono.interferer) if path] == [
        *("S00001_mono_mix.wav", "S00001_target_mono.wav", "S00001_target_mono_anechoic.wav", "S00001_interferer_mono.wav")
    ]
    assert binaural.mix.name == "S34526_mix.wav"
    assert binaural.target is not None
    assert binaural.target.name == "S34526_target.wav"
    assert (binaural.channel, binaural.snr_db, binaural.interferer_kinds) == (0, 4.0, ("speech", "music"))
    assert (binaural.speaker, binaural.condition) == ("bob", "hall")


@pytest.mark.parametrize("inner", ["", "dev", "dev/scenes"])
def test_a_corpus_its_split_and_its_scenes_folder_give_the_same(tmp_path: Path, inner: str) -> None:
    avsec4(tmp_path, "dev", "S34526", "S34527")
    describe(tmp_path, "dev", {"scene": "S34527", "SNR": 1.0, "target": {"name": "yJX_1Te0_080"}})
    scenes = list_scenes(tmp_path / inner)
    assert [(scene.scene_id, scene.split, scene.speaker) for scene in scenes] == [("S34526", "dev", None), ("S34527", "dev", "yJX_1Te0")]


def test_files_that_others_have_are_expected_of_every_scene(tmp_path: Path) -> None:
    avsec4(tmp_path, "train", "S00001", "S00002")
    (tmp_path / "train/scenes/S00002_silent.mp4").unlink()
    (tmp_path / "train/scenes/S00002_target_mono.wav").unlink()
    describe(tmp_path, "train", {"scene": "S00001"}, {"scene": "S00003"})
    scenes = list_scenes(tmp_path)
    assert [scene.scene_id for scene in scenes] == ["S00001", "S00002", "S00003"]
    assert all(scene.video and scene.target and scene.mix.name.endswith("_mono_mix.wav") for scene in scenes)


def test_several_corpora_in_one_folder_are_taken_together(tmp_path: Path) -> None:
    avsec4(tmp_path / "grid", "train", "S00001")
    avsec4(tmp_path / "grid", "eval", "S00009")
    avsec1(tmp_path / "libri", "train", "S00001", "S00002")
    (tmp_path / "notes").mkdir()
    found = [(scene.scene_id, scene.split) for scene in list_scenes(tmp_path)]
    assert found == [("grid-S00001", "train"), ("libri-S00001", "train"), ("libri-S00002", "train"), ("grid-S00009", "eval")]
    assert [scene.scene_id for scene in list_scenes(tmp_path, "eval")] == ["grid-S00009"]


def test_a_name_in_two_corpora_is_one_person_and_told_where_it_is_held_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for corpus, split in (("quiet", "train"), ("loud", "train"), ("far", "eval")):
        avsec4(tmp_path / corpus, split, "S00001")
        describe(tmp_path / corpus, split, {"scene": "S00001", "speaker": "84"})
    assert {scene.speaker for scene in list_scenes(tmp_path)} == {"84"}
    assert "1 speakers are in train of one corpus and in eval of another (84)" in caplog.text
    caplog.clear()
    list_scenes(tmp_path / "quiet")
    assert not caplog.text


def test_a_plain_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.WAV", "b.mov", "b_target.wav", "c.flac", "x_target.wav", "notes.txt", ".hidden.wav", "anna/d.mkv")
    scenes = {scene.scene_id: scene for scene in list_scenes(tmp_path)}
    assert list(scenes) == ["a", "anna__d", "b", "c", "x_target"]
    assert scenes["a"].mix == scenes["a"].video == tmp_path / "a.mp4"
    assert (scenes["b"].mix.name, scenes["b"].video, scenes["b"].target) == ("b.WAV", tmp_path / "b.mov", tmp_path / "b_target.wav")
    assert (scenes["c"].video, scenes["c"].target, scenes["c"].channel) == (None, None, None)
    assert scenes["anna__d"].speaker == "anna"
    assert {scene.split for scene in scenes.values()} == {"train"}


def test_a_lone_mix_among_clips_makes_no_corpus(tmp_path: Path) -> None:
    touch(tmp_path, "my_mix.wav", "other.wav", "talk.mp4")
    assert [scene.scene_id for scene in list_scenes(tmp_path)] == ["my_mix", "other", "talk"]


def test_subfolders_of_a_plain_folder_name_the_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/bob/a.mp4", "eval/a.mp4")
    assert [(scene.scene_id, scene.speaker) for scene in list_scenes(tmp_path, "train")] == [("train__bob__a", "bob")]
    assert [scene.scene_id for scene in list_scenes(tmp_path, "eval")] == ["eval__a"]
    with pytest.raises(EmptyCorpusError, match=r"no scenes of split 'dev'; it holds eval, train"):
        list_scenes(tmp_path, "dev")


def test_two_files_for_one_clip_are_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.mov")
    with pytest.raises(SceneError, match="two files for the clip a"):
        list_scenes(tmp_path)


def test_folders_without_scenes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no such folder"):
        list_scenes(tmp_path / "nowhere")
    touch(tmp_path, "readme.txt")
    with pytest.raises(EmptyCorpusError, match="no scenes"):
        list_scenes(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"scene": "S00001"', "not valid JSON"),
        ('{"scene": "S00001"}', "expected a list"),
        ('[{"scene": "../S00001"}]', "without folders"),
        ('[{"scene": "S00001"}, {"scene": "S00001"}]', "no other record"),
        ('[{"SNR": 1}]', "record 0"),
        ("[3]", "record 0"),
        ('[{"scene": "S00001", "SNR": "loud"}]', "scene S00001: bad field"),
        ('[{"scene": "S00001", "interferer": {"type": "dog"}}]', "interferer types are speech"),
        ('[{"scene": "S00001", "interferers": ["noise"]}]', "bad field"),
        ('[{"scene": "S00001", "interferers": 3}]', "bad field"),
        ('[{"scene": "S00001", "target": "x"}]', "bad field"),
    ],
)
def test_bad_metadata_is_named(tmp_path: Path, text: str, expected: str) -> None:
    avsec1(tmp_path, "train", "S00001")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata/scenes.train.json").write_text(text)
    with pytest.raises(SceneError, match=expected) as caught:
        list_scenes(tmp_path)
    assert "scenes.train.json" in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["scene", "SNR", "target", "name", "interferer", "type"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_metadata_gives_scenes_or_a_scene_error(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    root = tmp_path_factory.mktemp("corpus")
    avsec1(root, "train", "S00001")
    (root / "metadata").mkdir()
    (root / "metadata/scenes.train.json").write_text(json.dumps([{"scene": "S00001", "target": content, "interferer": content}, content]))
    try:
        scenes = list_scenes(root)
    except SceneError:
        return
    assert scenes[0].scene_id


def test_the_organisers_own_records_are_read(tmp_path: Path, shared_data: Path) -> None:
    for index, name in enumerate(("fields_avsec1-3.json", "scenes_example_avsec1_2022-05-31.json", "fields_avsec4.json")):
        records = json.loads((shared_data / "avsec_metadata" / name).read_text())
        root, split = tmp_path / str(index), records[0]["dataset"]
        describe(root, split, *records)
        (avsec4 if "4" in name else avsec1)(root, split, *(record["scene"] for record in records))
        for scene, record in zip(list_scenes(root), records, strict=True):
            assert (scene.scene_id, scene.snr_db) == (record["scene"], record["SNR"])
            assert scene.interferer_kinds
            assert scene.speaker
