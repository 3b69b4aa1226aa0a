"""Asking a listener in plain transformers, in batches: expected scores and greedy answers. (Runs use vLLM; reports and tests use this.)"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from auricle.judging.verdict import Failed, Scored
from auricle.levels import normalise_loudness
from auricle.listeners.answers import SCORES, expected_score
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import LUFS, ClipSet
from auricle.listeners.features import scaled
from auricle.listeners.prompts import prompt
from auricle.listeners.questions import Question
from auricle.listeners.windows import split

BATCH = 32
LONGEST_ANSWER_TOKENS = 96


def features_of(clips: ClipSet, rows: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Model inputs (features, lengths) of some clips of a set."""
    rows = np.asarray(rows, dtype=np.int64)
    return scaled(torch.from_numpy(clips.features[rows].astype(np.float32))), torch.from_numpy(clips.lengths[rows])


def features_of_audio(listener: Listener, audio: Sequence[Float[np.ndarray, " samples"]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Model inputs (features, lengths) of sounds no longer than the window."""
    inputs = listener.processor.feature_extractor(list(audio), return_tensors="pt")
    return inputs["input_features"], inputs["feature_lengths"]


def score_distribution(
    listener: Listener, asked: Question, features: torch.Tensor, lengths: torch.Tensor
) -> Float[torch.Tensor, "answers scores"]:
    """Log-probabilities of the scores 1 to 5 as the answer's first token, differentiable."""
    tokenizer = listener.processor.tokenizer
    digits = [tokenizer.convert_tokens_to_ids(score) for score in SCORES]
    ids = _prompts(listener, asked, len(features))
    output = listener.model(ids, input_features=features, feature_lengths=lengths, logits_to_keep=1)
    return torch.log_softmax(output.logits[:, -1].float(), dim=-1)[:, digits]


@torch.no_grad()
def expected_scores(listener: Listener, asked: Question, features: torch.Tensor, lengths: torch.Tensor) -> list[Scored | Failed]:
    """The expected 1-5 score of each clip (for questions about two clips: of each consecutive pair)."""
    results: list[Scored | Failed] = []
    for part, part_lengths in _parts(features, lengths, asked.clips):
        results += [
            expected_score(dict(zip(SCORES, row.tolist(), strict=True))) for row in score_distribution(listener, asked, part, part_lengths)
        ]
    return results


@torch.no_grad()
def greedy_answers(
    listener: Listener, asked: Question, features: torch.Tensor, lengths: torch.Tensor, *, longest_tokens: int = LONGEST_ANSWER_TOKENS
) -> list[str]:
    """The most likely answer in words, token by token, to each clip (or each consecutive pair)."""
    tokenizer = listener.processor.tokenizer
    answers: list[str] = []
    for part, part_lengths in _parts(features, lengths, asked.clips):
        ids = _prompts(listener, asked, len(part))
        made = listener.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            input_features=part,
            feature_lengths=part_lengths,
            max_new_tokens=longest_tokens,
            do_sample=False,
        )
        answers += tokenizer.batch_decode(made[:, ids.shape[1] :], skip_special_tokens=True)
    return answers


def score_of_sound(listener: Listener, audio: Float[np.ndarray, " samples"], sample_rate_hz: int, asked: Question) -> float:
    """The mean expected score over the windows of a sound of any length, at the fixed loudness. NaN where a window has no answer."""
    windows = [window for _, window in split(normalise_loudness(audio, sample_rate_hz, LUFS), sample_rate_hz, listener.clip_s)]
    verdicts = expected_scores(listener, asked, *features_of_audio(listener, windows))
    return float(np.mean([verdict.score if isinstance(verdict, Scored) else np.nan for verdict in verdicts]))


def _prompts(listener: Listener, asked: Question, audios: int) -> torch.Tensor:
    processor = listener.processor
    text = prompt(asked.text, asked.clips).replace(processor.audio_token, processor.audio_token * processor.audio_tokens)
    ids = torch.tensor(processor.tokenizer(text)["input_ids"])
    return ids.expand(audios // asked.clips, -1)


def _parts(features: torch.Tensor, lengths: torch.Tensor, clips_each: int):
    if len(features) % clips_each:
        raise ValueError(f"{len(features)} audios for questions about {clips_each} each")
    step = BATCH * clips_each
    for start in range(0, len(features), step):
        yield features[start : start + step], lengths[start : start + step]
