"""`auricle evaluate --judge`: a judge beside people.

table of ratings --> judge (in this process) --> agreement by dimension, files and conditions, with coverage --> table, CSV, JSON lines
                      asked again in held-out wordings, and as other listeners, where it can be
"""

import argparse
import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from auricle.config import build, parse_assignments, read_toml
from auricle.errors import ConfigError
from auricle.files import replacing
from auricle.judging.judge import Judge
from auricle.judging.panel import JudgeConfig
from auricle.judging.placement import judge_of_kind
from auricle.judging.questions_judge import QuestionsJudge
from auricle.judging.registry import build_judge
from auricle.listeners.profiles import PROFILES
from auricle.progress import Progress
from auricle.ratings.agreement import MEASURES, DimensionAgreement, Heard, agreement
from auricle.ratings.asking import ask_judge
from auricle.ratings.reading import read_ratings, rejected_text
from auricle.ratings.record import Ratings
from auricle.ratings.released import Reading, ReleasedMetrics, read_released, released_metrics
from auricle.ratings.robustness import ProfileSpread, WordingEffect, profile_spread, wording_effects
from pipelines.settings import Settings

CROWD = tuple(name for name in PROFILES if name != "vote")


def judge_story(arguments: argparse.Namespace, settings: Settings) -> int:
    """The verb's other story: `--judge` with `--ratings`, or `--answers` alone. Returns the exit status."""
    console = Console()
    output: Path = arguments.output or Path("evaluation")
    output.mkdir(parents=True, exist_ok=True)
    if arguments.answers is not None:
        _answers(arguments.answers, output, console)
    if arguments.judge is None:
        return 0
    if not arguments.ratings:
        raise ConfigError("--judge: beside whom? Give a table of people's ratings with --ratings")
    config = judge_config(arguments.judge, arguments.option, settings)
    tables = [read_ratings(table) for table in arguments.ratings]
    judge, reader = _built(config, settings)
    try:
        for ratings in tables:
            _beside_people(judge, reader, ratings, config.name, arguments, settings, output, console)
    finally:
        judge.close()
        if reader is not None:
            reader.close()
    console.print(f"written: {output}/", soft_wrap=True)
    return 0


def judge_config(asked: str, options: Sequence[str], settings: Settings) -> JudgeConfig:
    """A judge of the panel by name, a kind, or a TOML file with `kind` and `options`; `options` go on top. Raises ConfigError."""
    own = next((judge for judge in settings.panel.judges if judge.name == asked), None)
    if asked.endswith(".toml"):
        values = {"name": Path(asked).stem} | read_toml(Path(asked))
        own = build(JudgeConfig, values, source=asked)
    found = own or judge_of_kind(asked)
    return found.model_copy(update={"options": found.options | parse_assignments(options)})


def _built(config: JudgeConfig, settings: Settings) -> tuple[Judge, Judge | None]:
    """The judge that hears, and the one that reads its words where `config` is such a one."""
    judge = build_judge(config.kind_or_name, config.options, source=f"judge {config.name!r}, options")
    if not config.reads:
        return judge, None
    listener = next((one for one in settings.panel.judges if one.name == config.reads), JudgeConfig(name=config.reads))
    return build_judge(listener.kind_or_name, listener.options), judge


def _beside_people(
    judge: Judge,
    reader: Judge | None,
    ratings: Ratings,
    name: str,
    arguments: argparse.Namespace,
    settings: Settings,
    output: Path,
    console: Console,
) -> None:
    stem = f"{name}-{ratings.table.parent.name}-{ratings.table.stem}"
    if told := rejected_text(ratings):
        console.print(told, style="yellow", highlight=False, soft_wrap=True)
    heard = _ask(judge, reader, ratings, settings, console)
    tables = agreement(heard, resamples=settings.evaluate.resamples, seed=settings.run.seed)
    _print_agreement(tables, heard, f"{name} beside people: {ratings.table}", console)
    summary: dict[str, Any] = {"ratings": str(ratings.table), "rejected": len(ratings.rejected), "failed": failures(heard)}
    if arguments.paraphrases:
        effects = _wordings(judge, reader, ratings, heard, settings, console)
        summary["wordings"] = [asdict(effect) for effect in effects]
    if arguments.profiles:
        spread = _profiles(judge, ratings, heard, settings, console)
        summary["profiles"] = None if spread is None else asdict(spread)
    _write(output, stem, tables, heard, summary)


def _ask(judge: Judge, reader: Judge | None, ratings: Ratings, settings: Settings, console: Console, wording: int = 0) -> list[Heard]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("judging", total=len(ratings.clips))
        return ask_judge(
            judge,
            ratings.clips,
            loudness_lufs=settings.panel.loudness_lufs,
            wording=wording,
            reader=reader,
            progress=lambda done: progress.update(task, completed=done),
        )


def failures(heard: Sequence[Heard]) -> dict[str, int]:
    """Reason -> clips that the judge could not score."""
    return dict(Counter(one.reason for one in heard if one.reason).most_common())


def _overall(heard: Sequence[Heard]) -> np.ndarray:
    return np.array([one.scores.get("mos", np.nan) for one in heard])


