"""The small language model that reads features and reasons: a Llama of a few layers with a vocabulary of our own texts."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from auricle.gsrm.method import Method
from auricle.listeners.prompts import ANSWER, EOS
from auricle.listeners.vocabulary import learned_tokenizer

VOCABULARY = 640
LONGEST_TOKENS = 1024
HEAD_WIDTH = 32
"""vLLM's attention on a CPU knows no narrower heads."""
PIECES = r"\d+-\d+ Hz|(below|above) \d+ Hz|\d|[,;]? ?[^\s\d\p{P}]+|\p{P}|\s"
"""Bins of pitch whole, words with the mark before them; a digit alone, so that scores and deciles are one token a digit."""


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer learned from renderings and answers; it encodes any other text too, in more tokens."""
    return learned_tokenizer(texts, VOCABULARY, PIECES)


def new_model(tokenizer: PreTrainedTokenizerFast, *, width: int, layers: int, seed: int) -> LlamaForCausalLM:
    """A model that has learned nothing."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD_WIDTH,
        num_key_value_heads=width // HEAD_WIDTH,
        max_position_embeddings=LONGEST_TOKENS,
        tie_word_embeddings=True,
        # The default of 0.02 is for wide models: at this width attention would stay flat for a thousand steps, and read nothing.
        initializer_range=0.1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def lesson_tokens(tokenizer: PreTrainedTokenizerFast, asked: Sequence[str], answers: Sequence[str]) -> list[tuple[list[int], int]]:
    """For each pair the tokens of question and answer, and how many of them are the question's: those are not learned."""
    questions = tokenizer([f"{text}{ANSWER}" for text in asked])["input_ids"]
    replies = tokenizer([f"{text}{EOS}" for text in answers], add_special_tokens=False)["input_ids"]
    return [(question + reply, len(question)) for question, reply in zip(questions, replies, strict=True)]


def save_judge(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, method: Method) -> None:
    """Weights (float16), tokenizer and method: a checkpoint that `judge kind gsrm` and vLLM read."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    model.float()
    tokenizer.save_pretrained(folder)
    method.save(folder)
