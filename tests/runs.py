"""A small run folder for tests of what is shown: made of the same functions that a run writes with, with sound that can be heard."""

import json
import math
from pathlib import Path

import numpy as np

from auricle.learning.guard import Measurement
from auricle.ledger import LedgerEntry, record_issued, write_part
from pipelines.run_folder import RunFolder
from pipelines.samples import write_sample
from pipelines.settings import RunSettings, Settings

RATE_HZ = 16_000
WORDS = ("Muffled speech with a loud hum <b>&", "Clear speech with faint hiss.")


def tone(seed: int, noise: float, seconds: float = 1.0) -> np.ndarray:
    """A gliding harmonic tone in noise, float32."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(150 + 40 * np.sin(2 * np.pi * 1.5 * time_s)) / RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time_s))
    return (0.1 * voice + noise * rng.standard_normal(len(time_s))).astype(np.float32)


def write_run(
    folder: Path,
    *,
    name: str = "tiny",
    steps: int = 30,
    samples: int = 2,
    guard_stop: bool = False,
    panel_gain: float = 0.3,
    seed: int = 7,
    tracking_uri: str = "",
) -> Path:
    """A finished run of `steps` steps in `folder/name`; returns its path."""
    settings = Settings(run=RunSettings(folder=folder, name=name, seed=seed, tracking_uri=tracking_uri))
    run = RunFolder.create(settings)
    rng = np.random.default_rng(3)
    for step in range(steps):
        run.append("metrics.jsonl", {"step": step, "time_s": 1.7e9 + 2 * step, "metrics": _step_metrics(step, steps, rng)})
    for step in (0, steps // 2, steps):
        scores = _guard_scores(panel_gain * step / steps, step)
        run.write_measurement(Measurement(step, scores))
        means = {metric: float(np.nanmean(values)) for metric, values in scores.items()}
        run.append("guard.jsonl", {"step": step, "time_s": 1.7e9 + 2 * step, "metrics": means})
    for end in (steps // 2, steps):
        checkpoint = run.path / "checkpoints" / f"step-{end:06d}" / "enhancer"
        checkpoint.mkdir(parents=True)
        (checkpoint.parents[1] / "last.json").write_text(json.dumps({"step": end, "folder": checkpoint.parent.name}))
    run.mark_best(steps, {"panel": panel_gain})
    _write_ledger(run.path / "ledger", steps, rng)
    for number in range(samples):
        clips = {stage: tone(number, noise) for stage, noise in (("noisy", 0.1), ("before", 0.03), ("after", 0.01), ("clean", 0.0))}
        said = {
            "noisy": {
                "description": WORDS[0],
                "expected": 1.4,
                "sentiment": 1.9,
                "spans": [{"artefact": "noise", "start_s": 0.2, "end_s": 0.6}],
            },
            "after": {"description": WORDS[1], "expected": 3.9},
        }
        write_sample(run.path, f"S{number:05d}", clips, RATE_HZ, said, about="-5 dB, babble")
    grown = {
        "time_s": 1.7e9 + steps,
        "pool": "listener",
        "from_replicas": 1,
        "to_replicas": 2,
        "reason": "calls wait",
        "queue_age_s": 2.5,
        "queue_depth": 3,
    }
    run.append("scaling.jsonl", grown)
    run.event("a rollout actor died and was replaced", steps // 3)
    if guard_stop:
        run.event("stopped by the guard after step 30: on held-out scenes the panel's score rose by 0.300 while pesq fell by 0.2", steps)
    return run.path


def _step_metrics(step: int, steps: int, rng: np.random.Generator) -> dict[str, float]:
    reward = 0.2 * step / steps + 0.05 * rng.standard_normal()
    return {
        "reward/mean": reward,
        "reward/std": 0.4 + 0.02 * rng.standard_normal(),
        "reward/part/listener": 3.0 + reward,
        "reward/part/sentiment": 2.8 + reward / 2,
        "loss/policy": -0.01 * rng.random(),
        "loss/kl": 0.02 * step / steps,
        "ppo/clip_fraction": 0.1 * rng.random(),
        "stream/staleness_mean": 1.5,
        "stream/staleness_max": 3.0 if step % 7 else 2.0,
        "pool/rollout/busy_share": 0.6 + 0.1 * math.sin(step),
        "pool/reward/busy_share": 0.95,
        "pool/learner/busy_share": 0.3,
        **_pools(step, steps),
        "failures/timeout": float(step % 10 == 3),
        "ledger/issued": 8.0 * (step + 1),
        "ledger/trained": 8.0 * (step + 1) - 1,
        "ledger/dropped": 1.0,
        "ledger/in_flight": 0.0,
    }


def _pools(step: int, steps: int) -> dict[str, float]:
    """A panel that is short until it gets a second process, half-way."""
    more = step >= steps // 2
    metrics = {"stream/step_s": 4.0 - 2.0 * more, "stream/rows_per_s": 2.0 + 2.0 * more, "stream/learner_wait_s": 3.5 - 2.0 * more}
    for pool, age_s, cores in (("rollout", 1.5, 0.6), ("reward", 6.0 - 4.0 * more, 0.1), ("learner", 0.2, 0.3)):
        metrics |= {f"pool/{pool}/queue_age_s": age_s, f"pool/{pool}/queue_age_max_s": 2 * age_s, f"pool/{pool}/queue_depth": age_s / 4}
        metrics |= {f"pool/{pool}/cpu_cores": cores, f"pool/{pool}/rss_mib": 700.0, f"pool/{pool}/processes": 1.0}
    for judge, latency_s in (("listener", 5.0 - 2.0 * more), ("sentiment", 0.2)):
        prefix = f"judge/{judge}"
        metrics |= {f"{prefix}/latency_{name}_s": latency_s * k for name, k in (("p50", 1.0), ("p95", 1.5), ("p99", 2.0))}
        metrics |= {f"{prefix}/verdicts": 8.0, f"{prefix}/processes": 1.0 + (more and judge == "listener"), f"{prefix}/rss_mib": 1400.0}
        metrics |= {f"{prefix}/queue_age_s": latency_s / 2, f"{prefix}/failed": float(step % 10 == 3), f"{prefix}/retries": 0.0}
    return metrics | ({"judge/listener/failures/timeout": 1.0} if step % 10 == 3 else {})


def _guard_scores(gain: float, step: int) -> dict[str, list[float]]:
    base = np.random.default_rng(1).standard_normal(12) * 0.2
    wobble = 0.02 * np.where(np.arange(12) % 2, 1.0, -1.0) * bool(step)
    panel = (3.0 + base + gain + wobble).tolist()
    pesq = (1.8 + base + 0.1 * gain + 0.1 * wobble).tolist()
    pesq[3] = math.nan
    return {"panel": panel, "listener": panel, "pesq": pesq, "stoi": (0.7 + 0.05 * base + 0.05 * wobble).tolist()}


def _write_ledger(folder: Path, steps: int, rng: np.random.Generator) -> None:
    entries = []
    for rollout_id in range(8 * steps):
        step = rollout_id // 8
        text = WORDS[int(rng.random() < step / steps)]
        failed = rollout_id == 5
        verdict = {"state": "failed", "reason": "timeout"} if failed else {"state": "scored", "score": 3.0, "rationale": text}
        state = {"state": "dropped", "reason": "timeout"} if failed else {"state": "trained", "reward": float(WORDS.index(text))}
        entries.append(LedgerEntry(rollout_id, step, "S00001", rollout_id % 4, step, verdicts={"listener": verdict}, **state))
    write_part(folder, 0, steps, entries)
    record_issued(folder, 8 * steps)