def _wordings(
    judge: Judge, reader: Judge | None, ratings: Ratings, first: Sequence[Heard], settings: Settings, console: Console
) -> list[WordingEffect]:
    if judge.wordings < 2:
        raise ConfigError(
            "--paraphrases: this judge asks in one wording only; it goes with judges that ask, such as questions and listener"
        )
    rows = [_overall(first)]
    rows += [_overall(_ask(judge, reader, ratings, settings, console, wording)) for wording in range(1, judge.wordings)]
    effects = wording_effects(np.stack(rows), _people(ratings))
    table = _table(
        "Overall score by wording (the first is the one for rewards)", "wording", "clips", "shift", "difference", "r first", "r people"
    )
    for one in effects:
        figures = (one.shift, one.difference, one.with_first, one.with_people)
        table.add_row(str(one.wording), f"{one.clips} of {one.asked}", *(f"{value:.3f}" for value in figures))
    console.print(table)
    return effects


def _profiles(judge: Judge, ratings: Ratings, first: Sequence[Heard], settings: Settings, console: Console) -> ProfileSpread | None:
    if not isinstance(judge, QuestionsJudge):
        raise ConfigError("--profiles: only judges of the kind `questions` know listeners' profiles")
    scores: dict[str, np.ndarray] = {}
    before = judge.options.profile
    for name in CROWD:
        judge.listen_as(name)
        scores[name] = _overall(first if name == before else _ask(judge, None, ratings, settings, console))
    judge.listen_as(before)
    spreads = np.array([clip.spreads.get("mos", np.nan) for clip in ratings.clips])
    found = profile_spread(scores, _people(ratings), spreads)
    if found is None:
        console.print("profiles: fewer than three clips with a score from every profile and a known spread of votes")
        return None
    table = _table(f"Profiles ({found.clips} of {found.asked} clips)", "profile", "mean", "r people")
    for name in CROWD:
        table.add_row(name, f"{found.means[name]:.2f}", f"{found.pearsons[name]:.3f}")
    console.print(table)
    console.print(
        f"standard deviation over profiles {found.spread:.2f}, of people's votes {found.people:.2f}; clip by clip: Pearson "
        f"{found.pearson:.3f}, Spearman {found.spearman:.3f}",
        highlight=False,
    )
    return found


def _people(ratings: Ratings) -> np.ndarray:
    return np.array([clip.scores.get("mos", np.nan) for clip in ratings.clips])


def _answers(folder: Path, output: Path, console: Console) -> None:
    """The released answers of SpeechQualityLLM under both readings."""
    answers = read_released(folder)
    readings: dict[Reading, list[ReleasedMetrics]] = {reading: released_metrics(answers, reading) for reading in ("published", "strict")}
    for reading, rows in readings.items():
        table = _table(f"{len(answers)} released answers, {reading} reading", "task", "dimension", "coverage", *MEASURES)
        for row in rows:
            table.add_row(row.task, row.dimension, f"{row.n} of {row.total}", *(f"{value:.4f}" for value in row.measures.values()))
        console.print(table)
    with replacing(output / "released.json") as temporary:
        values = {reading: [asdict(row) for row in rows] for reading, rows in readings.items()}
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _print_agreement(tables: Sequence[DimensionAgreement], heard: Sequence[Heard], title: str, console: Console) -> None:
    table = _table(title, "dimension", "level", "coverage", *MEASURES)
    for row in tables:
        name = row.dimension if row.judged == row.dimension else f"{row.dimension} (by its {row.judged})"
        measures = [_figure(row.measures, measure) for measure in MEASURES]
        table.add_row(name, row.level, f"{row.parsed} of {row.rated}", *measures)
    console.print(table)
    texts = [one.text for one in heard if one.text and not one.reason]
    if texts:
        console.print(f"distinct texts: {len(set(texts))} of {len(texts)}", highlight=False)
    for reason, count in failures(heard).items():
        detail = next(one.text for one in heard if one.reason == reason)
        console.print(f"failed: {count} of {len(heard)} {reason}; the first: {detail}", style="yellow", highlight=False, soft_wrap=True)


def _figure(measures: Mapping[str, Any], name: str) -> str:
    found = measures.get(name)
    return "-" if found is None else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _write(output: Path, stem: str, tables: Sequence[DimensionAgreement], heard: Sequence[Heard], summary: dict[str, Any]) -> None:
    with replacing(output / f"{stem}.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dimension", "judged", "level", "rated", "parsed", "coverage", "measure", "value", "low", "high"])
        for row in tables:
            for name, value in row.measures.items():
                shares = [row.rated, row.parsed, f"{row.coverage:.4f}"]
                writer.writerow([row.dimension, row.judged, row.level, *shares, name, value.value, value.low, value.high])
    with replacing(output / f"{stem}.jsonl") as temporary:
        lines = [
            {"file": str(one.clip.path), "people": dict(one.clip.scores), "judge": dict(one.scores), "reason": one.reason, "text": one.text}
            for one in heard
        ]
        temporary.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    with replacing(output / f"{stem}.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    return table
