"""How much of bare vLLM's rate does a pool of judges keep?  python -m benchmarks.judges

One listener, the same clips, questions and answers, by these ways in turn, `--repeats` times each, in one run:

    bare vLLM       LLM.generate on all prompts at once, clip by clip, at their loudness beforehand, in this process
    panel           the whole path: requests as the reward stage makes them, blocks in flight, Serve handle, loudness, hashes, verdicts
    ordered vLLM    bare vLLM with each block's prompts in the order in which the judge hands them over
    preset's panel  the panel with the preset's other judges (the sentiment of the listener's words)
    transformers    the same checkpoint by transformers' generate, in batches

Every repeat has clips of its own (no cache anywhere knows them; they differ by a noise of -80 dB). Prints rates with their spread, the CPU
seconds that each process spent on 100 clips of the panel, and as its last lines the panel's share of both bare rates: medians over the
repeats of panel / bare of the same repeat, because other work on the machine slows both.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table

from actors.cluster import cluster
from actors.panel import start_panel, stop_panel
from actors.settings import ClusterSettings
from auricle.judging.judge import JudgeClip
from auricle.judging.listener_judge import ListenerJudge, ListenerOptions
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.registry import check_options
from auricle.levels import normalise_loudness
from auricle.listeners.degradations import scaled_to_ratio
from auricle.listeners.sources import find_sources
from pipelines.command import load_settings

RATE_HZ = 16_000
BARE, PANEL, ORDERED, PRESET, TRANSFORMERS = "bare vLLM", "panel", "ordered vLLM", "preset's panel", "transformers"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judges", description=__doc__, formatter_class=formatter)
    parser.add_argument("--preset", default="tiny", help="whose listener and panel (default: tiny)")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE")
    parser.add_argument("--blocks", type=int, default=8, help="blocks a repeat, each a learner step's rollouts (default: 8)")
    parser.add_argument("--repeats", type=int, default=5, help="default: 5")
    parser.add_argument("--clip-s", type=float, default=2.5, help="length of the clips in seconds (default: 2.5)")
    parser.add_argument("--ways", default=f"{BARE},{PANEL},{ORDERED},{PRESET},{TRANSFORMERS}", help="default: all")
    arguments = parser.parse_args(argv)
    settings = load_settings(arguments.preset, arguments.assignments)
    listener = next((judge for judge in settings.panel.judges if judge.kind_or_name == "listener"), None)
    if listener is None:
        parser.error(f"the panel of {arguments.preset} has no listener")
    # A block takes as long as this machine makes it take: here nothing is lost to deadlines.
    judges = [judge.model_copy(update={"deadline_s": 900.0}) for judge in settings.panel.judges]
    panel = settings.panel.model_copy(update={"judges": tuple(judges)})
    torch.set_num_threads(1)
    rows = settings.finetune.scenes_per_step * settings.finetune.samples_per_scene
    clips = noisy_clips(rows, arguments.clip_s)
    in_flight = settings.reward.blocks_in_flight
    ways: dict[str, Callable[[int], float]] = {}
    with cluster(ClusterSettings(), namespace="auricle-judges"):
        wanted = arguments.ways.split(",")
        if BARE in wanted or ORDERED in wanted:
            options = check_options("listener", listener.options)
            assert isinstance(options, ListenerOptions)
            judge = ListenerJudge(options)
        if BARE in wanted:
            ways[BARE] = bare_vllm(judge, clips, arguments.blocks, ordered=False)
        if PANEL in wanted:
            alone = PanelConfig.model_validate(
                panel.model_dump() | {"judges": [next(judge for judge in judges if judge.name == listener.name).model_dump()]}
            )
            ways[PANEL] = panel_path(alone, "alone", clips, arguments.blocks, in_flight)
        if ORDERED in wanted:
            ways[ORDERED] = bare_vllm(judge, clips, arguments.blocks, ordered=True)
        if PRESET in wanted and len(settings.panel.judges) > 1:
            ways[PRESET] = panel_path(panel, "preset", clips, arguments.blocks, in_flight)
        if TRANSFORMERS in wanted:
            ways[TRANSFORMERS] = bare_transformers(listener, clips, arguments.blocks)
        rates, work = measure(ways, rows * arguments.blocks, arguments.repeats)
        for app in ("alone", "preset"):
            stop_panel(app_name=app)
    show(rates, work, rows, arguments)
    return 0


def measure(
    ways: dict[str, Callable[[int], float]], clips: int, repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[dict[str, float]]]]:
    """Clips a second of each way and repeat, in turn, after one repeat that is not counted; and CPU seconds per 100 clips by process."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for repeat in range(-1, repeats):
        for name, run in ways.items():
            before = cpu_seconds()
            elapsed_s = run(repeat)
            spent = {process: (value - before.get(process, 0.0)) / clips * 100 for process, value in cpu_seconds().items()}
            if repeat >= 0:
                rates[name].append(clips / elapsed_s)
                work[name].append(spent)
    return rates, work


def noisy_clips(count: int, clip_s: float) -> list[np.ndarray]:
    """Speech in noise at 0 to 15 dB, espeak-ng voices."""
    sources = find_sources("held-out", (), (), synthetic_share=1.0, seed=0)
    clips = []
    for index in range(count):
        rng = np.random.default_rng([0, index])
        speech = sources.speech_crop(int(clip_s * RATE_HZ), rng)
        clips.append((speech + scaled_to_ratio(sources.noise_crop(len(speech), rng), speech, rng.uniform(0, 15))).astype(np.float32))
    return clips


