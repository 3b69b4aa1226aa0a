"""The listener's learner: it resumes to the bit, learns only what it should, and leaves one plain checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from actors.listener_learner import ListenerLearner
from auricle.errors import CheckpointError, ConfigError, EnvironmentSetupError, LearningError
from auricle.listeners.calibration import CalibrateConfig, DatasetConfig, ListenerConfig, TrainableConfig, TrainingConfig
from auricle.listeners.checkpoint import load_listener, save_listener
from auricle.listeners.dataset import prepare_folder
from auricle.listeners.trainable import assembled, base_listener
from auricle.listeners.vocabulary import make_tokenizer

NETWORK = ListenerConfig(clip_s=2.0, audio_tokens=20, encoder={"kind": "conv", "hidden_size": 32, "layers": 1, "intermediate_size": 64})

DATA = DatasetConfig(clips=8, clip_s=2.0)


def config(*, listener: ListenerConfig = NETWORK, start: Path | None = None, trainable: TrainableConfig | None = None, **training: object):
    values = {"steps": 6, "batch": 4, "hearing_share": 0.3, "pairs": 2, "learning_rate": 1e-3, **training}
    trainable = trainable or TrainableConfig()
    return CalibrateConfig(listener=listener, data=DATA, start=start, trainable=trainable, training=TrainingConfig(**values))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [prepare_folder(DATA, "train", tmp_path_factory.mktemp("cache"), processes=1)]


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(clips: list[Path], tmp_path: Path, stage: int) -> None:
    whole = ListenerLearner(config(zero_stage=stage), clips)
    whole.train(4)
    whole.save(tmp_path / "engine")
    whole.train(2)
    resumed = ListenerLearner(config(zero_stage=stage, seed=0), clips)
    resumed.load(tmp_path / "engine")
    assert resumed.version == 4
    resumed.train(2)
    again = resumed.trained()
    for name, value in whole.trained().items():
        assert np.array_equal(value, again[name]), name


def test_some_clips_of_a_set_are_a_set(clips: list[Path], tmp_path: Path) -> None:
    few = [prepare_folder(DATA.model_copy(update={"clips": 4}), "train", tmp_path, processes=1)]
    trained = []
    for sets, rows in ((few, None), (clips, range(4)), (clips, None)):
        learner = ListenerLearner(config(hearing_share=0.0), sets, rows)
        learner.train(2)
        trained.append(learner.trained())
    assert all(np.array_equal(value, trained[1][name]) for name, value in trained[0].items())
    assert not all(np.array_equal(value, trained[2][name]) for name, value in trained[0].items())


def test_every_stage_learns_the_same(clips: list[Path]) -> None:
    trained = []
    for stage in (0, 1, 3):
        learner = ListenerLearner(config(zero_stage=stage, hearing_share=0.0), clips)
        learner.train(3)
        trained.append(learner.trained())
    for other in trained[1:]:
        assert all(np.allclose(value, other[name], atol=2e-5) for name, value in trained[0].items())


def test_only_hearing_learns_at_first(clips: list[Path]) -> None:
    learner = ListenerLearner(config(hearing_share=0.5), clips)
    before = base_listener(learner.config).model.state_dict()
    learner.train(2)
    after = learner.trained()
    assert np.array_equal(after["model.language_model.lm_head.weight"], before["language_model.lm_head.weight"].numpy())
    assert not np.array_equal(after["model.audio_tower.beyond"], before["audio_tower.beyond"].numpy() + 1)
    assert not np.array_equal(after["model.audio_tower.encoder.project.weight"], before["audio_tower.encoder.project.weight"].numpy())


def test_adapters_are_merged_and_the_rest_stays(clips: list[Path], tmp_path: Path) -> None:
    chosen = TrainableConfig(encoder="frozen", decoder="lora", lora_rank=4, lora_alpha=8)
    learner = ListenerLearner(config(trainable=chosen, hearing_share=0.0, average_decay=0.0, learning_rate=1e-2), clips)
    learner.train(3)
    trained = learner.trained()
    assert not any("audio_tower.encoder" in name for name in trained)
    before, after = base_listener(learner.config).model.state_dict(), assembled(learner.config, trained)
    changed = {name for name, tensor in after.model.state_dict().items() if not torch.equal(tensor, before[name])}
    layers = after.model.language_model.model.layers
    wanted = {
        f"language_model.model.layers.{layer}.self_attn.{name}.weight" for layer in range(len(layers)) for name in ("q_proj", "k_proj")
    }
    assert {name for name in changed if not name.startswith("audio_tower.")} == wanted
    assert {name.split(".")[1] for name in changed - wanted} <= {"bridge", "beyond"}

    # Merged, the listener says what it said with its adapters beside it.
    save_listener(after, tmp_path)
    read = load_listener(tmp_path).model
    ids = torch.arange(8)[None]
    module = learner.engine.unwrapped.model.eval()
    torch.testing.assert_close(read(ids).logits, module(ids).logits, rtol=1e-4, atol=1e-4)


def test_a_pretrained_decoder_gets_adapters(clips: list[Path], tmp_path: Path) -> None:
    """A folder as the hub has them: a causal language model of its own sizes, stored in bfloat16, and its tokenizer."""
    tokenizer = make_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).to(torch.bfloat16).save_pretrained(tmp_path / "decoder")
    tokenizer.save_pretrained(tmp_path / "decoder")
    network = NETWORK.model_copy(update={"text_model": str(tmp_path / "decoder")})
    learner = ListenerLearner(config(listener=network, trainable=TrainableConfig(decoder="lora"), hearing_share=0.0), clips)
    assert np.isfinite(learner.train(2)["loss"])
    save_listener(assembled(learner.config, learner.trained()), tmp_path / "listener")
    assert load_listener(tmp_path / "listener").model.config.text_config.hidden_size == 32


def test_training_goes_on_from_a_listener_with_its_own_vocabulary(clips: list[Path], tmp_path: Path) -> None:
    save_listener(base_listener(config()), tmp_path)
    learner = ListenerLearner(config(start=tmp_path, listener=ListenerConfig(), hearing_share=0.0, learning_rate=1e-9), clips)
    learner.train(1)
    after = assembled(learner.config, learner.trained())
    for name, tensor in load_listener(tmp_path).model.state_dict().items():
        torch.testing.assert_close(after.model.state_dict()[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_the_papers_setting_trains_queries_only(clips: list[Path], kind: str) -> None:
    encoder = {"kind": kind, "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 32}
    chosen = TrainableConfig(encoder="queries", decoder="frozen")
    network = ListenerConfig(clip_s=2.0, audio_tokens=16, encoder=encoder)
    trained = ListenerLearner(config(listener=network, trainable=chosen, hearing_share=0.0), clips).trained()
    inside = [name for name in trained if "encoder" in name]
    assert inside
    assert all(".query." in name or ".q_proj." in name for name in inside)
    assert not any("language_model" in name for name in trained)


def test_what_cannot_be_trained_is_said(clips: list[Path]) -> None:
    with pytest.raises(ConfigError, match="no queries of its own"):
        ListenerLearner(config(trainable=TrainableConfig(encoder="queries")), clips)
    with pytest.raises(ConfigError, match="lora_targets"):
        ListenerLearner(config(trainable=TrainableConfig(decoder="lora", lora_targets=("nothing",))), clips)
    with pytest.raises(ConfigError, match="cannot be trained"):
        ListenerLearner(config(trainable=TrainableConfig(four_bit=True)), clips)
    with pytest.raises(ConfigError, match="pretrained decoder"):
        ListenerLearner(config(trainable=TrainableConfig(decoder="lora", four_bit=True)), clips)
    if not torch.cuda.is_available():
        pretrained = NETWORK.model_copy(update={"text_model": "meta-llama/Llama-3.1-8B-Instruct"})
        with pytest.raises(EnvironmentSetupError, match="bitsandbytes"):
            ListenerLearner(config(listener=pretrained, trainable=TrainableConfig(decoder="lora", four_bit=True)), clips)


def test_a_checkpoint_of_other_parts_is_refused(clips: list[Path], tmp_path: Path) -> None:
    ListenerLearner(config(), clips).save(tmp_path / "engine")
    (tmp_path / "engine" / "average.safetensors").unlink()
    with pytest.raises(CheckpointError, match="incomplete"):
        ListenerLearner(config(), clips).load(tmp_path / "engine")


def test_a_diverging_run_says_so(clips: list[Path]) -> None:
    learner = ListenerLearner(config(hearing_share=0.0), clips)
    with torch.no_grad():
        next(learner.engine.unwrapped.parameters()).fill_(float("nan"))
    with pytest.raises(LearningError, match="diverged"):
        learner.train(1)
