"""Who hacks whom: the same fine-tuning with one panel after the other, and every judge's opinion of every outcome.

    python -m benchmarks.panels labelled   --corpus corpus/A --seeds 0,1,2
    python -m benchmarks.panels adaptation --corpus corpus/B --labelled-corpus corpus/A --questions runs/asked/listener --gsrm runs/gsrm \\
        --reasoned runs/reasoned/listener

Arms, each with the same scenes, seeds, steps and so reward calls: `dnsmos` (DNSMOS alone), `sentiment` (description -> sentiment, LR-AVSE),
`questions` (SpeechQualityLLM), `gsrm` (GSRM), `reasoned` (a listener calibrated and reasoned), each with the checkpoint given for it, and
`composite` (the listener, its words, a double-ended listener where training has references, and DNSMOS, less half a standard deviation of
their disagreement); `whole` has PESQ and STOI besides, where training has references, and gives metrics the larger vote (WHOLE_WEIGHTS).
`composite+guard` is the checkpoint of the composite run that its guard liked best; all others are the last one.
`anchor` makes the steps of the sentiment arm with every advantage clamped to nothing: what the labels do by themselves, at equal steps.
`supervised` (--control) learns from labels for as long as the composite. A judge that is not there is left out, and said so;
--arm NAME=TOML adds or replaces one.

labelled, adaptation: as in benchmarks/gain.py. Held-out `eval` scenes are scored once, at the end, by metrics and by every judge of every
arm. Prints one table: mean change to the pretrained enhancer with a 95 % interval for other seeds and other speakers; a star where the arm
was rewarded by that score. All figures go to OUTPUT/SETTING/panels.json, with each seed's means.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.enhancers.assets import default_enhancer
from benchmarks.arms import (
    PRETRAINED,
    ArmError,
    best_enhancer,
    evaluated,
    finetuned,
    interval_text,
    last_enhancer,
    minutes_of,
    read_rows,
    show_long,
    show_wide,
    summarise,
    supervised,
)
from benchmarks.gain import NO_REWARD

METRICS = ("pesq", "stoi", "si_sdr", "dnsmos_ovrl")
COMPOSITE, WHOLE, GUARDED, CONTROL, ANCHOR = "composite", "whole", "composite+guard", "supervised", "anchor"
WHOLE_WEIGHTS = {"sentiment": 0.5, "dnsmos": 2.0, "pesq": 2.0}
"""Votes in the arm `whole`; those that are not named have 1. Chosen on dev scenes (docs/log.md)."""
DEADLINE = "deadline_s=120.0"
PATIENCE = ("reward.timeout_s=300", "finetune.step_timeout_s=500")


@dataclass(frozen=True)
class Arm:
    """A panel, and what else is set. judges: TOML; rewards: the columns of the table that the arm is rewarded by."""

    judges: str
    rewards: tuple[str, ...]
    settings: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    arguments = _arguments(argv)
    folder = arguments.output / arguments.setting
    arms, notes = arms_of(arguments)
    pretrained = arguments.enhancer or default_enhancer()
    tables = []
    for seed in (int(seed) for seed in arguments.seeds.split(",")):
        tables.append(one_seed(arguments, arms, notes, pretrained, folder / f"seed-{seed}", seed))
        # After every seed, so that a comparison that is stopped has said what it knows.
        names = [*arms, *([GUARDED] if COMPOSITE in arms else []), *([CONTROL] if arguments.control else [])]
        results = summarise([row for table in tables for row in read_rows(table)], names)
        tell(results, arms, notes, f"{arguments.setting}, {len(tables)} seeds", folder)
    return 0


def arms_of(arguments: argparse.Namespace) -> tuple[dict[str, Arm], list[str]]:
    """The arms that can be run, and why others cannot."""
    labelled = arguments.setting == "labelled"
    model = f'model="{arguments.listener}", ' if arguments.listener else ""
    listener = f'{{name="listener", {DEADLINE}, options={{{model}ask=["describe", "rate"]}}}}'
    words = f'{{name="listener", {DEADLINE}, weights={{}}, options={{{model}ask=["describe"]}}}}'
    sentiment = f'{{name="sentiment", reads="listener", {DEADLINE}}}'
    dnsmos = f'{{name="dnsmos", {DEADLINE}, options={{fast=true}}}}'
    pair = f'{{name="pair", kind="listener", {DEADLINE}, options={{{model}double_ended=true, ask=["rate"]}}}}'
    together = [listener, sentiment, *([pair] if labelled else []), dnsmos]
    heard = ("listener", "sentiment", "dnsmos", "dnsmos_ovrl", *(("pair",) if labelled else ()))
    penalty = f"learner.advantages.disagreement_penalty={arguments.penalty}"
    metrics = [f'{{name="{name}", kind="{name}", {DEADLINE}}}' for name in ("pesq", "stoi")]
    whole = [_voting(judge) for judge in [*together, *metrics]]
    found = {
        "dnsmos": Arm(f"[{dnsmos}]", ("dnsmos", "dnsmos_ovrl")),
        "sentiment": Arm(f"[{words}, {sentiment}]", ("sentiment",)),
        ANCHOR: Arm(f"[{words}, {sentiment}]", (), (NO_REWARD,)),
        "questions": Arm(_judge("questions", "questions", arguments.questions, ', tasks=["mos_numeric"]'), ("questions",)),
        "gsrm": Arm(_judge("gsrm", "gsrm", arguments.gsrm), ("gsrm",)),
        "reasoned": Arm(_judge("reasoned", "listener", arguments.reasoned, ', ask=["rate"]'), ("reasoned",)),
        COMPOSITE: Arm(f"[{', '.join(together)}]", heard, (penalty,)),
    }
    if labelled:
        found[WHOLE] = Arm(f"[{', '.join(whole)}]", (*heard, "pesq", "stoi"), (penalty,))
    for given in arguments.arm:
        name, _, judges = given.partition("=")
        found[name] = Arm(judges, (name,))
    if not labelled and not arguments.labelled_corpus:
        del found[ANCHOR]  # there is none, and nothing would be learned from
    wanted = arguments.arms.split(",") if arguments.arms else list(found)
    own = {one.partition("=")[0] for one in arguments.arm}
    missing = [
        name for name in ("questions", "gsrm", "reasoned") if getattr(arguments, name) is None and name in wanted and name not in own
    ]
    notes = [f"{name}: no checkpoint given with --{name}; left out" for name in missing]
    if not labelled and WHOLE in wanted:
        notes.append("whole: training has no references here; left out")
    if not labelled and COMPOSITE in wanted:
        notes.append("composite: without a double-ended listener, since training has no references here")
    return {name: found[name] for name in wanted if name in found and name not in missing}, notes


def _judge(name: str, kind: str, model: Path | None, more: str = "") -> str:
    """A panel of one judge, in TOML."""
    return f'[{{name="{name}", kind="{kind}", {DEADLINE}, options={{model="{model}"{more}}}}}]'


def _voting(judge: str) -> str:
    """A judge in TOML, with its vote in the arm `whole`."""
    name = tomllib.loads(f"judge = {judge}")["judge"]["name"]
    return f"{judge[:-1]}, weights={{score={WHOLE_WEIGHTS[name]}}}}}" if name in WHOLE_WEIGHTS else judge


def opinions_of(arms: Mapping[str, Arm], arguments: argparse.Namespace) -> str:
    """The panel of the evaluation: every judge of every arm, in TOML. (Of a judge without a vote there is no column.)"""
    model = f'model="{arguments.listener}", ' if arguments.listener else ""
    judges = [
        f'{{name="listener", {DEADLINE}, options={{{model}ask=["describe", "rate"]}}}}',
        f'{{name="sentiment", reads="listener", {DEADLINE}}}',
        f'{{name="pair", kind="listener", {DEADLINE}, options={{{model}double_ended=true, ask=["rate"]}}}}',
        f'{{name="dnsmos", {DEADLINE}, options={{fast=true}}}}',
    ]
    own = [arm.judges.strip()[1:-1] for name, arm in arms.items() if name not in ("dnsmos", "sentiment", ANCHOR, COMPOSITE, WHOLE)]
    return f"[{', '.join([*judges, *own])}]"


def one_seed(arguments: argparse.Namespace, arms: dict[str, Arm], notes: list[str], pretrained: Path, folder: Path, seed: int) -> Path:
    """All arms of one seed and their evaluation; returns the table of scenes. An arm that breaks is taken out of `arms`, and noted."""
    labelled = arguments.setting == "labelled"
    anchor = [] if labelled else ["learner.anchor_gamma=0"]
    if not labelled and arguments.labelled_corpus:
        anchor = [f"scenes.labelled={arguments.labelled_corpus}"]
    targets = [f"scenes.{split}_targets={'true' if labelled else 'false'}" for split in ("train", "dev")]
    common = [f"run.seed={seed}", f"scenes.folder={arguments.corpus}", f"finetune.enhancer={pretrained}", *targets, *anchor]
    # All arms make the same number of calls: no guard stops one, and no check refuses one. Both are told in the runs' folders.
    common += ["guard.stop=false", "check.enforce=false", *PATIENCE, *arguments.assignments]
    enhancers = {PRETRAINED: pretrained}
    for name, arm in list(arms.items()):
        try:
            run = finetuned(folder / name, arguments.preset, [*common, f"panel.judges={arm.judges}", *arm.settings])
            enhancers[name] = last_enhancer(run)
        except ArmError as error:
            notes.append(f"{name}: {error} at seed {seed}; left out")
            del arms[name]
            continue
        if name == COMPOSITE:
            enhancers[GUARDED] = best_enhancer(run)
    if arguments.control:
        like = folder / (COMPOSITE if COMPOSITE in arms else next(iter(arms)))
        corpus = [f"run.seed={seed}", f"scenes.folder={arguments.labelled_corpus or arguments.corpus}"]
        enhancers[CONTROL] = supervised(folder / CONTROL, arguments.preset, corpus, pretrained, minutes_of(like))
    judged = [*PATIENCE, f"panel.judges={opinions_of(arms, arguments)}", "evaluate.panel_timeout_s=1200", "evaluate.panel_batch=8"]
    settings = [*arguments.assignments, *judged]
    return evaluated(folder / "evaluation", arguments.preset, settings, arguments.corpus, enhancers)


def tell(results: Mapping[str, Mapping[str, dict]], arms: Mapping[str, Arm], notes: Sequence[str], title: str, folder: Path) -> None:
    """The table on the terminal, and as Markdown and JSON."""
    judges = [name for name in dict.fromkeys(m for found in results.values() for m in found) if name not in METRICS]
    columns = [*METRICS, *(name for name in judges if name != "panel" and not name.startswith("dnsmos_"))]
    rewards = {name: arm.rewards for name, arm in arms.items()} | {GUARDED: arms[COMPOSITE].rewards if COMPOSITE in arms else ()}

    def mark(arm: str, metric: str) -> bool:
        return metric in rewards.get(arm, ())

    show_long(results, f"{title}: each seed")
    show_wide(results, columns, f"{title}: change to the pretrained enhancer [95 %]; * the arm's own reward", mark)
    for note in notes:
        print(note)
    lines = ["| arm | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    for arm, found in results.items():
        cells = [(interval_text(found[m]) + (" *" if mark(arm, m) else "")) if m in found else "-" for m in columns]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "panels.md").write_text("\n".join([*lines, "", *notes]) + "\n", encoding="utf-8")
    (folder / "panels.json").write_text(json.dumps({"results": results, "rewards": rewards, "notes": list(notes)}, indent=1))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panels", description=__doc__, formatter_class=formatter)
    parser.add_argument("setting", choices=("labelled", "adaptation"))
    parser.add_argument("--corpus", type=Path, required=True, help="the corpus fine-tuned on and evaluated on")
    parser.add_argument("--labelled-corpus", type=Path, help="the corpus with labels, for the anchor of adaptation and for the control")
    parser.add_argument("--enhancer", type=Path, help="the pretrained enhancer (default: the shipped one)")
    parser.add_argument("--listener", type=Path, help="the listener of all arms that have one (default: the shipped one)")
    parser.add_argument("--questions", type=Path, help="the listener of the arm `questions`, calibrated on its tasks")
    parser.add_argument("--gsrm", type=Path, help="the model of the arm `gsrm`")
    parser.add_argument("--reasoned", type=Path, help="the listener of the arm `reasoned`")
    parser.add_argument("--penalty", type=float, default=0.5, help="disagreement penalty of the composite (default: 0.5)")
    parser.add_argument("--control", action="store_true", help="also the supervised control, for as long as the composite took")
    parser.add_argument("--arms", help="some of them, such as dnsmos,composite (default: all)")
    parser.add_argument(
        "--arm", action="append", default=[], metavar="NAME=TOML", help="an arm of your own: 'mine=[{name=\"mine\", kind=...}]'"
    )
    parser.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    parser.add_argument("--output", type=Path, default=Path("runs/panels"), help="default: runs/panels")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE", help="for finetune and evaluate")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
