"""The settings of `auricle reason`: clips, questions, rewards, sampling, learner, and when it is stopped.

Apart from the modules that they configure, so that the command line can print them without importing any of those.
"""

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from auricle.config import Config
from auricle.judging.engine_options import EngineOptions
from auricle.learning.advantages import AdvantageConfig
from auricle.learning.config import EngineConfig
from auricle.listeners.calibration import CourseName, TrainableConfig

Part = Literal["score", "artefact", "span", "words", "format"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The columns of an answer's reward. Which of them count depends on the question (`rewards.applies`)."""


class QuestionConfig(Config):
    """What is asked, of which clips."""

    shares: dict[Literal["artefact", "score", "dimension", "describe"], NonNegativeFloat] = {
        "artefact": 0.7,
        "score": 0.12,
        "dimension": 0.1,
        "describe": 0.08,
    }
    """How often each kind of question is asked, up to a factor."""
    local_share: float | None = Field(default=None, ge=0, le=1)
    """Share of clips whose main artefact has a place in time; None: as they come (a fifth of a prepared set). Only they teach spans. Drawn
    above their own share, what they say about the name counts less by as much: else the listener begins to name local artefacts everywhere
    (docs/log.md)."""
    dev_clips: PositiveInt = 200
    """The last so many clips of the training set are not learned from: measured at every checkpoint, for choices."""
    first_wording_share: float = Field(default=0.5, ge=0, le=1)
    """How often a question is asked in the wording that judges use; else in any."""


class AnswerRewardConfig(Config):
    """What an answer earns. Every part lies in 0-1 and is divided by its spread over the step before it is weighted."""

    weights: dict[Part, float] = {
        "score": 1.0,
        "artefact": 0.7,
        "span": 1.0,
        "words": 1.0,
        "format": 0.3,
    }
    """Weight of each part; a part that is not named has none."""
    score: Literal["rbf", "l2"] = "rbf"
    """rbf: exp(-(error / score_width)^2). l2: 1 - (error / 4)^2, under which judges collapse to one score (GSRM, arXiv 2602.13891, 4.4)."""
    score_width: PositiveFloat = 0.8
    """Error in scores (of 1-5) at which the rbf reward has fallen to 1/e."""
    span_margin_s: NonNegativeFloat = 0.0
    """Times earn the mean of their IoU and of the IoU of both sides' spans made longer by so much at either end, in seconds: near misses
    earn something. 0: the IoU alone."""
    similarity: str = "claims"
    """How a description is compared with the true one. `claims`: F1 of the artefacts that they name, and the distance of their verdicts;
    or a sentence encoder of a hub, such as sentence-transformers/all-MiniLM-L6-v2 (arXiv 2603.10175)."""


class AnswerConfig(Config):
    """The pool that answers: vLLM engines with the weights of the version that the gate grants."""

    actors: PositiveInt = 1
    """Number of engines."""
    num_cpus: float = 0.5
    """Logical CPUs of each."""
    num_gpus: float = 0.0
    """GPUs of each."""
    resources: dict[str, float] = {}
    """Further Ray resources of each, such as {"rollout": 1} to pin the pool to a kind of node."""
    temperature: PositiveFloat = 0.5
    """Of the sampled answers. At 1 sampled answers came to earn more while the most likely one, which is the one that is used, earned less
    (docs/log.md): a sharper distribution is rewarded, too. Below 1 the samples lie closer to it."""
    max_tokens: PositiveInt = 80
    """Longest answer, in tokens; a longer one is cut off and does not parse."""
    gate_timeout_s: PositiveFloat = 900.0
    """Longest time without a new policy version, in seconds, while one is waited for."""
    engine: EngineOptions = EngineOptions(max_model_len=256, cache_mib=64, max_num_seqs=64)
    """The vLLM engine."""


class AnswerLearnerConfig(EngineConfig):
    """GRPO on the answers' tokens (Shao et al., arXiv 2402.03300, equation 3)."""

    lr: float = Field(default=1e-4, gt=0)
    """Learning rate of AdamW. The paper's is 5e-6, for 7 B parameters."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """Clip range of the probability ratio of a token."""
    epochs: PositiveInt = 1
    """Passes over the rows of a step."""
    kl_beta: NonNegativeFloat = 0.02
    """Weight of the KL divergence to the frozen calibrated listener (the k3 estimator, never negative)."""
    anchor_gamma: NonNegativeFloat = 0.5
    """Weight of calibration's own loss on the clips of the step: true answers to a long and a short question about each. 0: none."""
    anchor_clips: NonNegativeInt = 0
    """Clips a step that the anchor teaches, drawn from all that are learned from as in calibration; 0: those of the step's answers. They
    cost a tenth of what as many clips with sampled answers do."""
    anchor_courses: dict[CourseName, NonNegativeFloat] = {"calibration": 1.0, "artefacts": 1.0}
    """What the anchor teaches of its own clips (`calibrate.courses`), with the weight of each."""
    decay_share: float = Field(default=0.3, ge=0, le=1)
    """Last part of the steps over which the learning rate falls to zero, 0-1."""
    advantages: AdvantageConfig = AdvantageConfig(credit_weight=0.0)
    """Baseline and scale; the group's own mean is what makes it GRPO."""


class AlarmConfig(Config):
    """When answers are said to have collapsed. Each measure is a mean over `window` steps; 0 switches an alarm off."""

    window: PositiveInt = 12
    """Steps over which answers are counted; the first window is what later ones are compared with."""
    one_score: float = Field(default=0.9, ge=0, le=1)
    """Largest share that one digit may have among the answers to questions for a score."""
    entropy: float = Field(default=0.25, ge=0, le=1)
    """Smallest entropy of an answer's tokens, as a share of that at the start."""
    distinct: float = Field(default=0.25, ge=0, le=1)
    """Smallest share of distinct answers in words, as a share of that at the start."""
    unparsable: float = Field(default=0.2, ge=0, le=1)
    """Largest share of answers that do not parse."""
    stop: bool = True
    """Whether an alarm stops the run; false only writes it down."""


class ReasonLimits(Config):
    """What is held out of the reward and must not fall."""

    every: PositiveInt = 50
    """Steps between two measurements on the dev clips; a checkpoint is written at each."""
    tolerance: dict[str, NonNegativeFloat] = {"expected": 0.02, "comparison": 0.04}
    """Falls that are borne, on dev clips. expected: closeness of the expected score (0-1). comparison: right choices between two clips."""
    patience: PositiveInt = 2
    """Consecutive measurements with one of them fallen that stop the run."""
    stop: bool = True
    """Whether they stop the run."""


class ReasonDomain(Config):
    """All of `[reason]` that is not about the job's size."""

    listener: Path | None = None
    """Checkpoint folder of the calibrated listener, which is also the frozen reference; unset: the one that comes with Auricle."""
    clips: tuple[Path, ...] = ()
    """Folders of prepared labelled clips (features.npy, labels.jsonl). None: those of `calibrate.data`, prepared in `calibrate.cache`."""
    questions: QuestionConfig = QuestionConfig()
    rewards: AnswerRewardConfig = AnswerRewardConfig()
    answers: AnswerConfig = AnswerConfig()
    trainable: TrainableConfig = TrainableConfig()
    learner: AnswerLearnerConfig = AnswerLearnerConfig()
    alarm: AlarmConfig = AlarmConfig()
    limits: ReasonLimits = ReasonLimits()
