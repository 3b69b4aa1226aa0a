"""The judge that reasons: measured features, an evidence log, a judgement and a score, sampled K times (GSRM, arXiv 2602.13891).

    clip --> windows --> features --+--> rendered --> text LLM (reads) ---+
                |                   |                                     +--K samples--> parse --> check --> mean, spread
                +-------------------|--> audio LLM (listens) -------------+                          ^
                                    +----------------------------------------------------------------+

`way = "read"`: a text LLM in vLLM sees the features. `way = "listen"`: an audio LLM hears the clip and is shown nothing. The evidence of
both is checked against the features, or chosen from them (`grounded`). Either is our own checkpoint (a folder with gsrm.json), or any model
of a hub, which is told how to answer.
"""

import hashlib
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from auricle.config import Config
from auricle.errors import JudgeError, MetricError
from auricle.gsrm.answers import grammar, grounded_grammar
from auricle.gsrm.evidence import CheckConfig, true_claims
from auricle.gsrm.features import Aligner, FeaturesConfig, measure
from auricle.gsrm.findings import Findings, findings_of
from auricle.gsrm.method import FILE, Method, load_method
from auricle.gsrm.rendering import LISTENING, instructions, rendered
from auricle.gsrm.samples import verdict_of
from auricle.judging.engine_options import EngineOptions
from auricle.judging.hashing import content_hash, model_hash
from auricle.judging.judge import Identity, Judge, JudgeClip
from auricle.judging.verdict import Failed, Verdict
from auricle.judging.vllm_engine import answer_messages, is_own_listener, start_engine
from auricle.listeners.windows import join, split

if TYPE_CHECKING:
    from vllm import SamplingParams

SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "gsrm"
"""Our own small reader, trained by `python -m auricle.gsrm.train`."""
LONGEST_ANSWER_TOKENS = 400
DECODING = 2
"""Raised where the same options lead to other answers, so that kept verdicts are not taken for new ones."""


class GsrmOptions(Config):
    """A language model, what it is given, and how often it is asked."""

    model: str = ""
    """A checkpoint folder, or a hub id: a text model (Qwen/Qwen2.5-7B-Instruct) to read, an audio model (Qwen/Qwen2.5-Omni-7B) to listen.
    Empty: the small reader of Auricle."""
    revision: str = "main"
    """Branch, tag or commit of a hub id."""
    method: str = ""
    """Folder of the gsrm.json with norms and form; empty: the model's own, or that of Auricle's reader."""
    way: Literal["read", "listen"] = "read"
    """Whether the model reads the features, or listens to the clip."""
    samples: PositiveInt = 16
    """Answers that are drawn of each window (K)."""
    temperature: NonNegativeFloat = 1.0
    """Of the draws, which are seeded by what the model is given."""
    top_p: float = Field(default=0.6, gt=0.0, le=1.0)
    """Nucleus of the draws."""
    least_share: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of the samples that have to parse and hold; with fewer the clip is Failed."""
    constrained: bool = True
    """Whether decoding is held to the grammar of answers."""
    grounded: bool = True
    """Whether a model can claim only what was measured of the clip, be it read or heard: each clip has a grammar of its own then. Else it
    can claim anything, and what the measurement contradicts does not count. Needs `constrained`. True evidence says nothing of what the
    model makes of it: an untrained one quotes as well, and scores by chance. What scores are worth is what the self-check asks."""
    window_s: NonNegativeFloat = 0.0
    """Longest stretch judged at once, in seconds; 0: what the method says."""
    aligner: str = ""
    """A CTC phoneme model for vowels, such as facebook/wav2vec2-lv-60-espeak-cv-ft; empty: the offline detector of nuclei."""
    features: FeaturesConfig = FeaturesConfig()
    """How clips are measured."""
    check: CheckConfig = CheckConfig()
    """How exactly evidence has to agree with the measurement."""
    engine: EngineOptions = EngineOptions()
    """The vLLM engine."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if "grounded" in self.model_fields_set and self.grounded and not self.constrained:
            raise ValueError("grounded = true needs constrained = true: it is the grammar that holds answers to what was measured")
        if self.way == "listen" and not self.model:
            raise ValueError(
                "way = 'listen' needs a model that hears: the small reader of Auricle does not (auricle calibrate --tasks evidence)"
            )
        return self


@dataclass(frozen=True)
class Window:
    """What is judged at once: a stretch of clip number `clip`."""

    clip: int
    start_s: float
    audio: np.ndarray
    sample_rate_hz: int


