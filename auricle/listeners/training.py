"""Calibration: a listener learns from labelled clips, first to hear (regression), then to answer (supervised fine-tuning).

The recipe that learned on one core (docs/log.md): AdamW, a regression head alone for the first fifth, then two questions a clip plus half
of that auxiliary loss, stochastic rounding of scores, augmentation of the recording chain, an exponential average of the weights, linear
decay at the end. Everything random comes from (seed, step), so that a run that was stopped goes on as if it had not been.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from auricle.listeners.augmentation import augment
from auricle.listeners.auxiliary import AuxiliaryHead
from auricle.listeners.calibration import TrainingConfig
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import ClipSet
from auricle.listeners.features import scaled
from auricle.listeners.lessons import IGNORED, Lesson, make_lessons
from auricle.listeners.training_state import load_training_state, save_training_state


@dataclass(frozen=True)
class Progress:
    """Where a training stands. loss: mean over the last steps since the previous report."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    elapsed_s: float
    cpu_s: float


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, constant, linear decay to zero."""
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay_steps = max(1.0, config.decay_share * config.steps)
    return config.learning_rate * rise * min(1.0, (config.steps - step) / decay_steps)


def train(
    listener: Listener, clips: ClipSet, config: TrainingConfig, folder: Path, *, report: Callable[[Progress], None] = lambda _: None
) -> Listener:
    """Trains in place, and returns the listener with the averaged weights. Goes on from `folder`'s last checkpoint where there is one."""
    model = listener.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = AuxiliaryHead(model.config.text_config.hidden_size)
    modules = torch.nn.ModuleDict({"model": model, "head": head})
    parameters = list(modules.parameters())
    optimizer = torch.optim.AdamW(_groups(parameters, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.98))
    average = [parameter.detach().clone() for parameter in parameters]
    first = load_training_state(folder, modules, optimizer, average)
    model.train()
    began, began_cpu, losses = time.monotonic(), time.process_time(), []
    for step in range(first, config.steps):
        rate = learning_rate_at(step, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = step_loss(listener, head, clips, step, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.gradient_norm)
        optimizer.step()
        # Early on the average follows quickly, else it would drag the random start along.
        decay = min(config.average_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [parameter.detach() for parameter in parameters], 1.0 - decay)
        losses.append(loss.item())
        last = step + 1 == config.steps
        if last or (step + 1) % config.checkpoint_steps == 0:
            save_training_state(folder, modules, optimizer, average, step + 1)
        if last or (step + 1) % 20 == 0:
            report(
                Progress(step + 1, config.steps, float(np.mean(losses)), rate, time.monotonic() - began, time.process_time() - began_cpu)
            )
            losses.clear()
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    model.eval()
    return listener


def step_loss(listener: Listener, head: AuxiliaryHead, clips: ClipSet, step: int, config: TrainingConfig) -> Tensor:
    """The loss of one step, a function of the weights, the clips and (seed, step) only."""
    rng = np.random.default_rng([config.seed, 1, step])
    rows = _rows(len(clips), step, config)
    labels = [clips.labels[row] for row in rows]
    heard = torch.from_numpy(clips.features[rows].astype(np.float32))
    lengths = torch.from_numpy(clips.lengths[rows])
    tower = listener.model.audio_tower
    tokens = tower(scaled(augment(heard, rng)), lengths)
    auxiliary = head.loss(tokens, labels, listener.clip_s)
    if step < config.hearing_share * config.steps:
        return auxiliary
    loss = config.auxiliary_weight * auxiliary
    for lesson in make_lessons(labels, listener.processor, rng, min(config.pairs, len(rows) - 1)):
        loss = loss + lesson.weight * _answer_loss(listener, lesson, tokens, clips, rows, lengths)
    return loss


def _answer_loss(listener: Listener, lesson: Lesson, tokens: Tensor, clips: ClipSet, rows: np.ndarray, lengths: Tensor) -> Tensor:
    """Mean cross entropy of the answers' tokens."""
    audio = tokens[lesson.audios]
    if any(lesson.references):
        places = [place for place, clean in enumerate(lesson.references) if clean]
        which = [lesson.audios[place] for place in places]
        clean = torch.from_numpy(clips.references[rows[which]].astype(np.float32))
        audio = audio.index_copy(0, torch.tensor(places), listener.model.audio_tower(scaled(clean), lengths[which]))
    model = listener.model
    embeds = model.place_audio(lesson.input_ids, model.get_input_embeddings()(lesson.input_ids), audio)
    # Padding is on the right and attention is causal: no answer token sees any of it, so no mask is needed.
    hidden = model.language_model.model(inputs_embeds=embeds, use_cache=False).last_hidden_state
    answered = lesson.labels[:, 1:] != IGNORED
    # The head is a third of the work: only where there is something to learn.
    logarithms = torch.log_softmax(model.language_model.lm_head(hidden[:, :-1][answered]), dim=-1)
    one, other = (logarithms.gather(1, ids[:, 1:][answered][:, None])[:, 0] for ids in (lesson.labels, lesson.others))
    return -torch.lerp(one, other, lesson.shares[:, 1:][answered]).mean()


def _rows(clips: int, step: int, config: TrainingConfig) -> np.ndarray:
    """The clips of a step: every epoch is a new order of all clips."""
    per_epoch = max(1, clips // config.batch)
    order = np.random.default_rng([config.seed, 2, step // per_epoch]).permutation(clips)
    place = step % per_epoch * config.batch
    return np.sort(order[place : place + config.batch])


def _groups(parameters: Sequence[Tensor], weight_decay: float) -> list[dict]:
    matrices = [parameter for parameter in parameters if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
