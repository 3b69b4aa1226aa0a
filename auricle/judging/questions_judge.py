"""SpeechQualityLLM (arXiv 2512.08238) as a judge: an audio language model answers questions about a clip, in forms that can be checked.

    clip (and reference, aligned) --> windows --> questions of the tasks --one batch, grammar held--> answers --parsed strictly--> verdict

Unlike the published one it cannot answer in any other form (the engine decodes within the task's grammar), and nothing is guessed from what
it says: an answer that is not one fails the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from auricle.config import Config
from auricle.judging.engine_options import EngineOptions
from auricle.judging.hashing import content_hash, model_hash, sound_seed
from auricle.judging.judge import Identity, Judge, JudgeClip
from auricle.judging.verdict import Failed, Scored, Span, Verdict
from auricle.listeners.profiles import ProfileName
from auricle.listeners.prompts import prompt
from auricle.listeners.quality import MEANINGS, MOS, NISQA_DIMENSIONS
from auricle.listeners.questions import Question, question
from auricle.listeners.rated_answers import dimensions_needed, parse_rated
from auricle.listeners.windows import join, split
from auricle.listeners.wordings import ABOUT_ONE_DIMENSION, HELD_OUT_WORDINGS, INSTRUCTIONS, Task
from auricle.signals import align

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams

QuestionTask = Literal["mos_numeric", "dim_numeric", "dim_categ", "multi_dim", "explanatory"]
LONGEST_TOKENS: dict[Task, int] = {"mos_numeric": 6, "dim_numeric": 6, "dim_categ": 16, "multi_dim": 96, "explanatory": 256}
"""Longest answers, in tokens of any tokenizer."""


class QuestionsOptions(Config):
    """An audio language model, and the questions that it answers."""

    model: str = ""
    """Checkpoint folder, or the id of any audio model that vLLM serves. Our own listener has to be calibrated on these tasks (README)."""
    revision: str = "main"
    """Branch, tag or commit of a hub id."""
    tasks: tuple[QuestionTask, ...] = ("mos_numeric", "dim_numeric")
    """What is asked. The score is the mean of the overall scores (mos_numeric, multi_dim, explanatory), None without one of them."""
    dimensions: tuple[str, ...] = NISQA_DIMENSIONS[1:]
    """What dim_numeric and dim_categ ask about; each is a dimension of the verdict."""
    double_ended: bool = False
    """Whether the clean reference is heard before the clip, aligned by cross-correlation."""
    max_shift_s: PositiveFloat = 1.0
    """How far the reference may have to be moved, in seconds."""
    profile: ProfileName = "neutral"
    """Who listens: a prefix of the question that listeners calibrated on profiles know."""
    samples: PositiveInt = 1
    """Answers a question, averaged; 1 is the most likely one. Their standard deviation is the dimension `spread`."""
    temperature: NonNegativeFloat = 1.0
    """Of sampling, where there are several answers. Draws are seeded by the clip's content."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus of sampling."""
    constrain: bool = True
    """Whether the engine decodes within the task's grammar. Answers are parsed strictly either way."""
    prompt_template: str = ""
    """For models without a chat template: the whole prompt, with `{question}` and the model's audio placeholder. Empty: chat template."""
    sample_rate_hz: PositiveInt = 16_000
    """Rate at which the model hears."""
    window_s: NonNegativeFloat = 0.0
    """Longest stretch heard at once, in seconds; longer clips are heard in windows. 0: what our own listener says; 10 s for others."""
    shortest_s: PositiveFloat = 0.5
    """Shorter clips are Failed."""
    engine: EngineOptions = EngineOptions()
    """The vLLM engine."""

    @model_validator(mode="after")
    def _consistent(self) -> "QuestionsOptions":
        if not self.tasks:
            raise ValueError(f"tasks is empty; name at least one of {', '.join(LONGEST_TOKENS)}")
        if unknown := [name for name in self.dimensions if name not in MEANINGS]:
            raise ValueError(f"dimensions: {unknown[0]!r} is unknown; choose from {', '.join(MEANINGS)}")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"samples = {self.samples} at temperature 0 are all the same; raise the temperature")
        return self


