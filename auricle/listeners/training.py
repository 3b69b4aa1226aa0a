"""Calibration: a listener learns from labelled clips, first to hear (regression), then to answer (supervised fine-tuning).

The recipe that learned on one core (docs/log.md): AdamW, a regression head alone for the first fifth, then two questions a clip plus half
of that auxiliary loss, exact expectations of scores, augmentation of the recording chain, an exponential average of the weights, linear
decay at the end. Everything random comes from (seed, step): a run that was stopped goes on as if it had not been, and any number of ranks
takes the same steps. The loop itself is `actors.listener_learner`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from auricle.listeners.augmentation import RecordingChains
from auricle.listeners.auxiliary import auxiliary_loss
from auricle.listeners.calibration import TrainingConfig
from auricle.listeners.features import scaled
from auricle.listeners.labels import Labels
from auricle.listeners.lessons import Lesson
from auricle.listeners.listener_module import Heard
from auricle.listeners.processing import AuricleListenerProcessor
from auricle.listeners.turns import Turns, tokenise

Course = Callable[[Sequence[Any], np.random.Generator], list[Lesson]]
"""Lessons about a batch of clips, from their labels."""
Forward = Callable[[Tensor, Tensor, Sequence[Turns]], Heard]
"""`ListenerModule.forward`, through an engine or not."""


class Clips(Protocol):
    """What is learned from: `auricle.listeners.dataset.ClipSet`, or several of them. Arrays are log10 mel power, before scaling."""

    @property
    def features(self) -> Any: ...

    @property
    def references(self) -> Any: ...

    @property
    def lengths(self) -> Any: ...

    @property
    def labels(self) -> Sequence[Any]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Plan:
    """One step: which clips, through which recording chains, and what is asked about them. hearing: only the regression head learns."""

    rows: Int64[np.ndarray, " batch"]
    chains: RecordingChains
    lessons: list[Lesson]
    hearing: bool


def learning_rate_share(step: int, config: TrainingConfig) -> float:
    """The learning rate of a step over the peak: linear warm-up, constant, linear decay to zero."""
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay_steps = max(1.0, config.decay_share * config.steps)
    return rise * min(1.0, (config.steps - step) / decay_steps)


def average_share(step: int, config: TrainingConfig) -> float:
    """By how much the averaged weights move towards the weights after a step."""
    # Early on the average follows quickly, else it would drag the random start along.
    return 1.0 - min(config.average_decay, (1 + step) / (10 + step))


def plan_step(clips: Clips, courses: Mapping[str, Course], step: int, config: TrainingConfig, *, mels: int) -> Plan:
    """The step's plan: a function of the clips and (seed, step) only."""
    rng = np.random.default_rng([config.seed, 1, step])
    rows = batch_rows(len(clips), step, config)
    chains = RecordingChains.draw(rng, len(rows), mels)
    hearing = step < config.hearing_share * config.steps
    labels = [clips.labels[row] for row in rows]
    lessons = [] if hearing else [lesson for course in courses.values() for lesson in course(labels, rng)]
    return Plan(rows, chains, lessons, hearing)


def batch_rows(clips: int, step: int, config: TrainingConfig) -> Int64[np.ndarray, " batch"]:
    """The clips of a step: every epoch is a new order of all clips."""
    batch = min(config.batch, clips)
    per_epoch = max(1, clips // batch)
    order = np.random.default_rng([config.seed, 2, step // per_epoch]).permutation(clips)
    place = step % per_epoch * batch
    return np.sort(order[place : place + batch])


def step_loss(
    forward: Forward,
    plan: Plan,
    clips: Clips,
    processor: AuricleListenerProcessor,
    config: TrainingConfig,
    *,
    rank: int = 0,
    ranks: int = 1,
    device: torch.device | str = "cpu",
) -> Float[Tensor, ""]:
    """This rank's share of the step's loss; shares add up to the loss of one rank alone."""
    own = list(_share(range(len(plan.rows)), rank, ranks))
    turns, weights, sounds = _own_turns(plan, own, processor, rank, ranks)
    features, lengths = _sounds(plan, clips, sounds)
    heard = forward(features.to(device), lengths.to(device), [batch.to(device) for batch in turns])
    loss = features.new_zeros((), device=device)
    damaged = [place for place, row in enumerate(plan.rows[own]) if isinstance(clips.labels[row], Labels)]
    if heard.auxiliary is not None:
        # Of clips that people rated nobody knows what was done to them: the regression head learns nothing from those.
        labels = [clips.labels[row] for row in plan.rows[own][damaged]]
        share = auxiliary_loss(heard.auxiliary.rows(damaged), labels, processor.feature_extractor.clip_s).sum() / len(plan.rows)
        loss = loss + (1.0 if plan.hearing else config.auxiliary_weight) * share
    for batch, weight, ones, others in zip(turns, weights, heard.log_probs, heard.other_log_probs, strict=True):
        shares = batch.shares.to(device)[:, 1:][batch.answered.to(device)]
        loss = loss - weight * torch.lerp(ones, others, shares).sum()
    return loss


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: what is trained; matrices decay, vectors do not."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [{**group, "betas": (0.9, 0.98)} for group in groups if group["params"]]


def _share(items: Sequence, rank: int, ranks: int) -> Sequence:
    return items[rank * len(items) // ranks : (rank + 1) * len(items) // ranks]


def _own_turns(
    plan: Plan, own: list[int], processor: AuricleListenerProcessor, rank: int, ranks: int
) -> tuple[list[Turns], list[float], list[int]]:
    """This rank's turns, the weight of one of their answer tokens, and the sounds they are about: own clips first, as planned."""
    places = {audio: place for place, audio in enumerate(own)}
    turns, weights = [], []
    for lesson in plan.lessons:
        # A rank without an exchange of its own still takes part: under ZeRO 3 every forward pass is collective.
        mine = _share(lesson.exchanges, rank, ranks)
        for one in mine or lesson.exchanges[:1]:
            for audio in one.audios:
                places.setdefault(audio, len(places))
        batch = tokenise(mine or lesson.exchanges[:1], processor)
        turns.append(Turns(batch.input_ids, batch.labels, batch.others, batch.shares, [places[audio] for audio in batch.audios]))
        tokens = int(batch.answered.sum()) if ranks == 1 else _answer_tokens(lesson, processor)
        weights.append(lesson.weight / tokens if mine else 0.0)
    return turns, weights, list(places)


def _answer_tokens(lesson: Lesson, processor: AuricleListenerProcessor) -> int:
    answers = processor.tokenizer([one.answer for one in lesson.exchanges], add_special_tokens=False)["input_ids"]
    return sum(len(ids) + 1 for ids in answers)


def _sounds(plan: Plan, clips: Clips, sounds: list[int]) -> tuple[Float[Tensor, "sounds mels frames"], Int64[Tensor, " sounds"]]:
    """The sounds' scaled features: clips through their recording chains, clean originals (batch + k) as they are."""
    batch = len(plan.rows)
    rows = plan.rows[[audio % batch for audio in sounds]]
    clean = np.array([audio >= batch for audio in sounds])
    power = torch.empty(len(sounds), *clips.features.shape[1:])
    if not clean.all():
        heard = torch.from_numpy(np.asarray(clips.features[rows[~clean]], dtype=np.float32))
        power[torch.from_numpy(~clean)] = plan.chains.apply(heard, np.array(sounds)[~clean])
    if clean.any():
        power[torch.from_numpy(clean)] = torch.from_numpy(np.asarray(clips.references[rows[clean]], dtype=np.float32))
    return scaled(power), torch.from_numpy(np.asarray(clips.lengths)[rows])
