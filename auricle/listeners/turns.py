"""Questions with their answers as token sequences, and which tokens are the answer's: what supervised training and GRPO both learn from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from auricle.errors import LearningError
from auricle.listeners.answers import SCORES
from auricle.listeners.processing import AuricleListenerProcessor
from auricle.listeners.prompts import prompt

IGNORED = -100
"""The target of a token that is not learned, as in torch's cross entropy."""


@dataclass(frozen=True)
class Exchange:
    """One question and its answer. audios: the places of its clips among a batch's sounds, in the order in which they are heard.

    score: the exact score from 1 to 5 where the answer is one digit; its expectation is learned instead of a rounded digit.
    """

    question: str
    answer: str
    audios: tuple[int, ...]
    score: float | None = None


@dataclass(frozen=True)
class Turns:
    """A batch of exchanges, padded on the right.

    labels: the token at each place where it belongs to an answer, else IGNORED. A score of 3.3 is the digit 3 in `labels` and 4 in
    `others`, with 0.3 in `shares`: the exact expectation of rounding by chance, with less noise than drawing a digit; elsewhere `shares`
    is 0. audios: the places of all sequences' clips among the batch's sounds, in the order of the placeholders.
    """

    input_ids: Int64[Tensor, "batch sequence"]
    labels: Int64[Tensor, "batch sequence"]
    others: Int64[Tensor, "batch sequence"]
    shares: Float[Tensor, "batch sequence"]
    audios: list[int]

    @property
    def answered(self) -> Bool[Tensor, "batch sequence-1"]:
        """Whether the token after each place is one of an answer."""
        return self.labels[:, 1:] != IGNORED

    def by_row(self, values: Float[Tensor, " answer_tokens"]) -> tuple[Float[Tensor, "batch longest"], Bool[Tensor, "batch longest"]]:
        """A value for each answer token, as `ListenerModule` gives them, in rows of their own, with the mask of those that are there."""
        counts = self.answered.sum(1)
        mask = torch.arange(int(counts.max()), device=values.device) < counts.to(values.device)[:, None]
        return values.new_zeros(mask.shape).masked_scatter(mask, values), mask

    def to(self, device: torch.device | str) -> "Turns":
        """The same on another device."""
        return Turns(self.input_ids.to(device), self.labels.to(device), self.others.to(device), self.shares.to(device), self.audios)


def tokenise(exchanges: Sequence[Exchange], processor: AuricleListenerProcessor) -> Turns:
    """Exchanges as sequences: the expanded prompt, the answer, and the end mark, which is learned too."""
    tokenizer = processor.tokenizer
    asked = [prompt_ids(one.question, len(one.audios), processor) for one in exchanges]
    answers = tokenizer([one.answer for one in exchanges], add_special_tokens=False)["input_ids"]
    turns = turns_of_ids(asked, [[*ids, tokenizer.eos_token_id] for ids in answers], [one.audios for one in exchanges], processor)
    for row, (one, ids) in enumerate(zip(exchanges, asked, strict=True)):
        if one.score is not None:
            _share_out(turns, row, len(ids), one, tokenizer)
    return turns


def turns_of_ids(
    asked: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], audios: Sequence[Sequence[int]], processor: AuricleListenerProcessor
) -> Turns:
    """Sequences from token ids, such as answers that vLLM has sampled (with the end mark where it was sampled)."""
    longest = max(len(question) + len(answer) for question, answer in zip(asked, answers, strict=True))
    input_ids = torch.full((len(asked), longest), processor.tokenizer.pad_token_id)
    labels = torch.full((len(asked), longest), IGNORED)
    for row, (question, answer) in enumerate(zip(asked, answers, strict=True)):
        end = len(question) + len(answer)
        input_ids[row, :end] = torch.tensor([*question, *answer])
        labels[row, len(question) : end] = torch.tensor(answer)
    return Turns(input_ids, labels, labels.clone(), torch.zeros(labels.shape), [place for places in audios for place in places])


def prompt_ids(question: str, audios: int, processor: AuricleListenerProcessor) -> list[int]:
    """The prompt's tokens with every audio placeholder expanded."""
    text = prompt(question, audios).replace(processor.audio_token, processor.audio_token * processor.audio_tokens)
    return processor.tokenizer(text)["input_ids"]


def _share_out(turns: Turns, row: int, place: int, one: Exchange, tokenizer) -> None:
    if one.answer not in SCORES or one.score is None:
        raise LearningError(f"an exact score goes with an answer of one digit from 1 to 5, not with {one.answer!r}")
    score = min(max(one.score, 1.0), 5.0)
    low = min(int(score), 4)
    # The digit that is fed in stays the one that was drawn: nothing but the end mark follows it.
    turns.labels[row, place], turns.others[row, place] = tokenizer.convert_tokens_to_ids([str(low), str(low + 1)])
    turns.shares[row, place] = score - low
