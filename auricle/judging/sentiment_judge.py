"""Words to a score: how good does a clip sound, by what a listener wrote about it?"""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor

from auricle.config import Config
from auricle.errors import JudgeError
from auricle.judging.hashing import content_hash, model_hash
from auricle.judging.judge import Identity, Judge, JudgeClip, NoOptions
from auricle.judging.verdict import Scored, Verdict

DEGREES = {
    "very negative": -2, "negative": -1, "neg": -1, "neutral": 0, "neu": 0, "mixed": 0, "positive": 1, "pos": 1, "very positive": 2,
    "very bad": -2, "bad": -1, "fair": 0, "okay": 0, "good": 1, "very good": 2, "terrible": -3, "excellent": 3,
}  # fmt: skip
"""Names of classes, from the worst to the best; the same number means the same."""
_NUMBERED = re.compile(r"(\d+(?:\.\d+)?)(?: stars?)?")

SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "sentiment"
"""Our own small classifier, trained by `python -m auricle.judging.train_sentiment`."""


class SentimentOptions(Config):
    """A Hugging Face sequence classifier."""

    model: str = ""
    """A checkpoint folder or a hub id, such as nlptown/bert-base-multilingual-uncased-sentiment. Empty: the one that comes with Auricle."""
    revision: str = "main"
    """Branch, tag or commit of a hub id."""
    values: tuple[float, ...] = ()
    """The score that each class stands for, in the model's order. Empty: by the classes' names (negative / neutral / positive, 1 star ... 5
    stars, 1 ... 5), whatever their order; names that say nothing, such as LABEL_0, need values."""
    max_tokens: PositiveInt = 256
    """Longer texts are cut."""
    batch_size: PositiveInt = 64
    """Texts in one forward pass."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: cuda where there is one."""


class SentimentJudge(Judge):
    """Reads another judge's words; score is the expectation over the classes. dimensions: confidence, the largest class probability."""

    options: SentimentOptions
    reads: ClassVar[bool] = True

    def __init__(self, options: SentimentOptions) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils import logging

        super().__init__(options)
        logging.disable_progress_bar()
        self._folder = options.model or str(SHIPPED)
        device = options.device if options.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self._folder, revision=options.revision)
            self._model = AutoModelForSequenceClassification.from_pretrained(self._folder, revision=options.revision).eval().to(device)
        except (OSError, ValueError) as error:
            raise JudgeError(
                f"sentiment model {self._folder!r} cannot be loaded: {error}; give a folder with a sequence classifier, or a hub id"
            ) from error
        classes = self._model.config.num_labels
        values = options.values or class_values([str(self._model.config.id2label[index]) for index in range(classes)])
        if not values:
            raise JudgeError(
                f"sentiment model {self._folder!r} calls its classes {list(self._model.config.id2label.values())}, which does not say "
                "what is good; give options.values, one score a class in that order, such as values = [1, 3, 5]"
            )
        if len(values) != classes or classes < 2:
            raise JudgeError(
                f"sentiment model {self._folder!r} has {classes} classes, but options.values has {len(values)}; give one value a class"
            )
        self._values = torch.tensor(values, device=device)

    @cached_property
    def identity(self) -> Identity:  # type: ignore[override]
        """See `Judge.identity`."""
        return Identity(content_hash([list(self.options.values), self.options.max_tokens]), model_hash(self._folder, self.options.revision))

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """See `Judge.judge`; every clip has a text."""
        probabilities = torch.cat(
            [
                self.probabilities([clip.text for clip in clips[i : i + self.options.batch_size]])
                for i in range(0, len(clips), self.options.batch_size)
            ]
        )
        return [
            Scored(float(score), dimensions={"confidence": float(row.max())})
            for row, score in zip(probabilities, probabilities @ self._values, strict=True)
        ]

    @torch.inference_mode()
    def probabilities(self, texts: list[str]) -> Float[Tensor, "texts classes"]:
        """Class probabilities of texts."""
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=self.options.max_tokens, return_tensors="pt")
        return torch.softmax(self._model(**tokens.to(self._values.device)).logits.float(), dim=-1)


def class_values(names: Sequence[str]) -> tuple[float, ...]:
    """The score from 1 to 5 that each class stands for, by its name; empty where the names do not say.

    Numbers (`4`, `4 stars`) are spread from the lowest to the highest; words of degree stand at even steps from the worst to the best of
    those that the model has. Generated names (LABEL_0) have no meaning of their own: models of both orders are on the hub.
    """
    plain = [" ".join(name.lower().replace("_", " ").replace("-", " ").split()) for name in names]
    numbered = [_NUMBERED.fullmatch(name) for name in plain]
    ranks = [float(match[1]) for match in numbered if match] or [float(DEGREES[name]) for name in plain if name in DEGREES]
    if len(ranks) < len(names) or len(set(ranks)) < len(ranks) or len(ranks) < 2:
        return ()
    low, high = min(ranks), max(ranks)
    return tuple(1.0 + 4.0 * (rank - low) / (high - low) for rank in ranks)


class VaderJudge(Judge):
    """VADER (Hutto 2014), a word list, as a baseline: compound -1..1 mapped to 1..5. It hears verdict words and little else."""

    options: NoOptions
    reads: ClassVar[bool] = True

    def __init__(self, options: NoOptions) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        super().__init__(options)
        self._analyzer = SentimentIntensityAnalyzer()

    @property
    def identity(self) -> Identity:
        """The word list is fixed by the package's version."""
        return Identity(content_hash({}), content_hash("vaderSentiment 3.3.2"))

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """See `Judge.judge`."""
        return [Scored(3.0 + 2.0 * self._analyzer.polarity_scores(clip.text)["compound"]) for clip in clips]
