"""Trains GSRM's small text model: features of spoilt clips in, evidence, judgement and score out.

    python -m auricle.gsrm.train --output runs/gsrm
    python -m auricle.gsrm.train --output runs/no-pitch --no-pitch         # the paper's ablations
    python -m auricle.gsrm.train --output runs/no-log --form judgement

Supervised fine-tuning on the answers that `lessons` writes, as in GSRM (arXiv 2602.13891), stage one: cross entropy on the answer alone.
The clips are made first (an eighth of a second each) and kept; `--speech` and `--noise` add recordings to espeak-ng's voices.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from auricle.errors import told_in_a_line
from auricle.gsrm.answers import Answer, answer_text
from auricle.gsrm.corpus import records
from auricle.gsrm.drills import drills
from auricle.gsrm.findings import Findings, findings_of
from auricle.gsrm.lessons import Record, true_answer, varied
from auricle.gsrm.method import Method
from auricle.gsrm.normalisation import fit_norms
from auricle.gsrm.rendering import rendered
from auricle.gsrm.text_model import Lesson, answer_states, lesson_tokens, make_tokenizer, new_model, save_judge
from auricle.listeners.calibration import DatasetConfig


@dataclass(frozen=True)
class Recipe:
    """How it is trained. steps of `batch` lessons, the shorter and longer ones sorted into batches of about one length; versions: how often
    a clip is written down, each time a little otherwise (see `lessons.varied`); drills: made-up tables (see `drills`); grade_weight: of the
    tokens of judgement and score in the loss, where those of evidence have 1."""

    steps: int = 3_000
    batch: int = 32
    versions: int = 2
    drills: int = 6_000
    grade_weight: float = 3.0
    learning_rate: float = 4e-3
    width: int = 96
    layers: int = 2
    heads: int = 4
    seed: int = 0


@told_in_a_line("python -m auricle.gsrm.train")
def main(argv: Sequence[str] | None = None) -> int:
    """Make or read the records, train, write the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m auricle.gsrm.train", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/gsrm"), help="checkpoint folder to write (default: runs/gsrm)")
    parser.add_argument("--speech", type=Path, nargs="*", default=[], help="folders of clean speech beside espeak-ng's voices")
    parser.add_argument("--noise", type=Path, nargs="*", default=[], help="folders of recorded noise")
    parser.add_argument("--clips", type=int, default=3_000, help="clips to learn from (default: 3,000)")
    parser.add_argument("--cache", type=Path, default=Path("corpus/gsrm"), help="where records are kept (default: corpus/gsrm)")
    parser.add_argument("--processes", type=int, default=2, help="processes that make records (default: 2)")
    parser.add_argument(
        "--form", choices=("evidence", "judgement", "score"), default="evidence", help="what is said before the score (default: evidence)"
    )
    parser.add_argument("--no-pitch", action="store_true", help="leave pitch out of features and evidence")
    parser.add_argument("--most-vowels", type=int, default=0, help="vowels with a line of their own (default: 0, shares in words only)")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help=f"of {Recipe.batch} lessons (default: {Recipe.steps:,})")
    parser.add_argument("--width", type=int, default=Recipe.width, help=f"of the model (default: {Recipe.width})")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    data = DatasetConfig(speech=tuple(arguments.speech), noise=tuple(arguments.noise), clips=arguments.clips)
    learned = records(data, "train", arguments.cache, processes=arguments.processes, progress=_told)
    began = time.process_time()
    norms = fit_norms([record.measured for record in learned])
    method = Method(norms=norms, form=arguments.form, pitch=not arguments.no_pitch, window_s=data.clip_s, most_vowels=arguments.most_vowels)
    recipe = Recipe(steps=arguments.steps, width=arguments.width, seed=arguments.seed)
    model, tokenizer = train(learned, method, recipe)
    save_judge(arguments.output, model, tokenizer, method)
    size = sum(path.stat().st_size for path in arguments.output.iterdir())
    told = {"clips": len(learned), "steps": recipe.steps, "cpu_seconds": round(time.process_time() - began), "bytes": size}
    print(json.dumps(told | {"parameters": sum(tensor.numel() for tensor in model.parameters())}))
    return 0