def fresh(clips: Sequence[np.ndarray], repeat: int, block: int) -> list[np.ndarray]:
    """The same clips with a noise of -80 dB that no cache has seen."""
    rng = np.random.default_rng([repeat + 1, block])
    return [clip + 1e-4 * rng.standard_normal(len(clip), dtype=np.float32) for clip in clips]


def bare_vllm(judge: ListenerJudge, clips: Sequence[np.ndarray], blocks: int, *, ordered: bool) -> Callable[[int], float]:
    """`LLM.generate` on a list of all prompts; making the list is not timed. ordered: see the module's text."""

    def run(repeat: int) -> float:
        prompts, sampling = [], []
        for block in range(blocks):
            heard = [normalise_loudness(clip, RATE_HZ) for clip in fresh(clips, repeat, 2 * block + ordered)]
            judged = [JudgeClip("", clip, RATE_HZ) for clip in heard]
            for part in [judged] if ordered else [[clip] for clip in judged]:
                of_part = judge.engine_inputs(part)
                prompts += of_part[0]
                sampling += of_part[1]
        began = time.perf_counter()
        judge.engine.llm.generate(prompts, sampling, use_tqdm=False)
        return time.perf_counter() - began

    return run


def panel_path(panel: PanelConfig, app: str, clips: Sequence[np.ndarray], blocks: int, in_flight: int) -> Callable[[int], float]:
    """Requests through the Serve handle, `in_flight` blocks at a time, as the reward stage's clients do."""
    handle = start_panel(panel, app_name=app)

    async def drive(requests: list[list[dict]]) -> float:
        gate = asyncio.Semaphore(in_flight)

        async def one(block: list[dict]) -> None:
            async with gate:
                answers = await handle.judge.remote(block)
            failed = [verdict for answer in answers for verdict in answer.values() if verdict["state"] == "failed"]
            assert not failed, failed[0]

        began = time.perf_counter()
        await asyncio.gather(*[one(block) for block in requests])
        return time.perf_counter() - began

    def run(repeat: int) -> float:
        requests = [
            [
                {"clip_id": f"{repeat}-{block}-{row}", "audio": clip, "sample_rate_hz": RATE_HZ, "reference": None}
                for row, clip in enumerate(fresh(clips, repeat, block))
            ]
            for block in range(blocks)
        ]
        return asyncio.run(drive(requests))

    return run


def bare_transformers(listener: JudgeConfig, clips: Sequence[np.ndarray], blocks: int) -> Callable[[int], float]:
    """The same questions by transformers: `generate` for the words, one forward pass for the expected score, in batches of 32."""
    from auricle.judging.listener_judge import SHIPPED
    from auricle.listeners.asking import expected_scores, features_of_audio, greedy_answers
    from auricle.listeners.checkpoint import load_listener
    from auricle.listeners.questions import question

    options = check_options("listener", listener.options)
    assert isinstance(options, ListenerOptions)
    loaded = load_listener(options.model or SHIPPED)

    def run(repeat: int) -> float:
        heard = [normalise_loudness(clip, RATE_HZ) for block in range(blocks) for clip in fresh(clips, repeat, block)]
        began = time.perf_counter()
        inputs = features_of_audio(loaded, heard)
        for task in options.ask:
            if task == "rate":
                expected_scores(loaded, question("score"), *inputs)
            else:
                greedy_answers(loaded, question(task), *inputs)
        return time.perf_counter() - began

    return run


def cpu_seconds() -> dict[str, float]:
    """CPU seconds so far of this process and of Ray's below it, by name."""
    found: dict[str, float] = {}
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            title = "this process" if process == me else (process.cmdline() or [process.name()])[0]
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        name = title.removeprefix("ray::").rsplit("/", 1)[-1]
        found[name] = found.get(name, 0.0) + times.user + times.system
    return found


def show(rates: dict[str, list[float]], work: dict[str, list[dict[str, float]]], rows: int, arguments: argparse.Namespace) -> None:
    """Tables, and the last line."""
    console = Console(width=140)
    title = f"{arguments.blocks} blocks of {rows} clips of {arguments.clip_s:g} s, {arguments.repeats} repeats in turn"
    table = Table("way", "clips/s, median (min-max)", "share of bare vLLM, median (min-max)", title=title)
    shares = {}
    for name, values in rates.items():
        if BARE in rates:
            shares[name] = paired(values, rates[BARE])
        table.add_row(name, spread(values, 1), spread(shares[name], 3) if name in shares else "")
    console.print(table)
    for name in (PANEL, PRESET):
        if name in work:
            spent = {process: statistics.median(one.get(process, 0.0) for one in work[name]) for one in work[name] for process in one}
            told = ", ".join(
                f"{process} {value:.2f}" for process, value in sorted(spent.items(), key=lambda item: -item[1]) if value > 0.01
            )
            console.print(f"CPU seconds per 100 clips, {name}: {told}")
    for name in (ORDERED, BARE):
        if PANEL in rates and name in rates:
            print(f"share of {name}: {spread(paired(rates[PANEL], rates[name]), 3)}")


def paired(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Their ratios, repeat by repeat."""
    return [value / other for value, other in zip(values, others, strict=True)]


def spread(values: Sequence[float], digits: int) -> str:
    """Median (min-max)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