@dataclass(frozen=True)
class Asked:
    """One question about window `window` of clip `clip`."""

    clip: int
    window: int
    question: Question
    audios: tuple[np.ndarray, ...]


class QuestionsJudge(Judge):
    """See the module. score: the overall one; dimensions: those asked about, and `spread`; rationale, spans: the explanation's."""

    options: QuestionsOptions
    wordings: ClassVar[int] = 3
    """The first is the one for rewards; the others are held out from training, so that they tell how much hangs on the words."""

    def __init__(self, options: QuestionsOptions) -> None:
        from auricle.judging.vllm_engine import is_own_listener, own_window_s, start_engine
        from auricle.listeners.assets import default_listener

        super().__init__(options)
        self._folder = options.model or str(default_listener())
        self._own = is_own_listener(self._folder)
        self._window_s = options.window_s or (own_window_s(self._folder) if self._own else 10.0)
        self._questions = [questions_of(options, wording) for wording in range(self.wordings)]
        self.engine = start_engine(self._folder, options.revision, options.engine, audios=2 if options.double_ended else 1)

    @cached_property
    def identity(self) -> Identity:  # type: ignore[override]
        """See `Judge.identity`."""
        asked = self.options.model_dump(mode="json", exclude={"model", "revision", "engine"})
        texts = [self._text(one) for one in self._questions[0]]
        return Identity(content_hash([texts, asked]), model_hash(self._folder, self.options.revision))

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """See `Judge.judge`. All questions about all clips are one batch."""
        clips = [self._aligned(clip.at_rate(self.options.sample_rate_hz)) for clip in clips]
        faults = [self._fault(clip) for clip in clips]
        asked = [one for index, clip in enumerate(clips) if faults[index] is None for one in self._ask(index, clip)]
        heard: dict[int, dict[int, list[tuple[Question, list[Scored | Failed]]]]] = {}
        for one, output in zip(asked, self._answers(asked), strict=True):
            duration_s = len(one.audios[-1]) / self.options.sample_rate_hz
            answers = [parse_rated(one.question, sample.text, duration_s) for sample in output.outputs]
            heard.setdefault(one.clip, {}).setdefault(one.window, []).append((one.question, answers))
        verdicts: list[Verdict] = []
        for index, (clip, fault) in enumerate(zip(clips, faults, strict=True)):
            starts = [start_s for start_s, _ in split(clip.audio, clip.sample_rate_hz, self._window_s)]
            verdicts.append(fault or join([(starts[window], joined(answers)) for window, answers in sorted(heard[index].items())]))
        return verdicts

    def listen_as(self, profile: ProfileName) -> None:
        """Answer as another listener from now on, on the same engine."""
        self.options = self.options.model_copy(update={"profile": profile})
        self._questions = [questions_of(self.options, wording) for wording in range(self.wordings)]
        self.__dict__.pop("identity", None)

    def close(self) -> None:
        """Free the engine."""
        self.engine.llm_engine.engine_core.shutdown()

    def _fault(self, clip: JudgeClip) -> Failed | None:
        if clip.duration_s < self.options.shortest_s:
            return Failed("too_short", f"{clip.duration_s:.2f} s; the judge wants {self.options.shortest_s:g} s or more")
        if self.options.double_ended and clip.reference is None:
            return Failed("no_reference", "double_ended needs a clean reference")
        return None

    def _aligned(self, clip: JudgeClip) -> JudgeClip:
        """The clip with its reference moved onto it: what is judged stays as it is."""
        if not self.options.double_ended or clip.reference is None or not len(clip.audio):
            return clip
        reference, _ = align(clip.reference, clip.audio, clip.sample_rate_hz, self.options.max_shift_s)
        return replace(clip, reference=reference)

    def _ask(self, index: int, clip: JudgeClip) -> list[Asked]:
        asked = []
        for place, (start_s, audio) in enumerate(split(clip.audio, clip.sample_rate_hz, self._window_s)):
            audios: tuple[np.ndarray, ...] = (audio,)
            if self.options.double_ended and clip.reference is not None:
                first = round(start_s * clip.sample_rate_hz)
                audios = (clip.reference[first : first + len(audio)], audio)
            asked += [Asked(index, place, one, audios) for one in self._questions[clip.wording]]
        return asked

    def _answers(self, asked: Sequence[Asked]) -> "list[RequestOutput]":
        from auricle.judging.vllm_engine import answer_messages

        if not asked:
            return []
        sampling = [self._sampling(one) for one in asked]
        template, rate_hz = self.options.prompt_template, self.options.sample_rate_hz
        if not self._own and not template:
            messages: list[Any] = [answer_messages(self._text(one.question), one.audios, rate_hz) for one in asked]
            return self.engine.chat(messages, sampling, use_tqdm=False)
        prompts: list[Any] = [
            {
                "prompt": template.replace("{question}", self._text(one.question))
                if template
                else prompt(self._text(one.question), len(one.audios)),
                "multi_modal_data": {"audio": [(audio, rate_hz) for audio in one.audios]},
            }
            for one in asked
        ]
        return self.engine.generate(prompts, sampling, use_tqdm=False)

    def _text(self, asked: Question) -> str:
        return asked.text if self._own else asked.text + INSTRUCTIONS[asked.task]

    def _sampling(self, asked: Asked) -> "SamplingParams":
        from vllm import SamplingParams

        from auricle.judging.constraints import structured_outputs

        options = self.options
        several = options.samples > 1
        return SamplingParams(
            n=options.samples,
            temperature=options.temperature if several else 0.0,
            top_p=options.top_p if several else 1.0,
            max_tokens=LONGEST_TOKENS[asked.question.task],
            seed=sound_seed(asked.audios[-1]) if several else None,
            structured_outputs=structured_outputs(asked.question) if options.constrain else None,
        )