def pair(record: Record, method: Method, rng: np.random.Generator | None = None) -> tuple[str, str]:
    """The rendering that is asked and the answer that is true. rng: of a version that is a little otherwise."""
    findings = findings_of(record.measured, method.norms)
    if rng is not None:
        findings = varied(findings, rng)
    return _texts(findings, true_answer(record, findings, method.form, pitch=method.pitch, rng=rng), method)


def train(learned: Sequence[Record], method: Method, recipe: Recipe) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The trained model and its tokenizer."""
    lessons, tokenizer = _lessons(learned, method, recipe)
    model = new_model(tokenizer, width=recipe.width, layers=recipe.layers, heads=recipe.heads, seed=recipe.seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.08)
    rng = np.random.default_rng(recipe.seed)
    for step, rows in zip(range(recipe.steps), _batches(lessons, recipe, rng), strict=False):
        loss = answer_loss(model, *_padded([lessons[row] for row in rows], tokenizer.pad_token_id, recipe.grade_weight))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step} of {recipe.steps}: loss {float(loss.detach()):.3f}", file=sys.stderr, flush=True)
    return model.eval(), tokenizer


def answer_loss(model: LlamaForCausalLM, input_ids: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of the cross entropy of the answers' tokens; the head is not computed where nothing is learned (weight 0)."""
    start = int((weights > 0).any(dim=0).nonzero()[0]) - 1
    hidden, told, wanted = answer_states(model, input_ids[:, :-1], start), input_ids[:, start + 1 :], weights[:, start + 1 :]
    losses = nn.functional.cross_entropy(model.lm_head(hidden[wanted > 0]), told[wanted > 0], reduction="none")
    return (losses * wanted[wanted > 0]).sum() / wanted.sum()


def _lessons(learned: Sequence[Record], method: Method, recipe: Recipe) -> tuple[list[Lesson], PreTrainedTokenizerFast]:
    """Lessons from clips, and from drills where there is evidence that can be quoted; and the tokenizer of all their texts."""
    rng = np.random.default_rng([recipe.seed, 12])
    pairs = [pair(record, method, rng) for _ in range(recipe.versions) for record in learned]
    quoting = drills(learned, recipe.drills, recipe.seed, pitch=method.pitch) if method.form == "evidence" else []
    made_up = [_texts(findings, answer, method) for findings, answer in quoting]
    tokenizer = make_tokenizer(text for both in pairs + made_up for text in both)
    lessons = lesson_tokens(tokenizer, *zip(*pairs, strict=True))
    if made_up:
        lessons += lesson_tokens(tokenizer, *zip(*made_up, strict=True), quotes=True)
    return lessons, tokenizer


def _texts(findings: Findings, answer: Answer, method: Method) -> tuple[str, str]:
    return rendered(findings, **method.shown), answer_text(answer)


def _batches(lessons: Sequence[Lesson], recipe: Recipe, rng: np.random.Generator):
    """Rows of batch after batch, epoch after epoch; neighbours in length go together."""
    lengths = np.array([len(lesson.ids) for lesson in lessons])
    while True:
        order = np.argsort(lengths + rng.uniform(0, 30, len(lengths)))
        starts = rng.permutation(max(1, len(order) // recipe.batch)) * recipe.batch
        yield from (order[start : start + recipe.batch].tolist() for start in starts)


def _padded(batch: Sequence[Lesson], pad_id: int, grade_weight: float) -> tuple[Tensor, Tensor]:
    """Token ids padded on the right (causal attention never looks there), and the weight of each in the loss."""
    longest = max(len(lesson.ids) for lesson in batch)
    input_ids = torch.full((len(batch), longest), pad_id)
    weights = torch.zeros((len(batch), longest))
    for row, lesson in enumerate(batch):
        input_ids[row, : len(lesson.ids)] = torch.tensor(lesson.ids)
        weights[row, : len(lesson.ids)] = torch.tensor(lesson.learned, dtype=torch.float32)
        weights[row, lesson.graded : len(lesson.ids)] *= grade_weight
    return input_ids, weights


def _told(done: int, total: int) -> None:
    print(f"{min(done, total)} of {total} records", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
