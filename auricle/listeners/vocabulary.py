"""The tiny listener's tokenizer: byte-pair encoding learned from our own questions and answers, every digit a token of its own."""

from collections.abc import Iterable

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from auricle.listeners.answers import artefact_text
from auricle.listeners.descriptions import describe
from auricle.listeners.labels import ARTEFACTS, Damage, make_labels
from auricle.listeners.prompts import ANSWER, AUDIO, BOS, CHAT_TEMPLATE, EOS, PAD, SPECIAL_TOKENS
from auricle.listeners.questions import all_questions

SIZE = 896
EXAMPLES = 4000


PIECES = r"\d|\p{P}| ?[^\s\d\p{P}]+|\s"
"""Digits and marks alone, so that "3" is one token wherever it stands; words with the blank before them."""


def make_tokenizer(size: int = SIZE) -> PreTrainedTokenizerFast:
    """The listener's tokenizer. Always the same."""
    return learned_tokenizer(_texts(), size, PIECES)


def learned_tokenizer(texts: Iterable[str], size: int, pieces: str) -> PreTrainedTokenizerFast:
    """A tokenizer of at most `size` tokens that encodes any text (bytes are its last resort) and never joins what `pieces` parts."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pieces), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[AUDIO, ANSWER],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _texts() -> list[str]:
    """Every question, and answers on random labels."""
    rng = np.random.default_rng(0)
    texts = [asked.text for asked in all_questions()] + ["first", "second", "none"]
    for _ in range(EXAMPLES):
        damages = tuple(_random_damage(rng) for _ in range(int(rng.integers(1, 3))))
        labels = make_labels(float(rng.uniform(1.02, 4.64)), damages, 3.0)
        texts += [describe(labels, rng), artefact_text(labels)]
    return texts


def _random_damage(rng: np.random.Generator) -> Damage:
    artefact = ARTEFACTS[int(rng.integers(len(ARTEFACTS)))]
    starts = np.sort(rng.uniform(0, 2.8, int(rng.integers(1, 4))))
    spans = tuple((float(start), float(start + 0.2)) for start in starts) if rng.random() < 0.6 else ((0.0, 3.0),)
    return Damage(artefact, float(rng.uniform(0.15, 1)), spans, {"way": float(rng.integers(5))})
