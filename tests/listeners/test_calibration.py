"""Labelled clips and steps of training: the same whatever the processes and ranks; padding is not learned."""

from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.audio import write_audio
from auricle.errors import EmptyCorpusError, LearningError
from auricle.listeners.auxiliary import AuxiliaryHead, auxiliary_targets
from auricle.listeners.calibration import CalibrateConfig, DatasetConfig, ListenerConfig, TrainingConfig
from auricle.listeners.checkpoint import Listener, new_listener
from auricle.listeners.courses import courses_of
from auricle.listeners.dataset import ClipSet, JoinedSets, prepare
from auricle.listeners.features import scaled
from auricle.listeners.labels import Damage, make_labels
from auricle.listeners.lessons import make_lessons
from auricle.listeners.listener_module import ListenerModule
from auricle.listeners.sources import find_sources, speaker_of
from auricle.listeners.training import learning_rate_share, plan_step, step_loss
from auricle.listeners.turns import IGNORED, Exchange, Turns, tokenise
from auricle.scenes.synth.voice import speak, variants

DATA = DatasetConfig(clips=12, held_out_clips=6, clip_s=2.0)
NETWORK = ListenerConfig(clip_s=2.0, audio_tokens=20, encoder={"kind": "conv", "hidden_size": 32, "layers": 1, "intermediate_size": 64})
COURSES = courses_of(CalibrateConfig())


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
    # A clip is the same whichever set it is in, so that a set may go on where another ends; and it says who talks.
    later = prepare(DATA.model_copy(update={"first_clip": 8, "clips": 3}), "train", tmp_path, processes=1)
    assert np.array_equal(later.features, clip_set.features[8:11])
    assert later.speakers == clip_set.speakers[8:11]
    assert set(later.speakers) <= set(variants())


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
    for lesson in make_lessons(clip_set.labels, rng, pairs=3):
        turns = tokenise(lesson.exchanges, listener.processor)
        for ids, targets in zip(turns.input_ids, turns.labels, strict=True):
            answer = targets[targets != IGNORED]
            assert answer[-1] == tokenizer.eos_token_id
            assert tokenizer.pad_token_id not in answer
            place = int((ids == tokenizer.convert_tokens_to_ids("<answer>")).nonzero()[0])
            assert (targets[: place + 1] == IGNORED).all()
        assert len(turns.audios) == int((turns.input_ids == 3).sum()) // 30


def test_a_score_is_learned_as_its_exact_expectation(listener: Listener) -> None:
    tokenizer = listener.processor.tokenizer
    turns = tokenise([Exchange("How good?", "4", (0,), score=3.3), Exchange("How good?", "5", (1,), score=5.0)], listener.processor)
    place = int(turns.answered[0].nonzero()[0]) + 1
    assert tokenizer.convert_ids_to_tokens([int(turns.labels[0, place]), int(turns.others[0, place])]) == ["3", "4"]
    assert turns.shares[0, place] == pytest.approx(0.3)
    assert turns.shares[1, place] == 1.0
    assert tokenizer.convert_ids_to_tokens(int(turns.input_ids[0, place])) == "4"
    with pytest.raises(LearningError, match="one digit"):
        tokenise([Exchange("How good?", "fine", (0,), score=3.3)], listener.processor)


def test_padding_changes_neither_loss_nor_gradients(listener: Listener, clip_set: ClipSet) -> None:
    module = ListenerModule(listener.model, AuxiliaryHead(128))
    features, lengths = scaled(torch.from_numpy(clip_set.features[:2].astype(np.float32))), torch.from_numpy(clip_set.lengths[:2].copy())
    features = torch.nn.functional.pad(features, (0, 100))
    exchanges = [Exchange("What is wrong?", "none", (0,)), Exchange("Describe it.", "It is loud and clear.", (1,))]
    turns = tokenise(exchanges, listener.processor)
    wide = [torch.nn.functional.pad(tensor, (0, 9), value=value) for tensor, value in ((turns.input_ids, 0), (turns.labels, IGNORED))]
    padded = Turns(wide[0], wide[1], wide[1].clone(), torch.zeros(wide[0].shape), turns.audios)
    found = []
    for batch in (turns, padded):
        module.zero_grad()
        heard = module(features, lengths, [batch])
        loss = -heard.log_probs[0].sum()
        loss.backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in listener.model.parameters() if parameter.grad is not None])
        found.append((loss.detach(), gradient))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)
    table, mask = turns.by_row(heard.log_probs[0])
    assert mask.sum(1).tolist() == turns.answered.sum(1).tolist()
    assert float(table.detach().sum()) == pytest.approx(-float(found[1][0]), rel=1e-5)


def test_answers_probabilities_are_those_of_the_model_alone(listener: Listener, clip_set: ClipSet) -> None:
    """Row by row, without padding, through the class that transformers uses."""
    features, lengths = scaled(torch.from_numpy(clip_set.features[:2].astype(np.float32))), torch.from_numpy(clip_set.lengths[:2].copy())
    features = torch.nn.functional.pad(features, (0, 100))
    exchanges = [Exchange("Which is better?", "first", (1, 0)), Exchange("Describe it.", "It is loud and clear.", (1,))]
    turns = tokenise(exchanges, listener.processor)
    with torch.no_grad():
        table, mask = turns.by_row(ListenerModule(listener.model)(features, lengths, [turns]).log_probs[0])
        for row, one in enumerate(exchanges):
            single = tokenise([one], listener.processor)
            places = torch.tensor(one.audios)
            logits = listener.model(single.input_ids, input_features=features[places], feature_lengths=lengths[places]).logits
            logarithms = torch.log_softmax(logits[0, :-1], dim=-1).gather(1, single.input_ids[0, 1:, None])[:, 0]
            torch.testing.assert_close(table[row][mask[row]], logarithms[single.answered[0]], rtol=1e-4, atol=1e-4)


def test_ranks_shares_add_up_to_the_loss_of_one(clip_set: ClipSet) -> None:
    made = new_listener(NETWORK)
    config = TrainingConfig(steps=10, batch=7, hearing_share=0.0, pairs=2)
    module = ListenerModule(made.model, AuxiliaryHead(128))
    plan = plan_step(clip_set, COURSES, 3, config, mels=80)
    whole = float(step_loss(module, plan, clip_set, made.processor, config).detach())
    for ranks in (2, 3, 9):
        parts = [float(step_loss(module, plan, clip_set, made.processor, config, rank=k, ranks=ranks).detach()) for k in range(ranks)]
        assert sum(parts) == pytest.approx(whole, rel=1e-5), ranks


def test_the_loss_falls(clip_set: ClipSet) -> None:
    made = new_listener(NETWORK)
    config = TrainingConfig(steps=40, batch=12, hearing_share=0.0, pairs=0)
    module = ListenerModule(made.model, AuxiliaryHead(128))
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for step in range(25):
        loss = step_loss(module, plan_step(clip_set, COURSES, step, config, mels=80), clip_set, made.processor, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])


def test_sets_are_joined_without_reading_them(clip_set: ClipSet) -> None:
    joined = JoinedSets([clip_set, clip_set])
    rows = np.array([0, 11, 12, 20])
    assert len(joined) == 24
    assert joined.features.shape == (24, *clip_set.features.shape[1:])
    assert np.array_equal(joined.features[rows], clip_set.features[rows % 12])
    assert joined.labels[20] == clip_set.labels[8]


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = TrainingConfig(steps=100, warmup_steps=10, decay_share=0.3)
    rates = [learning_rate_share(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:70] == [1.0] * 60
    assert rates[-1] == pytest.approx(1 / 30)
