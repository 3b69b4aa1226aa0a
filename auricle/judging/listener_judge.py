"""The judge that listens: an audio language model in an in-process vLLM engine. It describes, rates, and says where an artefact is.

    clip --> windows --> questions (describe, rate, artefact, aspects) --one batch--> vLLM --> answers --parsed--> verdict

The rating is an expectation: the model is asked for one digit, and the probabilities of 1 to 5 as its first token are averaged (one call;
rank correlation .999 with sampling many answers). Where less than half of the probability lies on the five digits the answer is Failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from auricle.config import Config
from auricle.judging.hashing import content_hash, model_hash, sound_seed
from auricle.judging.judge import Choice, Identity, Judge, JudgeClip
from auricle.judging.listener_questions import listener_questions
from auricle.judging.verdict import Failed, Scored, Span, Verdict
from auricle.judging.vllm_engine import EngineOptions, answer_messages, is_own_listener, open_engine, own_window_s
from auricle.listeners.answers import SCORES, expected_score, parse_artefact, parse_choice, parse_description
from auricle.listeners.prompts import prompt
from auricle.listeners.questions import question
from auricle.listeners.windows import join, split

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams

SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "listener"
"""Our own small listener, trained by `auricle calibrate`."""

Task = Literal["describe", "rate", "artefact"]
WORDY = ("describe", "artefact", "compare")
"""Questions that are answered in more than one token."""


class ListenerOptions(Config):
    """An audio language model and what it is asked."""

    model: str = ""
    """Checkpoint folder, or the id of any audio model that vLLM serves (Qwen/Qwen2-Audio-7B-Instruct...). Empty: the one of Auricle."""
    revision: str = "main"
    """Branch, tag or commit of a hub id."""
    ask: tuple[Task, ...] = ("describe", "rate", "artefact")
    """describe: free words, the rationale. rate: the expected score. artefact: the worst one with its time span (only our own listener)."""
    aspects: tuple[str, ...] = ()
    """Aspects to be rated as well, as dimensions of the verdict: noise, distortion, continuity... (only our own listener)."""
    double_ended: bool = False
    """Whether the rating question also plays the clean reference (only our own listener)."""
    describe_prompt: str = ""
    """Overrides the question for a description. Empty: the first wording the model was trained on."""
    rate_prompt: str = ""
    """Overrides the question for a score."""
    prompt_template: str = ""
    """For models without a chat template: the whole prompt, with `{question}` and the model's audio placeholder. Empty: chat template."""
    temperature: NonNegativeFloat = 0.0
    """Of the description; 0 is greedy. Draws are seeded by the clip's content."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus of the description."""
    max_tokens: PositiveInt = 96
    """Longest description, in tokens."""
    sample_rate_hz: PositiveInt = 16_000
    """Rate at which the model hears."""
    window_s: NonNegativeFloat = 0.0
    """Longest stretch heard at once, in seconds; longer clips are heard in windows. 0: what our own listener says; 30 s for others."""
    shortest_s: PositiveFloat = 0.3
    """Shorter clips are Failed."""
    engine: EngineOptions = EngineOptions()
    """The vLLM engine."""


@dataclass(frozen=True)
class Asked:
    """One prompt to the engine: the question `kind` (a task, or an aspect) about window `window` of clip `clip`."""

    clip: int
    window: int
    kind: str
    text: str
    audios: tuple[np.ndarray, ...]


