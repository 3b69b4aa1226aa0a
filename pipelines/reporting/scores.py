"""Scores of systems on scenes, and what they come to: means by group, and paired differences with intervals.

A score that could not be computed is None with a reason; it is left out of means and differences, and counted.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from auricle.metrics.intervals import mean_interval, paired_interval
from auricle.scenes.scene import Scene

OVERALL = "all"

FEWEST_CLUSTERS = 6
"""Of fewer speakers no difference is called clear: one sign in all five would come by chance more often than once in 20."""


@dataclass(frozen=True)
class SceneScores:
    """One system's scores on one scene. values: metric -> score, None where it failed; reasons: metric -> why; words: the listener's."""

    scene: Scene
    system: str
    values: Mapping[str, float | None]
    reasons: Mapping[str, str] = field(default_factory=dict)
    words: str = ""


@dataclass(frozen=True)
class Cell:
    """One system, one metric, one group of scenes. Intervals are NaN where there is a single speaker.

    scenes: how many the mean is over. clusters: speakers that the difference is over. failed: scores that could not be computed.
    difference: to the baseline, paired by scene.
    """

    group_kind: str
    group: str
    system: str
    metric: str
    mean: float
    scenes: int
    failed: int
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    clusters: int = 0

    @property
    def is_clear(self) -> bool:
        """Whether the difference's interval leaves zero out, and rests on enough speakers to say so."""
        low, high = self.difference_low, self.difference_high
        return low is not None and high is not None and self.clusters >= FEWEST_CLUSTERS and (low > 0 or high < 0)


def snr_band(snr_db: float | None, width_db: float) -> str:
    """`-7.2` as `-10 to -5 dB`; `unknown` for None."""
    if snr_db is None or not math.isfinite(snr_db):
        return "unknown"
    low = math.floor(snr_db / width_db) * width_db
    return f"{low:g} to {low + width_db:g} dB"


def interferer_type(scene: Scene) -> str:
    """The kinds of a scene's interferers: `noise`, `noise + speech`..."""
    return " + ".join(sorted(set(scene.interferer_kinds))) or "unknown"


def groups_of(scenes: Sequence[Scene], snr_band_db: float) -> dict[tuple[str, str], list[str]]:
    """(kind of group, group) -> scene ids: all scenes first, then by SNR band from low to high, then by interferer and by condition.

    Kinds that would make one group only, or that the scenes say nothing of, are left out.
    """
    groups = {(OVERALL, OVERALL): [scene.scene_id for scene in scenes]}
    by_snr = sorted(scenes, key=lambda scene: math.inf if scene.snr_db is None else scene.snr_db)
    for kind, ordered, name_of in (
        ("snr", by_snr, lambda scene: snr_band(scene.snr_db, snr_band_db)),
        ("interferer", sorted(scenes, key=interferer_type), interferer_type),
        ("condition", sorted(scenes, key=lambda scene: scene.condition), lambda scene: scene.condition or "unknown"),
    ):
        found: dict[tuple[str, str], list[str]] = {}
        for scene in ordered:
            found.setdefault((kind, name_of(scene)), []).append(scene.scene_id)
        if len(found) > 1:
            groups |= found
    return groups


def tabulate(
    scores: Sequence[SceneScores],
    systems: Sequence[str],
    metrics: Sequence[str],
    baseline: str | None,
    *,
    snr_band_db: float,
    resamples: int,
    seed: int,
) -> list[Cell]:
    """Every group, metric and system as a `Cell`; groups without a usable score of a metric have no cell for it."""
    by_key = {(score.scene.scene_id, score.system): score for score in scores}
    scenes = {score.scene.scene_id: score.scene for score in scores}
    cells = []
    for (kind, group), scene_ids in groups_of(list(scenes.values()), snr_band_db).items():
        speakers = [scenes[scene_id].speaker or scene_id for scene_id in scene_ids]
        for metric in metrics:
            columns = {system: [by_key[scene_id, system].values.get(metric) for scene_id in scene_ids] for system in systems}
            for system in systems:
                asked = [metric in by_key[scene_id, system].values for scene_id in scene_ids]
                column = [math.nan if value is None else value for value in columns[system]]
                base = None if baseline in (None, system) else [math.nan if value is None else value for value in columns[str(baseline)]]
                cell = _cell(column, base, speakers, resamples=resamples, seed=seed)
                if cell is not None:
                    mean, count, difference = cell
                    cells.append(Cell(kind, group, system, metric, mean, count, sum(asked) - count, *difference))
    return cells


def _cell(
    column: list[float], base: list[float] | None, speakers: list[str], *, resamples: int, seed: int
) -> tuple[float, int, tuple[float, float, float, int] | tuple[()]] | None:
    finite = [value for value in column if math.isfinite(value)]
    if not finite:
        return None
    mean = mean_interval(column, speakers, resamples=1, seed=seed).value
    if base is None or not any(math.isfinite(a) and math.isfinite(b) for a, b in zip(column, base, strict=True)):
        return mean, len(finite), ()
    found = paired_interval(base, column, speakers, resamples=resamples, seed=seed)
    return mean, len(finite), (found.value, found.low, found.high, found.clusters)


def count_failures(scores: Sequence[SceneScores]) -> dict[str, dict[str, int]]:
    """metric -> reason -> how often, over all systems."""
    counts: dict[str, Counter[str]] = {}
    for score in scores:
        for metric, reason in score.reasons.items():
            counts.setdefault(metric, Counter())[reason] += 1
    return {metric: dict(sorted(counter.items())) for metric, counter in sorted(counts.items())}


def cells_to_json(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Cells as JSON-ready dictionaries, to six digits as in the CSV; NaN becomes null."""
    return [{key: _readable(value) for key, value in asdict(cell).items()} for cell in cells]


def cells_from_json(rows: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """The inverse of `cells_to_json`."""
    return [Cell(**row) for row in rows]


def _readable(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else float(f"{value:.6g}")
