"""The listener in transformers: one folder, one or two audios, padding that is not heard."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor, WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder as TransformersWhisperEncoder

from auricle.errors import CheckpointError, ConfigError
from auricle.listeners.answers import SCORES
from auricle.listeners.asking import expected_scores, features_of_audio, greedy_answers
from auricle.listeners.calibration import ListenerConfig
from auricle.listeners.checkpoint import Listener, load_listener, new_listener, save_listener
from auricle.listeners.encoders import WhisperEncoder
from auricle.listeners.features import log_mels, scaled
from auricle.listeners.prompts import prompt
from auricle.listeners.questions import question
from auricle.listeners.registration import register


def test_the_tiny_listener_is_small_and_repeatable(listener: Listener) -> None:
    assert 1.0e6 < sum(parameter.numel() for parameter in listener.model.parameters()) < 1.5e6
    first, second = (new_listener(ListenerConfig(), seed=4).model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_digit_is_one_token_and_text_survives(listener: Listener) -> None:
    tokenizer = listener.processor.tokenizer
    for score in SCORES:
        assert tokenizer.encode(score, add_special_tokens=False) == [tokenizer.convert_tokens_to_ids(score)]
    for text in ("drop-outs: 0.3-0.4, 1.0-1.2 s", "It takes great effort to follow.", "naïve 语音"):
        assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text
    message = [{"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "How?"}]}]
    chat = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    assert chat == tokenizer.bos_token + prompt("How?")


def test_the_auto_classes_load_the_folder(listener_folder: Path, listener: Listener) -> None:
    register()
    model = AutoModelForCausalLM.from_pretrained(listener_folder)
    processor = AutoProcessor.from_pretrained(listener_folder)
    assert AutoConfig.from_pretrained(listener_folder).text_config.hidden_size == 128
    assert model.dtype == torch.float32
    assert processor.feature_extractor.clip_s == listener.clip_s
    for name, tensor in listener.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path, listener_folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_listener(tmp_path)
    (tmp_path / "config.json").write_text((listener_folder / "config.json").read_text())
    with pytest.raises(CheckpointError, match="not a complete listener"):
        load_listener(tmp_path)


def test_batched_and_single_answers_are_equal(listener: Listener, clips: list[np.ndarray]) -> None:
    features, lengths = features_of_audio(listener, clips)
    for asked in (question("describe"), question("compare")):
        together = greedy_answers(listener, asked, features, lengths)
        step = asked.clips
        alone = [greedy_answers(listener, asked, features[k : k + step], lengths[k : k + step])[0] for k in range(0, len(clips), step)]
        assert together == alone


def test_the_second_audio_and_its_place_matter(listener: Listener, clips: list[np.ndarray]) -> None:
    tower = listener.model.audio_tower
    tokens = tower(*features_of_audio(listener, clips[:2]))
    ids = listener.processor(text=prompt("Which?", 2), audio=clips[:2])["input_ids"]
    forward = listener.model(ids, audio_embeds=tokens).logits[0, -1]
    swapped = listener.model(ids, audio_embeds=tokens.flip(0)).logits[0, -1]
    assert not torch.allclose(forward, swapped)


def test_what_lies_beyond_the_end_has_its_own_token(listener: Listener, clips: list[np.ndarray]) -> None:
    features, lengths = features_of_audio(listener, [clips[2]])
    tokens = listener.model.audio_tower(features, lengths)[0]
    assert torch.equal(tokens[13:], listener.model.audio_tower.beyond.expand(17, -1))
    assert not torch.allclose(tokens[12], listener.model.audio_tower.beyond)


def test_placeholders_and_audios_must_match(listener: Listener, clips: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="2 <audio> but 1 audios"):
        listener.processor(text=prompt("Which?", 2), audio=clips[:1])
    ids = listener.processor(text=prompt("Which?", 2), audio=clips[:2])["input_ids"]
    features, lengths = features_of_audio(listener, clips[:1])
    with pytest.raises(ValueError, match="60 audio placeholders"):
        listener.model(ids, input_features=features, feature_lengths=lengths)


def test_expected_scores_are_on_the_scale_or_failed(listener: Listener, clips: list[np.ndarray]) -> None:
    for verdict in expected_scores(listener, question("score"), *features_of_audio(listener, clips)):
        # A random model puts next to nothing on the five digits: that is no score.
        assert getattr(verdict, "reason", None) == "unparsable"


@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_other_encoders_by_configuration(tmp_path: Path, kind: str) -> None:
    sizes = {"kind": kind, "hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 64}
    made = new_listener(ListenerConfig(encoder=sizes, mels=80, clip_s=2.0, audio_tokens=16))
    save_listener(made, tmp_path)
    read = load_listener(tmp_path)
    audio = [np.random.default_rng(0).standard_normal(30_000).astype(np.float32)]
    before, after = (one.model.audio_tower(*features_of_audio(one, audio)) for one in (made, read))
    assert before.shape == (1, 16, 128)
    assert torch.allclose(before, after)


def test_whisper_hears_our_features_on_its_own_scale() -> None:
    """Speech-like noise through both front ends: the same shape over bands and time, at the same level."""
    rng = np.random.default_rng(0)
    audio = signal.lfilter([1.0], [1.0, -0.9], rng.standard_normal(32_000)) * (0.02 + 0.1 * (np.sin(np.arange(32_000) / 2000) > 0))
    theirs = WhisperFeatureExtractor(feature_size=80, chunk_length=2)(audio, sampling_rate=16_000, return_tensors="pt")["input_features"][0]
    encoder = WhisperEncoder(mels=80, frames=200, hidden_size=16, layers=1, heads=2, intermediate_size=32)
    ours = encoder.as_pretrained(scaled(torch.from_numpy(log_mels(audio.astype(np.float32))))[None])[0]
    steady = slice(5, 195)
    difference = (ours - theirs)[:, steady]
    assert difference.mean().abs() < 0.02
    assert difference.mean(1).abs().max() < 0.15
    assert np.corrcoef(ours[:, steady].flatten(), theirs[:, steady].flatten())[0, 1] > 0.85


def test_published_whisper_weights_serve_a_shorter_window() -> None:
    config = WhisperConfig(d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, max_source_positions=1500)
    published = TransformersWhisperEncoder(config)
    encoder = WhisperEncoder(mels=80, frames=300, hidden_size=16, layers=1, heads=2, intermediate_size=32)
    encoder.load_pretrained(published)
    assert torch.equal(encoder.model.embed_positions.weight, published.embed_positions.weight[:150])
    assert encoder(torch.zeros(1, 80, 300), torch.tensor([300]))[0].shape == (1, 150, 16)
    longer = WhisperEncoder(mels=80, frames=3400, hidden_size=16, layers=1, heads=2, intermediate_size=32)
    with pytest.raises(ConfigError, match="at most 30 s"):
        longer.load_pretrained(published)


def test_an_unknown_encoder_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"choose one of conv, ast, whisper"):
        new_listener(ListenerConfig(encoder={"kind": "wishper"}))
