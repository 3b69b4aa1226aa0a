"""Trains GSRM's small text model: features of spoilt clips in, evidence, judgement and score out.

    python -m auricle.gsrm.train --output auricle/assets/gsrm
    python -m auricle.gsrm.train --output /tmp/no-pitch --no-pitch         # the paper's ablations
    python -m auricle.gsrm.train --output /tmp/no-log --form judgement

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

from auricle.gsrm.answers import answer_text
from auricle.gsrm.corpus import records
from auricle.gsrm.findings import findings_of
from auricle.gsrm.lessons import Record, true_answer
from auricle.gsrm.method import Method
from auricle.gsrm.normalisation import fit_norms
from auricle.gsrm.rendering import rendered
from auricle.gsrm.text_model import lesson_tokens, make_tokenizer, new_model, save_judge
from auricle.listeners.calibration import DatasetConfig

IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """How it is trained. steps of `batch` pairs, the shorter and longer ones sorted into batches of about one length."""

    steps: int = 1_500
    batch: int = 16
    learning_rate: float = 4e-3
    width: int = 64
    layers: int = 2
    seed: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Make or read the records, train, write the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m auricle.gsrm.train", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/gsrm"), help="checkpoint folder to write (default: runs/gsrm)")
    parser.add_argument("--speech", type=Path, nargs="*", default=[], help="folders of clean speech beside espeak-ng's voices")
    parser.add_argument("--noise", type=Path, nargs="*", default=[], help="folders of recorded noise")
    parser.add_argument("--clips", type=int, default=3_000, help="clips to learn from (default: 3,000)")
    parser.add_argument("--cache", type=Path, default=Path("corpus/gsrm"), help="where records are kept")
    parser.add_argument("--processes", type=int, default=2, help="processes that make records")
    parser.add_argument("--form", choices=("evidence", "judgement", "score"), default="evidence", help="what is said before the score")
    parser.add_argument("--no-pitch", action="store_true", help="leave pitch out of features and evidence")
    parser.add_argument("--most-vowels", type=int, default=0, help="vowels with a line of their own (default: 0, shares in words only)")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=0, help="of weights and order")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    data = DatasetConfig(speech=tuple(arguments.speech), noise=tuple(arguments.noise), clips=arguments.clips)
    learned = records(data, "train", arguments.cache, processes=arguments.processes, progress=_told)
    began = time.process_time()
    norms = fit_norms([record.measured for record in learned])
    method = Method(norms=norms, form=arguments.form, pitch=not arguments.no_pitch, window_s=data.clip_s, most_vowels=arguments.most_vowels)
    recipe = Recipe(steps=arguments.steps, seed=arguments.seed)
    model, tokenizer = train(learned, method, recipe)
    save_judge(arguments.output, model, tokenizer, method)
    size = sum(path.stat().st_size for path in arguments.output.iterdir())
    told = {"clips": len(learned), "steps": recipe.steps, "cpu_seconds": round(time.process_time() - began), "bytes": size}
    print(json.dumps(told | {"parameters": sum(tensor.numel() for tensor in model.parameters())}))
    return 0


def pair(record: Record, method: Method) -> tuple[str, str]:
    """The rendering that is asked and the answer that is true."""
    findings = findings_of(record.measured, method.norms)
    answer = true_answer(record, findings, method.form, pitch=method.pitch)
    return rendered(findings, pitch=method.pitch, most_vowels=method.most_vowels), answer_text(answer)


def train(learned: Sequence[Record], method: Method, recipe: Recipe) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The trained model and its tokenizer."""
    pairs = [pair(record, method) for record in learned]
    tokenizer = make_tokenizer(text for both in pairs for text in both)
    tokens = lesson_tokens(tokenizer, [asked for asked, _ in pairs], [answer for _, answer in pairs])
    model = new_model(tokenizer, width=recipe.width, layers=recipe.layers, seed=recipe.seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.08)
    rng = np.random.default_rng(recipe.seed)
    for step, rows in zip(range(recipe.steps), _batches(tokens, recipe, rng), strict=False):
        input_ids, labels = _padded([tokens[row] for row in rows], tokenizer.pad_token_id)
        loss = answer_loss(model, input_ids, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step} of {recipe.steps}: loss {float(loss.detach()):.3f}", file=sys.stderr, flush=True)
    return model.eval(), tokenizer


def answer_loss(model: LlamaForCausalLM, input_ids: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the answers' tokens; the head is not computed where nothing is learned."""
    hidden = model.model(input_ids=input_ids[:, :-1]).last_hidden_state
    wanted = labels[:, 1:] != IGNORED
    return nn.functional.cross_entropy(model.lm_head(hidden[wanted]), labels[:, 1:][wanted])


def _batches(tokens: Sequence[tuple[list[int], int]], recipe: Recipe, rng: np.random.Generator):
    """Rows of batch after batch, epoch after epoch; neighbours in length go together."""
    lengths = np.array([len(ids) for ids, _ in tokens])
    while True:
        order = np.argsort(lengths + rng.uniform(0, 30, len(lengths)))
        starts = rng.permutation(max(1, len(order) // recipe.batch)) * recipe.batch
        yield from (order[start : start + recipe.batch].tolist() for start in starts)


def _padded(batch: Sequence[tuple[list[int], int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids padded on the right (causal attention never looks there), and labels without question and padding."""
    longest = max(len(ids) for ids, _ in batch)
    input_ids = torch.full((len(batch), longest), pad_id)
    labels = torch.full((len(batch), longest), IGNORED)
    for row, (ids, asked) in enumerate(batch):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        labels[row, asked : len(ids)] = torch.tensor(ids[asked:])
    return input_ids, labels


def _told(done: int, total: int) -> None:
    print(f"{min(done, total)} of {total} records", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
