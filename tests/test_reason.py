"""`auricle reason`, whole and small: real Ray, vLLM, DeepSpeed, MLflow; the ledger, a resumed run, an alarm that stops."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auricle.ledger import account, read
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.labels import Damage, make_labels
from pipelines.run_folder import RunFolder

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
SMALL = [
    "reason.clips_per_step=2",
    "reason.answers_per_clip=3",
    "reason.limits.every=2",
    "reason.limits.stop=false",
    "reason.questions.dev_clips=4",
    "reason.answers.max_tokens=40",
    "reason.answers.engine={max_model_len=256, cache_mib=32, max_num_seqs=8}",
    "staleness.max_staleness=1",
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve prepared clips of noise; every second one has an artefact with a place in time."""
    from dataclasses import asdict

    folder = tmp_path_factory.mktemp("reason")
    clips, rng = folder / "clips", np.random.default_rng(0)
    clips.mkdir()
    features = rng.normal(-5, 1, (12, 80, 300)).astype(np.float16)
    for name in ("features", "references"):
        np.save(clips / f"{name}.npy", features)
    np.save(clips / "lengths.npy", np.full(12, 300))
    lines = []
    for row in range(12):
        damage = Damage("drop-outs", 0.8, ((0.5, 1.0),)) if row % 2 else Damage("noise", 0.6, ((0.0, 3.0),))
        lines.append(json.dumps({"kind": damage.artefact, "labels": asdict(make_labels(2.0, (damage,), 3.0))}))
    (clips / "labels.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def reason(workplace: Path, *arguments: str, name: str = "", settings: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    own = [f"run.folder={workplace / 'runs'}", f"run.name={name}", f'reason.clips=["{workplace / "clips"}"]', *SMALL] if name else []
    command = [sys.executable, "-m", "pipelines.reason", *arguments, *[part for one in (*own, *settings) for part in ("--set", one)]]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=500)


def test_a_run_is_accounted_for_and_resumes(workplace: Path) -> None:
    done = reason(workplace, name="plain", settings=("reason.steps=4",))
    assert done.returncode == 0, done.stdout + done.stderr
    folder = workplace / "runs" / "plain"
    sums = account(folder / "ledger")
    assert (sums.issued, sums.trained, sums.in_flight, sums.balanced) == (24, 24, 0, True)
    table = read(folder / "ledger")
    assert all(0 <= step - version <= 1 for step, version in zip(table["step"].to_pylist(), table["version"].to_pylist(), strict=True))
    [verdict] = table["verdicts"][0].as_py()
    assert verdict["judge"] == "labels"
    assert set(json.loads(verdict["dimensions"])) >= {"format"}
    metrics = list(RunFolder(folder).lines("metrics.jsonl"))
    assert all(record["metrics"]["answers/all"] == 6 for record in metrics)
    assert {record["step"] for record in RunFolder(folder).lines("guard.jsonl")} == {0, 2, 4}
    _, checkpoint = RunFolder(folder).last_checkpoint() or (0, Path())
    assert load_listener(checkpoint / "listener").clip_s == 3.0
    assert (folder / "report.html").stat().st_size > 5_000
    resumed = reason(workplace, "--resume", str(folder), settings=("reason.steps=6",))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    sums = account(folder / "ledger")
    assert (sums.trained, sums.in_flight, sums.balanced) == (36, 0, True)