class ListenerJudge(Judge):
    """See the module. score: the expected rating (None where it is not asked to rate); dimensions: expected, mass, spread, the aspects."""

    options: ListenerOptions
    wordings: ClassVar[int] = 4
    concurrent: ClassVar[int] = 8

    def __init__(self, options: ListenerOptions) -> None:
        super().__init__(options)
        self._folder = options.model or str(SHIPPED)
        self._own = is_own_listener(self._folder)
        self._window_s = options.window_s or (own_window_s(self._folder) if self._own else 30.0)
        self._questions = [listener_questions(options, own=self._own, wording=wording) for wording in range(self.wordings)]
        self.engine = open_engine(self._folder, options.revision, options.engine, audios=2 if self._own else 1)
        self._score_tokens = {score: self._one_token(score) for score in SCORES}

    @cached_property
    def identity(self) -> Identity:  # type: ignore[override]
        """See `Judge.identity`."""
        asked = self.options.model_dump(mode="json", exclude={"model", "revision", "engine"})
        return Identity(content_hash([self._questions[0], asked]), model_hash(self._folder, self.options.revision))

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """See `Judge.judge`. All questions about all clips are one batch."""
        clips = [clip.at_rate(self.options.sample_rate_hz) for clip in clips]
        faults = [self._fault(clip) for clip in clips]
        windows = [
            [] if fault else split(clip.audio, clip.sample_rate_hz, self._window_s) for clip, fault in zip(clips, faults, strict=True)
        ]
        asked = [one for index, clip in enumerate(clips) for one in self._ask(index, clip, windows[index])]
        heard: dict[tuple[int, int], dict[str, RequestOutput]] = {}
        for one, output in zip(asked, self._answers(asked), strict=True):
            heard.setdefault((one.clip, one.window), {})[one.kind] = output
        verdicts: list[Verdict] = []
        for index, (clip, fault) in enumerate(zip(clips, faults, strict=True)):
            parts = [
                (start_s, self._verdict(heard[index, place], len(audio) / clip.sample_rate_hz))
                for place, (start_s, audio) in enumerate(windows[index])
            ]
            verdicts.append(fault or join(parts))
        return verdicts

    def compare(self, pairs: Sequence[tuple[JudgeClip, JudgeClip]]) -> list[Choice | Failed] | None:
        """See `Judge.compare`; only our own listener. Clips are cut to its window."""
        if not self._own:
            return None
        rate_hz = self.options.sample_rate_hz
        most, text = round(self._window_s * rate_hz), question("compare").text
        asked = [
            Asked(row, 0, "compare", text, tuple(clip.at_rate(rate_hz).audio[:most] for clip in pair)) for row, pair in enumerate(pairs)
        ]
        return [parse_choice(output.outputs[0].text) for output in self._answers(asked)]

    def engine_inputs(self, clips: Sequence[JudgeClip]) -> "tuple[list[Any], list[SamplingParams]]":
        """Prompts and sampling as `judge` hands them to its engine for clips no longer than the window (for benchmarks)."""
        asked = [one for index, clip in enumerate(clips) for one in self._ask(index, clip, [(0.0, clip.audio)])]
        asked = [asked[row] for row in self._order(asked)]
        return [self._prompt(one) for one in asked], [self._sampling(one) for one in asked]

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def check_health(self) -> None:
        """See `Judge.check_health`."""
        self.engine.check_health()

    def _fault(self, clip: JudgeClip) -> Failed | None:
        if clip.duration_s < self.options.shortest_s:
            return Failed("too_short", f"{clip.duration_s:.2f} s; the listener wants {self.options.shortest_s:g} s or more")
        if self.options.double_ended and (clip.reference is None or len(clip.reference) != len(clip.audio)):
            return Failed("no_reference", "double_ended needs a clean reference of the clip's length")
        return None

    def _ask(self, index: int, clip: JudgeClip, windows: Sequence[tuple[float, np.ndarray]]) -> list[Asked]:
        asked = []
        for place, (start_s, audio) in enumerate(windows):
            first = round(start_s * clip.sample_rate_hz)
            for kind, text in self._questions[clip.wording].items():
                audios: tuple[np.ndarray, ...] = (audio,)
                if kind == "rate" and self.options.double_ended and clip.reference is not None:
                    audios = (clip.reference[first : first + len(audio)], audio)
                asked.append(Asked(index, place, kind, text, audios))
        return asked

    def _answers(self, asked: Sequence[Asked]) -> "list[RequestOutput]":
        """In the order of the questions, whatever the order in which the engine has them."""
        if not asked:
            return []
        order = self._order(asked)
        answers = self._asked_in_order([asked[row] for row in order])
        return [answer for _, answer in sorted(zip(order, answers, strict=True), key=lambda one: one[0])]

    def _order(self, asked: Sequence[Asked]) -> list[int]:
        """Their rows as the engine is to have them: on a CPU those first that take one token, so that each step has work of one kind and
        encodes many sounds at once (a tenth faster; docs/log.md). On a GPU a clip's questions stay together, and hear it once.
        """
        rows = range(len(asked))
        return list(rows) if torch.cuda.is_available() else sorted(rows, key=lambda row: asked[row].kind in WORDY)

    def _asked_in_order(self, asked: Sequence[Asked]) -> "list[RequestOutput]":
        sampling = [self._sampling(one) for one in asked]
        if not self._own and not self.options.prompt_template:
            rate_hz = self.options.sample_rate_hz
            messages: list[Any] = [answer_messages(one.text, one.audios, rate_hz) for one in asked]
            return self.engine.chat(messages, sampling)
        return self.engine.generate([self._prompt(one) for one in asked], sampling)

    def _prompt(self, asked: Asked) -> Any:
        template, rate_hz = self.options.prompt_template, self.options.sample_rate_hz
        return {
            "prompt": template.replace("{question}", asked.text) if template else prompt(asked.text, len(asked.audios)),
            "multi_modal_data": {"audio": [(audio, rate_hz) for audio in asked.audios]},
        }

    def _sampling(self, asked: Asked) -> "SamplingParams":
        from vllm import SamplingParams

        if asked.kind == "describe":
            options = self.options
            seed = sound_seed(asked.audios[-1]) if options.temperature else None
            return SamplingParams(temperature=options.temperature, top_p=options.top_p, max_tokens=options.max_tokens, seed=seed)
        if asked.kind in WORDY:
            return SamplingParams(temperature=0.0, max_tokens=48)
        return SamplingParams(temperature=0.0, max_tokens=1, logprob_token_ids=list(self._score_tokens.values()))

    def _verdict(self, outputs: "dict[str, RequestOutput]", duration_s: float) -> Verdict:
        """One window's verdict. A description or rating that does not parse fails it; an artefact that does not is told as a dimension."""
        score: float | None = None
        rationale, spans, dimensions = "", tuple[Span, ...](), dict[str, float]()
        for kind, output in outputs.items():
            if kind == "describe":
                words = self._description(output.outputs[0].text)
                if isinstance(words, Failed):
                    return words
                rationale = words
            elif kind == "artefact":
                spans, dimensions["unparsed_spans"] = self._spans(output.outputs[0].text, duration_s)
            else:
                rated = self._rating(output)
                if isinstance(rated, Failed):
                    return Failed(rated.reason, f"{kind}: {rated.detail}")
                if kind == "rate":
                    score = rated.score
                    dimensions |= {"expected": float(rated.score or 0.0), **rated.dimensions}
                else:
                    dimensions[kind] = float(rated.score or 0.0)
        return Scored(score, rationale, dimensions, spans)

    def _description(self, text: str) -> str | Failed:
        if self._own:
            return parse_description(text)
        text = text.strip()
        return text if any(character.isalpha() for character in text) else Failed("unparsable", f"expected words, got {text[:80]!r}")

    def _spans(self, text: str, duration_s: float) -> tuple[tuple[Span, ...], float]:
        answer = parse_artefact(text, duration_s)
        return ((), 1.0) if isinstance(answer, Failed) else (answer.spans, 0.0)

    def _rating(self, output: "RequestOutput") -> Scored | Failed:
        found = output.outputs[0].logprobs
        first = found[0] if found else {}
        return expected_score({score: first[token].logprob for score, token in self._score_tokens.items() if token in first})

    def _one_token(self, text: str) -> int:
        tokens = self.engine.llm.get_tokenizer().encode(text, add_special_tokens=False)
        return tokens[-1]
