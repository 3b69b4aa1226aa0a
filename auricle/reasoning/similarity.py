"""How much a description says what the true one says, 0-1: by its claims, or by a sentence encoder of a hub.

The claims are what can be checked against the labels: which artefacts it names, and its overall verdict. Bags of words reward the filler
that all descriptions share: the words of another clip's true description still score .4 (docs/log.md).
"""

import re
from abc import ABC, abstractmethod
from functools import cache

import numpy as np

from auricle.errors import JudgeError
from auricle.listeners.descriptions import VERDICTS, describe
from auricle.listeners.labels import ARTEFACTS, AUDIBLE, Labels

NAMES: dict[str, tuple[str, ...]] = {
    "noise": ("background noise",),
    "correlated noise": ("hoarse noise", "noise rides on the voice"),
    "muffling": ("muffled", "muffling"),
    "clipping": ("clipping",),
    "drop-outs": ("drops out", "gaps in the voice"),
    "over-suppression": ("suppression",),
    "musical noise": ("musical noise",),
    "reverberation": ("reverberation",),
    "level jumps": ("jump",),
    "garbling": ("garbled", "garbling"),
    "no speech": ("no speech", "no voice", "the clip is silent", "only noise is heard", "only tones are heard"),
}
"""Words by which a description names an artefact (`auricle.listeners.descriptions`)."""
_DENIED = ("no background noise is heard", "the background is quiet")
_VERDICT = re.compile(rf"\b({'|'.join(sorted(VERDICTS, key=len, reverse=True))})\.$")
NAMED_AT_MOST = 2
"""A true description names the two worst artefacts."""


class Similarity(ABC):
    """Compares descriptions with the truth."""

    @abstractmethod
    def of(self, text: str, labels: Labels) -> float:
        """How well `text` describes a clip with these labels, 0-1."""


def similarity_of(name: str) -> Similarity:
    """`claims`, or the sentence encoder of that hub id. Raises JudgeError where it does not load."""
    return Claims() if name == "claims" else SentenceSimilarity(name)


class Claims(Similarity):
    """Half F1 of the named artefacts, half the closeness of the verdicts; a description without a verdict has only the first half."""

    def of(self, text: str, labels: Labels) -> float:
        """See `Similarity.of`."""
        claimed, said = named_artefacts(text), verdict_of(text)
        true = true_artefacts(labels)
        common = 2 * len(claimed & true) / (len(claimed) + len(true)) if claimed or true else 1.0
        agreed = 0.0 if said is None else max(0.0, 1.0 - abs(said - labels.quality) / 2.0)
        return 0.5 * common + 0.5 * agreed


class SentenceSimilarity(Similarity):
    """Cosine of mean-pooled sentence embeddings of the text and the true description, mapped to 0-1 (arXiv 2603.10175, accuracy reward)."""

    def __init__(self, model: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer, self._model = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()
        except (OSError, ValueError) as error:
            raise JudgeError(
                f"reason.rewards.similarity = {model!r} does not load ({str(error).splitlines()[0]}); name a sentence encoder that this "
                "machine has or may download, or take `claims`"
            ) from error

    def of(self, text: str, labels: Labels) -> float:
        """See `Similarity.of`."""
        # The true description is drawn by the labels alone, so that one clip always has the same.
        true = describe(labels, np.random.default_rng(round(1000 * labels.quality)))
        left, right = self._embed(text), self._embed(true)
        return float(np.clip((left @ right + 1) / 2, 0.0, 1.0))

    def _embed(self, text: str) -> np.ndarray:
        import torch

        inputs = self._tokenizer(text, return_tensors="pt", truncation=True)
        with torch.no_grad():
            hidden = self._model(**inputs).last_hidden_state[0]
        mean = hidden.mean(0)
        return (mean / mean.norm().clamp_min(1e-9)).numpy()


def named_artefacts(text: str) -> frozenset[str]:
    """The artefacts that a description names."""
    lower = text.lower()
    for denial in _DENIED:
        lower = lower.replace(denial, "")
    return frozenset(artefact for artefact in ARTEFACTS if any(words in lower for words in NAMES[artefact]))


def true_artefacts(labels: Labels) -> frozenset[str]:
    """The artefacts that a true description names: no speech alone, or the two worst audible ones."""
    if any(damage.artefact == "no speech" for damage in labels.damages):
        return frozenset({"no speech"})
    audible = sorted((damage for damage in labels.damages if damage.severity >= AUDIBLE), key=lambda damage: -damage.severity)
    return frozenset(damage.artefact for damage in audible[:NAMED_AT_MOST])


def verdict_of(text: str) -> float | None:
    """The overall quality that the last sentence speaks of, on 1-5; None where it does not."""
    found = _VERDICT.search(text.strip())
    return None if found is None else 1.0 + 4.0 * _grades()[found[1]] / (len(VERDICTS) - 1)


@cache
def _grades() -> dict[str, int]:
    return {name: grade for grade, name in enumerate(VERDICTS)}
