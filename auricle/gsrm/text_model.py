"""The small language model that reads features and reasons: a Llama of a few layers with a vocabulary of our own texts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from auricle.gsrm.answers import NATURALNESS, SOUND
from auricle.gsrm.evidence import SHARES
from auricle.gsrm.findings import SUBJECT_WORDS
from auricle.gsrm.method import Method
from auricle.listeners.prompts import ANSWER, EOS
from auricle.listeners.vocabulary import learned_tokenizer

VOCABULARY = 2048
"""Most tokens; the pieces of our texts need about half of them."""
LONGEST_TOKENS = 1024
HEAD_WIDTH = 32
"""vLLM's attention on a CPU knows no narrower heads."""


def pieces() -> str:
    """What no token goes beyond: a claim with its share, a count, a judgement, each whole; marks; digits alone; words.

    A claim is then one token, and the same in the rendering and in the answer: to quote is to attend to it. In several tokens a model has
    to find the claim and then what followed it there, which takes this small one thousands of steps (docs/log.md).
    """
    claims = [f"{subject} {word}" for subject, words in SUBJECT_WORDS.items() for word in words]
    grades = [f"the {part} is {word}" for part, words in (("voice", NATURALNESS), ("sound", SOUND)) for word in words]
    whole = "|".join(map(re.escape, sorted(claims + grades, key=len, reverse=True)))
    return rf"(?:{whole})(?: in (?:{'|'.join(SHARES)}) vowels)?|\d+ vowels|[;:,] | ?\d(?:; )?| ?[^\s\d\p{{P}}]+|\p{{P}}|\s"


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer learned from renderings and answers; it encodes any other text too, in more tokens."""
    return learned_tokenizer(texts, VOCABULARY, pieces())


def new_model(tokenizer: PreTrainedTokenizerFast, *, width: int, layers: int, heads: int, seed: int) -> LlamaForCausalLM:
    """A model that has learned nothing."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=HEAD_WIDTH,
        max_position_embeddings=LONGEST_TOKENS,
        tie_word_embeddings=True,
        # The default of 0.02 is for wide models: at this width attention would stay flat for a thousand steps, and read nothing.
        initializer_range=0.8 / width**0.5,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def answer_states(model: LlamaForCausalLM, input_ids: Int64[Tensor, "batch tokens"], start: int) -> Float[Tensor, "batch answers width"]:
    """The last hidden states from place `start` on, as the model gives them without padding on the left. The last layer is computed there
    alone, which saves a quarter of a training step: what a question becomes at its own places is of no use to anybody."""
    core = model.model
    hidden = core.embed_tokens(input_ids)
    batch, tokens = input_ids.shape
    cos, sin = core.rotary_emb(hidden, torch.arange(tokens)[None])
    for layer in core.layers[:-1]:
        hidden = layer(hidden, attention_mask=None, position_embeddings=(cos, sin))
    last = core.layers[-1]
    attention, normed = last.self_attn, last.input_layernorm(hidden)

    def heads(projection: nn.Module, states: Tensor) -> Tensor:
        return projection(states).view(batch, states.shape[1], -1, attention.head_dim).transpose(1, 2)

    asked, _ = apply_rotary_pos_emb(*[heads(attention.q_proj, normed[:, start:])] * 2, cos[:, start:], sin[:, start:])
    keys, _ = apply_rotary_pos_emb(*[heads(attention.k_proj, normed)] * 2, cos, sin)
    seen = torch.ones(tokens - start, tokens, dtype=torch.bool).tril(start)
    heard = nn.functional.scaled_dot_product_attention(asked, keys, heads(attention.v_proj, normed), attn_mask=seen)
    hidden = hidden[:, start:] + attention.o_proj(heard.transpose(1, 2).flatten(2))
    return core.norm(hidden + last.mlp(last.post_attention_layernorm(hidden)))


@dataclass(frozen=True)
class Lesson:
    """Token ids of a question and its answer, and which of them are learned: none of the question's. graded: where judgement and
    score begin; the number of tokens where neither is learned."""

    ids: list[int]
    learned: list[bool]
    graded: int

    @property
    def asked(self) -> int:
        """How many tokens the question has."""
        return self.learned.index(True)


def lesson_tokens(
    tokenizer: PreTrainedTokenizerFast, asked: Sequence[str], answers: Sequence[str], *, quotes: bool = False
) -> list[Lesson]:
    """The pairs as tokens. quotes: only evidence is learned, and of the issues only what they say, not whether there are any."""
    questions = tokenizer([f"{text}{ANSWER}" for text in asked])["input_ids"]
    replies = tokenizer([f"{text}{EOS}" for text in answers], add_special_tokens=False)["input_ids"]
    issue, choices = tokenizer.convert_tokens_to_ids("issue"), set(tokenizer("none; \n: ", add_special_tokens=False)["input_ids"])
    grades = set(tokenizer.convert_tokens_to_ids(["judgement", "score"]))
    lessons = []
    for question, reply in zip(questions, replies, strict=True):
        learned = [True] * len(reply)
        if quotes:
            start = reply.index(issue)
            end = start + reply[start:].index(tokenizer.convert_tokens_to_ids("Ċ"))
            learned = [place < start or (place < end and token not in choices) for place, token in enumerate(reply)]
        graded = len(reply) if quotes else next(place for place, token in enumerate(reply) if token in grades)
        lessons.append(Lesson(question + reply, [False] * len(question) + learned, len(question) + graded))
    return lessons


def save_judge(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, method: Method) -> None:
    """Weights (float16), tokenizer and method: a checkpoint that `judge kind gsrm` and vLLM read."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    model.float()
    tokenizer.save_pretrained(folder)
    method.save(folder)
