"""Labelled clips and training: the same whatever the processes, and whether stopped or not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.audio import write_audio
from auricle.errors import EmptyCorpusError
from auricle.listeners.auxiliary import AuxiliaryHead, auxiliary_targets
from auricle.listeners.calibration import DatasetConfig, ListenerConfig, TrainingConfig
from auricle.listeners.checkpoint import Listener, new_listener
from auricle.listeners.dataset import ClipSet, prepare
from auricle.listeners.held_out import descriptions_with_pesq
from auricle.listeners.labels import Damage, make_labels
from auricle.listeners.lessons import IGNORED, make_lessons
from auricle.listeners.sources import find_sources, speaker_of
from auricle.listeners.training import learning_rate_at, step_loss, train
from auricle.scenes.synth.voice import speak

DATA = DatasetConfig(clips=12, held_out_clips=6, clip_s=2.0)
NETWORK = ListenerConfig(clip_s=2.0, audio_tokens=20, encoder={"kind": "conv", "hidden_size": 32, "layers": 1, "intermediate_size": 64})


@pytest.fixture(scope="module")
def clip_set(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    return prepare(DATA, "train", tmp_path_factory.mktemp("cache"), processes=1)


def test_a_set_is_cached_and_the_same_from_any_number_of_processes(tmp_path: Path, clip_set: ClipSet) -> None:
    seen: list[int] = []
    again = prepare(DATA, "train", tmp_path, processes=2, progress=lambda done, total: seen.append(done))
    assert seen[-1] == 12
    assert np.array_equal(again.features, clip_set.features)
    assert again.labels == clip_set.labels
    prepare(DATA, "train", tmp_path, processes=1, progress=lambda done, total: pytest.fail("not read from the cache"))


def test_speakers_voices_and_noises_of_the_parts_are_disjoint(tmp_path: Path) -> None:
    for number in range(8):
        audio = speak("one two three four five six", voice="en-us", rate_wpm=120).audio
        write_audio(tmp_path / "speech" / f"{number}-1-0.wav", audio, 16_000)
        write_audio(tmp_path / "noise" / f"n{number}.wav", 0.1 * np.random.default_rng(number).standard_normal(20_000), 16_000)
    parts = [
        find_sources(part, [tmp_path / "speech"], [tmp_path / "noise"], synthetic_share=0.3, seed=0)  # type: ignore[arg-type]
        for part in ("train", "held-out")
    ]
    for attribute in ("speech", "noise", "voices", "noise_kinds"):
        left, right = (set(getattr(part, attribute)) for part in parts)
        assert left
        assert right
        assert not left & right
    assert len(parts[1].speech) == 1
    assert speaker_of(Path("p234_001.wav")) == "p234"
    with pytest.raises(EmptyCorpusError, match="no audio files"):
        find_sources("train", [tmp_path], [tmp_path / "none"], synthetic_share=0.0, seed=0)


def test_auxiliary_targets_mark_local_damage() -> None:
    local = make_labels(2.0, (Damage("drop-outs", 0.8, ((0.5, 0.75),)),), 2.0)
    whole = make_labels(1.5, (Damage("noise", 0.8, ((0.0, 2.0),)),), 2.0)
    scores, mask = auxiliary_targets([local, whole], 20, 2.0)
    np.testing.assert_allclose(mask[0, 4:9].tolist(), [0, 1, 1, 0.5, 0], atol=1e-6)
    assert mask[1].sum() == 0
    assert scores[:, 0].tolist() == pytest.approx([local.quality - 3, whole.quality - 3])


def test_only_answers_are_learned(listener: Listener, clip_set: ClipSet) -> None:
    rng = np.random.default_rng(0)
    tokenizer = listener.processor.tokenizer
    for lesson in make_lessons(clip_set.labels, listener.processor, rng, pairs=3):
        for ids, targets in zip(lesson.input_ids, lesson.labels, strict=True):
            answer = targets[targets != IGNORED]
            assert answer[-1] == tokenizer.eos_token_id
            assert tokenizer.pad_token_id not in answer
            place = int((ids == tokenizer.convert_tokens_to_ids("<answer>")).nonzero()[0])
            assert (targets[: place + 1] == IGNORED).all()
        assert len(lesson.audios) == len(lesson.references) == int((lesson.input_ids == 3).sum()) // 30


class Stopped(Exception):
    """What ends the first part."""


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path, clip_set: ClipSet) -> None:
    config = TrainingConfig(steps=6, batch=4, hearing_share=0.3, pairs=2, checkpoint_steps=3)
    whole = train(new_listener(NETWORK), clip_set, config, tmp_path / "whole")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auricle.listeners.training.step_loss", _stop_at(4))
        with pytest.raises(Stopped):
            train(new_listener(NETWORK), clip_set, config, tmp_path / "parts")
    resumed = train(new_listener(NETWORK, seed=9), clip_set, config, tmp_path / "parts")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name


def _stop_at(step: int):
    def loss(listener, head, clips, at, config):
        if at == step:
            raise Stopped
        return step_loss(listener, head, clips, at, config)

    return loss


def test_the_loss_falls(clip_set: ClipSet) -> None:
    made = new_listener(NETWORK)
    config = TrainingConfig(steps=40, batch=12, hearing_share=0.0, pairs=0)
    head = AuxiliaryHead(128)
    optimizer = torch.optim.AdamW([*made.model.parameters(), *head.parameters()], lr=3e-3)
    losses = []
    for step in range(25):
        loss = step_loss(made, head, clip_set, step, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = TrainingConfig(steps=100, warmup_steps=10, decay_share=0.3, learning_rate=1.0)
    rates = [learning_rate_at(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:70] == [1.0] * 60
    assert rates[-1] == pytest.approx(1 / 30)


def test_descriptions_come_with_the_pesq_of_their_clip(listener: Listener, tmp_path: Path) -> None:
    clips = prepare(DatasetConfig(clips=4, held_out_clips=4), "held-out", tmp_path, processes=1)
    pairs = descriptions_with_pesq(listener, clips)
    assert [pesq for _, pesq in pairs] == [label.pesq for label in clips.labels if label.pesq is not None]
