"""Trains the small sentiment classifier that comes with Auricle: descriptions of labelled clips in, quality 1-5 out.

    python -m auricle.judging.train_sentiment --output auricle/assets/sentiment

The descriptions are those a listener is calibrated on (auricle.listeners.descriptions): their words follow from what was done to a clip,
and the target is the clip's quality. Sentences are left out at random, the verdict sentence most of all, so that it learns what artefacts
and degrees say, and not verdict words alone. It is a BERT of two layers in Hugging Face's form, with a vocabulary of its own.
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
from jaxtyping import Float, Int
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from auricle.judging.judge import JudgeClip, NoOptions
from auricle.judging.sentiment_judge import SentimentJudge, SentimentOptions, VaderJudge
from auricle.judging.verdict import Scored
from auricle.listeners.dataset import DatasetConfig, labels_from_dict, prepare
from auricle.listeners.descriptions import all_phrases, describe
from auricle.listeners.labels import Labels
from auricle.metrics.agreement import mean_absolute_error, spearman

VOCABULARY = 700
CLASSES = 5
LONGEST = 128


@dataclass(frozen=True)
class Recipe:
    """How it is trained. steps of `batch` texts, each text drawn anew from a random clip's labels."""

    steps: int = 1_200
    batch: int = 64
    learning_rate: float = 2e-3
    drop_verdict: float = 0.35
    drop_sentence: float = 0.15
    seed: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Train, write the checkpoint and its model card, print the report."""
    parser = argparse.ArgumentParser(prog="python -m auricle.judging.train_sentiment", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("auricle/assets/sentiment"), help="checkpoint folder to write")
    parser.add_argument(
        "--labels", type=Path, nargs="*", default=[], help="labels.jsonl of training sets (default: make 2,000 synthetic clips)"
    )
    parser.add_argument("--held-out", type=Path, nargs="*", default=[], help="labels.jsonl of held-out sets")
    parser.add_argument("--cache", type=Path, default=Path("build/listener-data"), help="where sets that have to be made are kept")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    train, held_out = (
        _labels(paths, part, arguments.cache) for paths, part in ((arguments.labels, "train"), (arguments.held_out, "held-out"))
    )
    recipe = Recipe(steps=arguments.steps)
    began = time.process_time()
    tokenizer = make_tokenizer(train, recipe.seed)
    model = fit(tokenizer, train, recipe)
    arguments.output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)
    report = evaluate(arguments.output, held_out)
    report |= {
        "training_clips": len(train),
        "held_out_clips": len(held_out),
        "cpu_seconds": round(time.process_time() - began),
        "steps": recipe.steps,
    }
    (arguments.output / "README.md").write_text(model_card(report, _told(arguments)), encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0


def make_tokenizer(labels: Sequence[Labels], seed: int) -> PreTrainedTokenizerFast:
    """A lower-case WordPiece vocabulary of descriptions; single letters are in it, so that other words are spelled and not lost."""
    rng = np.random.default_rng(seed)
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)])
    core.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    alphabet = list("abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'-")
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator([*all_phrases(), *(describe(one, rng) for one in labels[:2_000])], trainer)
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, core.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=LONGEST
    )


def fit(tokenizer: PreTrainedTokenizerFast, labels: Sequence[Labels], recipe: Recipe) -> BertForSequenceClassification:
    """The trained classifier. The loss is the cross entropy with the two classes beside the quality, weighted by nearness."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    names = [f"{stars} star{'s' if stars > 1 else ''}" for stars in range(1, CLASSES + 1)]
    shape = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=LONGEST, hidden_dropout_prob=0.1, pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(names)), label2id={name: index for index, name in enumerate(names)},
    )  # fmt: skip
    model = BertForSequenceClassification(shape).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1)
    for step in range(recipe.steps):
        drawn = [labels[index] for index in rng.integers(len(labels), size=recipe.batch)]
        tokens = tokenizer([thinned(describe(one, rng), recipe, rng) for one in drawn], padding=True, truncation=True, return_tensors="pt")
        logits = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits
        loss = nn.functional.cross_entropy(logits, two_hot(torch.tensor([one.quality for one in drawn])))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step} of {recipe.steps}: loss {float(loss.detach()):.3f}", file=sys.stderr)
    return model.eval()


def thinned(text: str, recipe: Recipe, rng: np.random.Generator) -> str:
    """The text with sentences left out at random; at least one stays."""
    sentences = text.split(". ")
    limits = [recipe.drop_sentence] * (len(sentences) - 1) + [recipe.drop_verdict]
    kept = [sentence for sentence, limit in zip(sentences, limits, strict=True) if rng.random() >= limit]
    return ". ".join(kept or [sentences[int(rng.integers(len(sentences)))]])


