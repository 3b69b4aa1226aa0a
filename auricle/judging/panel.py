"""The panel: which judges, with which weights; and how their answers come to the columns of numbers that learning sees.

An answer is one clip's verdicts by judge: `{name: verdict_to_dict(...) | {latency_s, attempts, prompt_hash, model_hash, audio_hash}}`.
A part is one number of an answer that has a weight: `listener` (a judge's score), or `listener.spread`, `dnsmos.bak` (its dimensions).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from auricle.config import Config
from auricle.judging.scaling import ScalingConfig
from auricle.judging.verdict import Span

SCORE = "score"

Answer = Mapping[str, Mapping[str, Any]]


class SharedPoolConfig(Config):
    """Processes in which several judges live: several models on few GPUs, each loaded when it is first asked for (Serve's multiplexing).
    For classifiers and metrics: engines of vLLM share state in their process."""

    OF_A_POOL: ClassVar[tuple[str, ...]] = ("min_replicas", "max_replicas", "scaling", "num_cpus", "num_gpus", "resources")
    """Settings that a judge leaves to its pool."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """What judges call it in `shared`."""
    loaded: PositiveInt = 1
    """Most judges loaded in one process at a time; the one that was not asked for longest makes room for another."""
    min_replicas: NonNegativeInt = 1
    """Fewest processes; with 0 the pool sleeps while nothing waits."""
    max_replicas: PositiveInt = 1
    """Most processes; above min_replicas the pool grows and shrinks as `scaling` says."""
    scaling: ScalingConfig = ScalingConfig()
    """When it grows and shrinks: by how long blocks wait."""
    num_cpus: NonNegativeFloat = 0.1
    """Logical CPUs of one process."""
    num_gpus: NonNegativeFloat = 0.0
    """GPUs of one process; its loaded judges share them (engine.gpu_memory_share)."""
    resources: dict[str, NonNegativeFloat] = {}
    """Further Ray resources of one process."""

    @model_validator(mode="after")
    def _consistent(self) -> "SharedPoolConfig":
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas ({self.max_replicas}) is below min_replicas ({self.min_replicas}); raise it")
        return self


class JudgeConfig(Config):
    """One judge of the panel, and its pool."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """What answers, parts and the ledger call it."""
    kind: str = ""
    """A registered kind (listener, sentiment, vader, dnsmos, pesq, stoi, estoi, si_sdr), or `package.module:Class`. Empty: the name."""
    options: dict[str, Any] = {}
    """The kind's own options."""
    weights: dict[str, float] = {SCORE: 1.0}
    """Weight of each part in the reward, each part divided by its spread in the batch. `score` is the judge's own score, other names are
    its dimensions. Empty: it is heard and written down, but has no vote."""
    relative: bool = False
    """Whether its parts are taken relative to the frozen pretrained model's output on the same input (the paper's reward)."""
    reads: str = ""
    """For judges of text: the name of the judge whose words it reads."""
    deadline_s: PositiveFloat = 60.0
    """Time to judge one block of clips, waiting in line and retries included, in seconds; then the clips are Failed('timeout'). The clock
    stands still while a pool that slept at zero wakes (scaling.wake_timeout_s)."""
    attempts: PositiveInt = 3
    """Tries while the judge's process is dead or overloaded; then Failed('unavailable')."""
    pause_s: NonNegativeFloat = 0.5
    """Pause before the second try, in seconds; doubled each time, with jitter."""
    batch_size: PositiveInt = 16
    """Most clips in one call to a replica; a larger block is split."""
    batch_calls: PositiveInt = 4
    """Most calls that a replica judges together."""
    batch_wait_s: NonNegativeFloat = 0.01
    """How long a replica waits for more calls to judge together, in seconds."""
    alone: bool = False
    """Judge every clip by itself, so that its verdict is the same to the bit whatever else is judged; slower. Sums in another order, as in
    a batch of another size, end in other bits. `staleness.exact_staleness` sets it (and gives four times the deadline)."""
    min_replicas: NonNegativeInt = 1
    """Fewest processes of this judge; with 0 it sleeps while nothing waits."""
    max_replicas: PositiveInt = 1
    """Most processes; above min_replicas the pool grows and shrinks as `scaling` says."""
    scaling: ScalingConfig = ScalingConfig()
    """When it grows and shrinks: by how long blocks wait."""
    num_cpus: NonNegativeFloat = 0.1
    """Logical CPUs of one process."""
    num_gpus: NonNegativeFloat = 0.0
    """GPUs of one process."""
    resources: dict[str, NonNegativeFloat] = {}
    """Further Ray resources of one process, such as {"reward": 1} to pin the pool to a kind of node."""
    shared: str = ""
    """Name of one of the panel's `shared` pools, whose processes it lives in together with other judges. Empty: processes of its own."""

    @model_validator(mode="after")
    def _consistent(self) -> "JudgeConfig":
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas ({self.max_replicas}) is below min_replicas ({self.min_replicas}); raise it")
        own = [name for name in SharedPoolConfig.OF_A_POOL if getattr(self, name) != type(self).model_fields[name].default]
        if self.shared and own:
            raise ValueError(
                f"{', '.join(own)} of judge {self.name!r}: say it of the shared pool {self.shared!r}, whose processes these are"
            )
        return self

    @property
    def kind_or_name(self) -> str:
        """The kind."""
        return self.kind or self.name


class PanelConfig(Config):
    """The judges of a run."""

    app: str = ""
    """A panel that is up already, by the name of its Serve application (`serve deploy serve_configs/judges-cpu.yaml`: `panel`): the run
    asks it, as others may at the same time, and leaves it running. It has to have the same judges. Empty: a panel of the run's own."""
    judges: tuple[JudgeConfig, ...] = (
        JudgeConfig(name="listener"),
        JudgeConfig(name="sentiment", reads="listener"),
    )
    """The judges; names are unique."""
    shared: tuple[SharedPoolConfig, ...] = ()
    """Pools that several judges share; judges name them in their own `shared`."""
    loudness_lufs: float = Field(default=-26.0, ge=-60.0, le=-10.0)
    """Loudness at which judges hear every clip (ITU-R BS.1770), in LUFS. Metrics that compare with a reference hear clips as they are."""
    cache_size: NonNegativeInt = 4096
    """Verdicts kept by content, so that a block that is judged again costs nothing and gets the same verdicts."""
    num_cpus: NonNegativeFloat = 0.1
    """Logical CPUs of the panel's own process."""
    max_ongoing_requests: PositiveInt = 64
    """Blocks that the panel works on at a time; more wait in its queue."""
    start_timeout_s: PositiveFloat = 600.0
    """How long the judges may take to start, in seconds."""

    @model_validator(mode="after")
    def _consistent(self) -> "PanelConfig":
        names = [judge.name for judge in self.judges]
        if not names:
            raise ValueError("judges is empty; name at least one judge")
        if len(set(names)) < len(names):
            raise ValueError(f"judges {names}: each name may stand once")
        for judge in self.judges:
            if judge.reads and (judge.reads not in names or judge.reads == judge.name):
                raise ValueError(f"judge {judge.name!r} reads {judge.reads!r}, which is no other judge of the panel {names}")
        pools = [pool.name for pool in self.shared]
        if len({*pools, *names}) < len(pools) + len(names):
            raise ValueError(f"shared {pools} and judges {names}: each name may stand once")
        if astray := [judge for judge in self.judges if judge.shared and judge.shared not in pools]:
            raise ValueError(f"judge {astray[0].name!r} shares {astray[0].shared!r}, which is none of the panel's shared pools {pools}")
        if idle := set(pools) - {judge.shared for judge in self.judges}:
            raise ValueError(f"no judge lives in the shared pool {min(idle)!r}; let judges name it in `shared`, or take it out")
        readers = {judge.name for judge in self.judges if judge.reads}
        if chained := [judge.name for judge in self.judges if judge.reads in readers]:
            raise ValueError(f"judge {chained[0]!r} reads a judge that reads itself; let both read the one that listens")
        return self

    @property
    def pools(self) -> tuple[JudgeConfig | SharedPoolConfig, ...]:
        """What processes are counted by: judges with processes of their own, and shared pools. Their names are unique together."""
        return (*(judge for judge in self.judges if not judge.shared), *self.shared)

    def pool_of(self, judge: JudgeConfig) -> JudgeConfig | SharedPoolConfig:
        """Where a judge lives: by itself, or in a shared pool."""
        return next((pool for pool in self.shared if pool.name == judge.shared), judge)

    def wake_s(self, judge: JudgeConfig) -> float:
        """Seconds that a block may wait, beside its deadline, for a sleeping pool to wake or a shared pool to load the judge."""
        pool = self.pool_of(judge)
        return pool.scaling.wake_timeout_s if judge.shared or pool.min_replicas == 0 else 0.0

    @property
    def longest_s(self) -> float:
        """Seconds that a block may take: a judge of words begins when the one it reads is done, and a pool may have to wake."""
        deadlines = {judge.name: judge.deadline_s + self.wake_s(judge) for judge in self.judges}
        return max(deadlines[judge.name] + deadlines.get(judge.reads, 0.0) for judge in self.judges)

    @property
    def block_clips(self) -> int:
        """Clips of a block that every judge hears in one call."""
        return min(judge.batch_size for judge in self.judges)


def part_names(config: PanelConfig) -> tuple[str, ...]:
    """The panel's parts in order: `judge` for its score, `judge.dimension` for the others."""
    return tuple(judge.name if part == SCORE else f"{judge.name}.{part}" for judge in config.judges for part in judge.weights)


def part_weights(config: PanelConfig) -> tuple[float, ...]:
    """One weight a part, in the order of `part_names`."""
    return tuple(weight for judge in config.judges for weight in judge.weights.values())


def parts_of(config: PanelConfig, answers: Sequence[Answer]) -> Float32[np.ndarray, "rows parts"]:
    """The parts of each answer on the judges' own scales; NaN where the judge failed, did not answer or does not know the dimension."""
    keys = [(judge.name, part) for judge in config.judges for part in judge.weights]
    rows = [[_part(answer.get(judge), part) for judge, part in keys] for answer in answers]
    return np.array(rows, dtype=np.float32).reshape(len(answers), len(keys))


def relative_parts(
    config: PanelConfig, parts: Float32[np.ndarray, "rows parts"], frozen: Float32[np.ndarray, "rows parts"]
) -> Float32[np.ndarray, "rows parts"]:
    """`parts` minus those of the frozen model's output on the same input, for the judges that are `relative`. NaN where either failed."""
    relative = np.array([judge.relative for judge in config.judges for _ in judge.weights], dtype=bool)
    return np.where(relative[None], parts - frozen, parts).astype(np.float32)


def panel_scores(config: PanelConfig, answers: Sequence[Answer]) -> tuple[dict[str, list[float]], list[float]]:
    """Each part by name, and the weighted mean of all parts on their own scales, one value a row; NaN where a part with weight failed."""
    parts = parts_of(config, answers).astype(np.float64)
    weights = np.array(part_weights(config), dtype=np.float64)
    voting = weights != 0
    total = np.abs(weights).sum()
    panel = parts[:, voting] @ weights[voting] / total if total else np.full(len(parts), np.nan)
    return {name: parts[:, column].tolist() for column, name in enumerate(part_names(config))}, panel.tolist()


def spans_of(answer: Answer) -> tuple[Span, ...]:
    """The artefacts in time of all judges that did not fail."""
    return tuple(Span(**span) for verdict in answer.values() if verdict.get("state") == "scored" for span in verdict.get("spans") or ())


def _part(verdict: Mapping[str, Any] | None, part: str) -> float:
    if verdict is None or verdict.get("state") != "scored":
        return float("nan")
    value = verdict["score"] if part == SCORE else verdict["dimensions"].get(part)
    return float("nan") if value is None else float(value)