def questions_of(options: QuestionsOptions, wording: int) -> list[Question]:
    """What is asked, in one of the judge's wordings: the first trained one, or one that training never sees."""
    asked = []
    for task in options.tasks:
        held_out = wording > 0
        way = (wording - 1) % len(HELD_OUT_WORDINGS[task]) if held_out else 0
        for name in options.dimensions if task in ABOUT_ONE_DIMENSION else (None,):
            asked.append(question(task, name, way, double_ended=options.double_ended, profile=options.profile, held_out=held_out))
    return asked


def joined(answers: Sequence[tuple[Question, Sequence[Scored | Failed]]]) -> Verdict:
    """One window's verdict from the samples of all its questions. A dimension that several tasks score is their mean.

    Failed where a question has no answer that parses; where some samples do, the dimension `parsed` tells their share.
    """
    found: dict[str, list[float]] = {}
    words: list[str] = []
    spans: list[Span] = []
    spreads: list[float] = []
    parsed, total = 0, 0
    for asked, samples in answers:
        scored = [sample for sample in samples if isinstance(sample, Scored)]
        parsed, total = parsed + len(scored), total + len(samples)
        if not scored:
            fault = next(sample for sample in samples if isinstance(sample, Failed))
            return Failed(fault.reason, f"{asked.task}{f' of {asked.dimension}' if asked.dimension else ''}: {fault.detail}")
        for name in dimensions_needed(asked):
            values = [sample.dimensions.get(name, sample.score) for sample in scored]
            found.setdefault(name, []).append(float(np.mean([value for value in values if value is not None])))
        spreads.append(float(np.std([sample.score for sample in scored if sample.score is not None])))
        if asked.task == "explanatory":
            words.append(scored[0].rationale)
            spans += scored[0].spans
    dimensions = {name: float(np.mean(values)) for name, values in found.items()}
    if total > len(answers):
        dimensions |= {"spread": float(np.mean(spreads)), "parsed": parsed / total}
    return Scored(dimensions.get(MOS), " ".join(words), dimensions, tuple(spans))