class GsrmJudge(Judge):
    """See the module. score: the mean of the samples that hold; dimensions: see `samples.verdict_of`."""

    options: GsrmOptions

    def __init__(self, options: GsrmOptions) -> None:
        super().__init__(options)
        self._folder = options.model or str(SHIPPED)
        if Path(self._folder).is_absolute() and not Path(self._folder).is_dir():
            raise JudgeError(
                f"gsrm: {self._folder}: no such folder; train a reader with `python -m auricle.gsrm.train`, or name a model of a hub"
            )
        self._taught = (Path(self._folder) / FILE).is_file()
        if not options.model and not self._taught:
            raise JudgeError(f"gsrm: {SHIPPED} is not there; train one with `python -m auricle.gsrm.train` and name it in options.model")
        self.method = load_method(Path(options.method or (self._folder if self._taught else SHIPPED)))
        self._own = options.way == "listen" and is_own_listener(self._folder)
        if self._own and not (self._taught or options.method):
            # The grammar would have it answer all the same, by chance.
            raise JudgeError(f"gsrm: {self._folder} was not taught evidence (no {FILE}); `auricle calibrate --tasks evidence` does that")
        self._aligner = _aligner(options.aligner)
        self._engine = start_engine(self._folder, options.revision, options.engine)

    @cached_property
    def identity(self) -> Identity:  # type: ignore[override]
        """See `Judge.identity`."""
        asked = self.options.model_dump(mode="json", exclude={"model", "revision", "engine"})
        return Identity(
            content_hash([asked, self.method.model_dump(mode="json"), DECODING]), model_hash(self._folder, self.options.revision)
        )

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """See `Judge.judge`. All samples of all windows of all clips are one batch."""
        windows = [window for index, clip in enumerate(clips) for window in self._split(index, clip)]
        found = [self._findings(window) for window in windows]
        asked = [(window, part) for window, part in zip(windows, found, strict=True) if isinstance(part, Findings)]
        messages = [self._messages(window, part) for window, part in asked]
        seeds = [draw_seed(part, self.method) for _, part in asked]
        texts = iter(self.answers(messages, seeds, [part for _, part in asked]))
        parts: list[list[tuple[float, Verdict]]] = [[] for _ in clips]
        for window, part in zip(windows, found, strict=True):
            verdict = part if isinstance(part, Failed) else self.verdict(part, next(texts))
            parts[window.clip].append((window.start_s, verdict))
        return [join(verdicts) for verdicts in parts]

    def answers(self, messages: Sequence[list[dict[str, Any]]], seeds: Sequence[int], found: Sequence[Findings]) -> list[list[str]]:
        """The samples of every conversation, in one batch. found: of each, which its evidence may be held to."""
        if not messages:
            return []
        sampling = [self._sampling(seed, findings) for seed, findings in zip(seeds, found, strict=True)]
        outputs = self._engine.chat(list(messages), sampling, use_tqdm=False)  # type: ignore[arg-type]
        return [[sample.text for sample in output.outputs] for output in outputs]

    def reading(self, findings: Findings) -> list[dict[str, Any]]:
        """The conversation in which a text model is given a window's features."""
        method = self.method
        message = {"role": "user", "content": rendered(findings, **method.shown)}
        return [message] if self._taught else [{"role": "system", "content": instructions(method.form, **method.shown)}, message]

    def verdict(self, findings: Findings, texts: Sequence[str]) -> Verdict:
        """What the samples of one window come to."""
        return verdict_of(texts, self.method.form, findings, self.options.check, self.options.least_share)

    def free(self) -> "GsrmJudge":
        """This judge, in the same engine, with `grounded = false`."""
        other = copy(self)
        other.options = self.options.model_copy(update={"grounded": False})
        other.__dict__.pop("identity", None)
        return other

    def close(self) -> None:
        """Free the engine."""
        self._engine.llm_engine.engine_core.shutdown()

    def _split(self, index: int, clip: JudgeClip) -> list[Window]:
        rate_hz, window_s = clip.sample_rate_hz, self.options.window_s or self.method.window_s
        return [Window(index, start_s, audio, rate_hz) for start_s, audio in split(clip.audio, rate_hz, window_s)]

    def _findings(self, window: Window) -> Findings | Failed:
        try:
            measured = measure(window.audio, window.sample_rate_hz, self.options.features, self._aligner)
        except MetricError as error:
            return Failed("metric", str(error))
        return findings_of(measured, self.method.norms)

    def _messages(self, window: Window, findings: Findings) -> list[dict[str, Any]]:
        if self.options.way == "read":
            return self.reading(findings)
        question = LISTENING if self._taught or self._own else instructions(self.method.form, "listen", **self.method.shown)
        return answer_messages(question, [window.audio], window.sample_rate_hz)

    def _sampling(self, seed: int, findings: Findings) -> "SamplingParams":
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        options = self.options
        return SamplingParams(
            n=options.samples if options.temperature else 1,
            temperature=options.temperature,
            top_p=options.top_p if options.temperature else 1.0,
            seed=seed if options.temperature else None,
            max_tokens=LONGEST_ANSWER_TOKENS,
            structured_outputs=StructuredOutputsParams(regex=decoding_grammar(findings, self.method, self.options))
            if options.constrained
            else None,
        )


def decoding_grammar(findings: Findings, method: Method, options: GsrmOptions) -> str:
    """What answers about these findings are held to: any claims, or only those that were measured."""
    if not (options.grounded and method.form == "evidence"):
        return grammar(method.form)
    claims = true_claims(findings, pitch=method.pitch, measures=method.norms.measures)
    return grounded_grammar([claim for each in claims for claim in each], findings.vowels)


def draw_seed(findings: Findings, method: Method) -> int:
    """From what was measured, whether it is read or not, so that the same is said of the same whenever it is asked.

    Sounds that differ too little for it (another level, a last digit) get the same draws: one that listens would else tell them apart by
    chance.
    """
    return int.from_bytes(hashlib.sha256(rendered(findings, **method.shown).encode()).digest()[:4], "little")


def _aligner(model: str) -> Aligner | None:
    if not model:
        return None
    from auricle.gsrm.alignment import CtcAligner

    return CtcAligner(model)
