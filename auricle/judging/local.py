"""A panel in this process, for files and scripts: the same sitting as on Serve, with each judge in a thread of its own."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from auricle.judging.deadline import Deadline
from auricle.judging.judge import Choice, Identity, Judge, JudgeClip, judge_each, judge_safely
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.registry import build_judge
from auricle.judging.sitting import Sitting, at_loudness
from auricle.judging.verdict import Failed, Verdict


class LocalBench:
    """One judge in its own thread, which builds it and is the only one that touches it."""

    def __init__(self, config: JudgeConfig) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"judge-{config.name}")
        self._judge: Judge = self._thread.submit(
            build_judge, config.kind_or_name, config.options, source=f"panel judge {config.name!r}, options"
        ).result()
        more = 0 if config.alone else self._judge.concurrent - 1
        self._threads = ThreadPoolExecutor(more + 1, thread_name_prefix=f"judge-{config.name}") if more else self._thread
        self._how = judge_each if config.alone else judge_safely

    async def judge(self, clips: list[JudgeClip], deadline: Deadline) -> tuple[list[Verdict], Identity]:
        """See `sitting.Bench`. A call that passed its deadline runs to its end in the thread; what it says then is not used."""
        verdicts = await asyncio.get_running_loop().run_in_executor(self._threads, self._how, self._judge, clips)
        return verdicts, self._judge.identity

    def compare(self, pairs: Sequence[tuple[JudgeClip, JudgeClip]]) -> list[Choice | Failed] | None:
        """See `Judge.compare`."""
        return self._thread.submit(self._judge.compare, pairs).result()

    def close(self) -> None:
        """Close the judge in its thread, and end the thread."""
        self._thread.submit(self._judge.close).result()
        for threads in {self._thread, self._threads}:
            threads.shutdown()


class LocalPanel:
    """`with LocalPanel(config) as panel: answers = panel.judge(requests)`. Judges are built one after another on entry."""

    def __init__(self, config: PanelConfig) -> None:
        self._config = config
        self._benches: dict[str, LocalBench] = {}

    def __enter__(self) -> "LocalPanel":
        try:
            for judge in self._config.judges:
                self._benches[judge.name] = LocalBench(judge)
        except BaseException:
            self._close()
            raise
        self._loop = asyncio.Runner()
        self._sitting = Sitting(self._config, self._benches)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.close()
        self._close()

    def judge(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, dict[str, Any]]]:
        """One answer a request; see `Sitting.judge`."""
        return self._loop.run(self._sitting.judge(requests))

    def compare(self, judge: str, pairs: Sequence[tuple[JudgeClip, JudgeClip]]) -> list[Choice | Failed] | None:
        """Which clip of each pair one judge prefers, at the panel's loudness; None where it compares no pairs."""
        lufs = self._config.loudness_lufs
        return self._benches[judge].compare([(at_loudness(first, lufs), at_loudness(second, lufs)) for first, second in pairs])

    def _close(self) -> None:
        for bench in self._benches.values():
            bench.close()
