"""Vowels by forced alignment: a CTC phoneme model says which, and a Viterbi pass over its frames says where.

The model is any `AutoModelForCTC` whose vocabulary is phonemes in IPA or ARPAbet, such as facebook/wav2vec2-lv-60-espeak-cv-ft. Without a
transcript its own greedy reading is aligned, which is what GSRM's pipeline comes to where an ASR writes the transcript.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from auricle.errors import JudgeError
from auricle.gsrm.nuclei import Vowel
from auricle.signals import resample

IPA_VOWELS = frozenset("aeiouyɐɑɒæɔəɚɛɜɝɪʊʌᵻøœɨʉɯɤɵ")  # noqa: RUF001 - IPA
ARPABET_VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
_NEVER = -1e30


class CtcAligner:
    """`aligner(audio, sample_rate_hz)` -> the vowels of a clip, with their symbols as kinds."""

    def __init__(self, model: str, revision: str = "main") -> None:
        """model: a checkpoint folder or a hub id. Raises JudgeError where it cannot be loaded, or knows no vowel."""
        from transformers import AutoFeatureExtractor, AutoModelForCTC

        try:
            self._extractor = AutoFeatureExtractor.from_pretrained(model, revision=revision)
            self._model = AutoModelForCTC.from_pretrained(model, revision=revision).eval()
            self._symbols = _symbols(model, revision)
        except (OSError, ValueError) as error:
            raise JudgeError(f"gsrm aligner {model!r} cannot be loaded: {error}; name a CTC phoneme model") from error
        if not any(is_vowel(symbol) for symbol in self._symbols.values()):
            raise JudgeError(f"gsrm aligner {model!r}: its vocabulary has no vowel in IPA or ARPAbet; name a phoneme model")
        self._blank = int(self._model.config.pad_token_id or 0)

    @torch.inference_mode()
    def __call__(self, audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> list[Vowel]:
        """The vowels of one clip, in order."""
        rate_hz = int(self._extractor.sampling_rate)
        heard = resample(np.asarray(audio, dtype=np.float32), sample_rate_hz, rate_hz)
        inputs = self._extractor(heard, sampling_rate=rate_hz, return_tensors="pt")
        log_probs = torch.log_softmax(self._model(inputs.input_values).logits[0].float(), dim=-1).numpy()
        tokens = [token for token in collapsed(log_probs.argmax(axis=1).tolist(), self._blank) if self._symbols.get(token, "")]
        frame_s = len(audio) / sample_rate_hz / len(log_probs)
        return [
            Vowel(first * frame_s, (last + 1) * frame_s, self._symbols[token])
            for token, (first, last) in zip(tokens, align_tokens(log_probs, tokens, self._blank), strict=True)
            if is_vowel(self._symbols[token])
        ]


def is_vowel(symbol: str) -> bool:
    """Whether a phoneme is a vowel, by its first sign (IPA) or its letters (ARPAbet, stress digits aside)."""
    return symbol.rstrip("012") in ARPABET_VOWELS or symbol[:1] in IPA_VOWELS


def collapsed(path: Sequence[int], blank: int) -> list[int]:
    """A CTC path without repetitions and blanks."""
    kept = [token for place, token in enumerate(path) if place == 0 or token != path[place - 1]]
    return [token for token in kept if token != blank]


def align_tokens(log_probs: Float[np.ndarray, "frames tokens"], tokens: Sequence[int], blank: int) -> list[tuple[int, int]]:
    """First and last frame of every token on the likeliest CTC path (Graves 2006, with max for sum). Raises ValueError where the frames
    are too few for the tokens."""
    states = [blank, *(state for token in tokens for state in (token, blank))]
    frames = len(log_probs)
    emitted = log_probs[:, states]
    # From two states before (over the blank) only where that is a different token.
    skips = np.array([s >= 2 and states[s] != blank and states[s] != states[s - 2] for s in range(len(states))])
    score = np.full(len(states), _NEVER)
    score[:2] = emitted[0, :2]
    came = np.zeros((frames, len(states)), dtype=np.int64)
    for frame in range(1, frames):
        one = np.concatenate([[_NEVER], score[:-1]])
        two = np.where(skips, np.concatenate([[_NEVER, _NEVER], score])[: len(states)], _NEVER)
        ways = np.stack([score, one, two])
        came[frame] = ways.argmax(axis=0)
        score = ways.max(axis=0) + emitted[frame]
    state = len(states) - 1 if len(states) == 1 or score[-1] >= score[-2] else len(states) - 2
    if score[state] <= _NEVER / 2:
        raise ValueError(f"align_tokens: {frames} frames are too few for {len(tokens)} tokens")
    path = [state]
    for frame in range(frames - 1, 0, -1):
        state -= int(came[frame, state])
        path.append(state)
    places = np.array(path[::-1])
    spans = [np.flatnonzero(places == 2 * number + 1) for number in range(len(tokens))]
    return [(int(span[0]), int(span[-1])) for span in spans]


def _symbols(model: str, revision: str) -> dict[int, str]:
    """Token id -> phoneme. Read from vocab.json: the tokenizer class of phoneme models wants a phonemizer installed."""
    from transformers.utils import cached_file

    path = cached_file(model, "vocab.json", revision=revision)
    if path is None:
        raise OSError(f"{model}: no vocab.json")
    vocabulary: dict[str, int] = json.loads(Path(path).read_text(encoding="utf-8"))
    return {number: symbol for symbol, number in vocabulary.items() if not symbol.startswith(("<", "[", "|"))}