def two_hot(quality: Float[Tensor, " texts"]) -> Float[Tensor, "texts classes"]:
    """Quality 3.4 as 0.6 of class 3 and 0.4 of class 4, so that the expectation is the quality."""
    place = quality.clamp(1, CLASSES) - 1
    low: Int[Tensor, " texts"] = place.floor().long().clamp(max=CLASSES - 2)
    share = (place - low)[:, None]
    return nn.functional.one_hot(low, CLASSES) * (1 - share) + nn.functional.one_hot(low + 1, CLASSES) * share


def evaluate(folder: Path, labels: Sequence[Labels], seed: int = 1) -> dict[str, float]:
    """How well it keeps the ranking of held-out clips by their true descriptions, beside VADER; also without the verdict sentence."""
    rng = np.random.default_rng(seed)
    texts = [describe(one, rng) for one in labels]
    without = [". ".join(text.split(". ")[:-1]) or text for text in texts]
    quality = [one.quality for one in labels]
    rated = [index for index, one in enumerate(labels) if one.pesq is not None]
    judges = {"classifier": SentimentJudge(SentimentOptions(model=str(folder))), "vader": VaderJudge(NoOptions())}
    report: dict[str, float] = {"distinct_descriptions": len(set(texts))}
    for name, judge in judges.items():
        for kind, these in (("", texts), ("_without_verdict", without)):
            scores = [verdict.score or 0.0 for verdict in judge.judge([_clip(text) for text in these]) if isinstance(verdict, Scored)]
            report[f"{name}{kind}_spearman_label"] = spearman(scores, quality)
            report[f"{name}{kind}_spearman_pesq"] = spearman([scores[i] for i in rated], [labels[i].pesq or 0.0 for i in rated])
            report[f"{name}{kind}_mae_label"] = mean_absolute_error(scores, quality)
    return {key: round(value, 3) for key, value in report.items()}


def model_card(report: dict[str, float], arguments: str = "") -> str:
    """The README.md of the checkpoint. arguments: those of the command that made it, with a leading blank."""
    rows = [
        f"| {name}, {text} | "
        + " | ".join(f"{report[f'{key}{kind}_{column}']:.3f}" for column in ("spearman_label", "spearman_pesq", "mae_label"))
        + " |"
        for name, key in (("this classifier", "classifier"), ("VADER", "vader"))
        for text, kind in (("whole description", ""), ("without its verdict sentence", "_without_verdict"))
    ]
    size = [int(report[key]) for key in ("training_clips", "held_out_clips", "steps", "cpu_seconds", "distinct_descriptions")]
    return f"""# Sentiment of listeners' words

Maps a description of how a clip of speech sounds to five classes, 1 to 5 stars; the expectation over the classes is the score. A BERT of
two layers (64 wide) in Hugging Face's form (`AutoModelForSequenceClassification`), with its own WordPiece vocabulary. Made by

    python -m auricle.judging.train_sentiment{arguments}

on descriptions that Auricle's own templates wrote of {size[0]} labelled clips ({size[2]} steps of 64, seed 0, {size[3]} CPU seconds).
No text of others, no recordings.

On the true descriptions of {size[1]} held-out clips (other voices and noises), {size[4]} of them distinct:

| | Spearman with the label | Spearman with PESQ | mean absolute error |
|---|---|---|---|
{chr(10).join(rows)}

What it is not: a judge of words about anything but the sound of speech, or in other languages. For free text by other models name a
general classifier instead, such as nlptown/bert-base-multilingual-uncased-sentiment.
"""


def _told(arguments: argparse.Namespace) -> str:
    """The arguments that the result depends on. Sets are named by their folder, which is a hash of what is in them."""
    told = "".join(
        f" --{name} {' '.join(map(str, paths))}"
        for name, paths in (("labels", arguments.labels), ("held-out", arguments.held_out))
        if paths
    )
    return told + (f" --steps {arguments.steps}" if arguments.steps != Recipe.steps else "")


def _clip(text: str) -> JudgeClip:
    return JudgeClip("text", np.zeros(1, dtype=np.float32), 16_000, text=text)


def _labels(paths: Sequence[Path], part: str, cache: Path) -> list[Labels]:
    if paths:
        lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
        return [labels_from_dict(json.loads(line)["labels"]) for line in lines]
    config = DatasetConfig(clips=2_000, held_out_clips=400)
    return prepare(config, "train" if part == "train" else "held-out", cache, processes=2).labels


if __name__ == "__main__":
    sys.exit(main())
