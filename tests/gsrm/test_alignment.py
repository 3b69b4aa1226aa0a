# ruff: noqa: RUF001 - IPA
"""CTC alignment of known paths, and a whole aligner with a real (random) phoneme model."""

import json

import numpy as np
import pytest

from auricle.errors import JudgeError
from auricle.gsrm.alignment import CtcAligner, align_tokens, collapsed, is_vowel


def _emissions(path, tokens=5, sure=0.9):
    rest = (1 - sure) / (tokens - 1)
    return np.log(np.array([[sure if token == one else rest for token in range(tokens)] for one in path]))


def test_tokens_are_found_where_they_sound():
    path = [0, 0, 1, 1, 1, 0, 2, 2, 0, 2, 3, 3, 0]
    assert collapsed(path, 0) == [1, 2, 2, 3]
    assert align_tokens(_emissions(path), [1, 2, 2, 3], 0) == [(2, 4), (6, 7), (9, 9), (10, 11)]


def test_equal_neighbours_need_a_blank_between_them():
    (_, first_end), (second_start, _) = align_tokens(_emissions([1, 1, 1, 1, 1]), [1, 1], 0)
    assert second_start >= first_end + 2


def test_too_few_frames_are_an_error():
    with pytest.raises(ValueError, match="too few"):
        align_tokens(_emissions([1, 2]), [1, 2, 3], 0)
    assert align_tokens(_emissions([0, 0]), [], 0) == []


@pytest.mark.parametrize(
    ("symbol", "vowel"), [("ɑː", True), ("AH0", True), ("IY", True), ("s", False), ("S", False), ("", False), ("oʊ", True)]
)
def test_vowels_are_known_in_both_alphabets(symbol, vowel):
    assert is_vowel(symbol) == vowel


@pytest.fixture(scope="module")
def phoneme_model(tmp_path_factory):
    """A wav2vec2 that has learned nothing, in the form of a hub's checkpoint."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("phonemes")
    shape = Wav2Vec2Config(
        vocab_size=6, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_feat_extract_layers=2,
        conv_dim=(16, 16), conv_kernel=(10, 3), conv_stride=(10, 32), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        pad_token_id=0,
    )  # fmt: skip
    Wav2Vec2ForCTC(shape).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "a": 1, "s": 2, "iː": 3, "t": 4, "ʊ": 5}))
    return folder


def test_an_aligner_gives_vowels_with_their_symbols_in_order(phoneme_model):
    audio = np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    vowels = CtcAligner(str(phoneme_model))(audio, 24_000)
    assert all(one.kind in ("a", "iː", "ʊ") and 0 <= one.start_s < one.end_s <= 1.001 for one in vowels)
    assert [one.start_s for one in vowels] == sorted(one.start_s for one in vowels)


def test_a_model_without_vowels_is_refused(phoneme_model, tmp_path):
    with pytest.raises(JudgeError, match="cannot be loaded"):
        CtcAligner(str(tmp_path))
    (phoneme_model / "vocab.json").write_text(json.dumps({"<pad>": 0, "s": 2}))
    with pytest.raises(JudgeError, match="no vowel"):
        CtcAligner(str(phoneme_model))
