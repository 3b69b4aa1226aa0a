"""The main job as `ray job submit` runs it: logs, exit status, stop with a checkpoint, resumption, code that travels, a token, and a panel
that others have put up.
"""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml

from auricle.ledger import account, read
from pipelines.run_folder import RunFolder
from tests.heads import RAY, Head, ray_job, ray_job_started, started_head
from tests.jobs import command, make_workplace, wait_for_steps

ROOT = Path(__file__).resolve().parents[1]
TRAVELS = '''
import os

import auricle


class ShippedJudge(BandJudge):
    """Says where the code that it runs with lies, and in which process."""

    def judge(self, clips):
        return [replace(verdict, rationale=f"{os.getpid()} {auricle.__file__}") for verdict in super().judge(clips)]
'''
LEAN = ["guard.every=200", "guard.metrics=['si_sdr']", "finetune.samples=0", "panel.judges=[{name='probe', kind='shipped:ShippedJudge'}]"]


def make_checkout(folder: Path) -> Path:
    """The code as a user has it, with a judge of their own that no node of the cluster knows, and a run that has to stay at home."""
    checkout = folder / "checkout"
    for name in ("auricle", "actors", "pipelines"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".gitignore", ".rayignore", "clusters/job.yaml"):
        (checkout / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    (checkout / "shipped.py").write_text((ROOT / "tests" / "judges.py").read_text() + TRAVELS)
    (checkout / "runs").mkdir()
    (checkout / "runs" / "recording.bin").write_bytes(b"\0" * (1 << 20))
    return checkout


def submission(checkout: Path, name: str, *entry: str) -> list[str]:
    environment = ["--working-dir", str(checkout), "--runtime-env", str(checkout / "clusters" / "job.yaml")]
    return ["submit", *environment, "--submission-id", name, "--", "python", "-m", "pipelines.finetune", *entry]


def deploy_panel(head: Head, checkout: Path, folder: Path) -> None:
    """`serve deploy` of a panel with the checkout's judge, and wait for it."""
    application = {
        "name": "judges",
        "import_path": "actors.panel:build_panel",
        "route_prefix": None,
        "runtime_env": {"env_vars": {"PYTHONPATH": str(checkout)}},
        "args": {"judges": [{"name": "probe", "kind": "shipped:ShippedJudge"}]},
    }
    (folder / "judges.yaml").write_text(yaml.safe_dump({"proxy_location": "Disabled", "applications": [application]}))
    command = [str(RAY.with_name("serve")), "deploy", str(folder / "judges.yaml"), "--address", head.url]
    subprocess.run(command, check=True, env=head.environment(), capture_output=True, timeout=120)
    deadline = time.monotonic() + 180
    while (state := panel_state(head)) != "RUNNING":
        assert state in (None, "NOT_STARTED", "DEPLOYING"), state
        assert time.monotonic() < deadline, state
        time.sleep(0.5)


def panel_state(head: Head) -> str | None:
    """What Serve says of the panel."""
    found = asked(head, "api/serve/applications/", head.token)["applications"].get("judges")
    return found and found["status"]


def asked(head: Head, path: str, token: str) -> dict[str, Any]:
    """The dashboard's answer."""
    request = urllib.request.Request(f"{head.url}/{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def job_of(head: Head, name: str, token: str | None = None) -> dict[str, Any]:
    """What the jobs API knows of a job."""
    return asked(head, f"api/jobs/{name}", token or head.token)


def refused(head: Head, token: str) -> int:
    with pytest.raises(HTTPError) as error:
        job_of(head, "long", token)
    return error.value.code


@pytest.mark.slow
def test_a_job_is_submitted_stopped_goes_on_under_another_id_and_another_joins_a_panel(tmp_path: Path) -> None:
    make_workplace(tmp_path)
    checkout, folder = make_checkout(tmp_path), tmp_path / "runs" / "long"
    with started_head(tmp_path) as head:
        entry = command(tmp_path, "long", "finetune.steps=500", *LEAN)[3:]
        with ray_job_started(head, *submission(checkout, "long", *entry)) as long:
            # While its pools start: somebody without the token, and a job that fails.
            bad = ray_job(head, *submission(checkout, "strange", *entry), RAY_AUTH_TOKEN="0" * 64)
            assert bad.returncode != 0
            assert "Invalid authentication token" in bad.stderr + bad.stdout
            assert refused(head, "0" * 64) in (401, 403)
            failed = ray_job(head, *submission(checkout, "failing", *command(tmp_path, "failing", "scenes.folder=/nowhere", *LEAN)[3:]))
            assert failed.returncode == 1
            assert "auricle corpus synth /nowhere" in failed.stdout  # the error with its cure, streamed
            wait_for_steps(folder, 3, long)
            stopped = ray_job(head, "stop", "long")
            assert stopped.returncode == 0, stopped.stdout + stopped.stderr
            output, _ = long.communicate(timeout=120)
        assert "step 1/500" in output
        assert "CALL judge" not in output  # Serve's own lines are in frameworks.log
        assert f"a checkpoint is written, go on with: auricle finetune --resume {folder}" in output
        step, _ = RunFolder(folder).last_checkpoint() or (0, None)
        assert step >= 3
        assert account(folder / "ledger").trained == 4 * step

        resumed = ray_job(head, *submission(checkout, "again", "--resume", str(folder), "--set", f"finetune.steps={step + 2}"))
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert f"done: {step + 2} steps" in resumed.stdout
        jobs = {name: job_of(head, name) for name in ("failing", "long", "again")}

        deploy_panel(head, checkout, tmp_path)
        entry = command(tmp_path, "guest", "finetune.steps=2", *LEAN, "panel.app=judges")[3:]
        guest = ray_job(head, *submission(checkout, "guest", *entry))
        assert guest.returncode == 0, guest.stdout + guest.stderr
        assert panel_state(head) == "RUNNING"
        [(process, _)] = judged_by(tmp_path / "runs" / "guest")
        assert Path(f"/proc/{process}").exists()  # not one that the run has started and ended
    states = {name: (job["status"], job["driver_exit_code"]) for name, job in jobs.items()}
    assert states == {"failing": ("FAILED", 1), "long": ("STOPPED", None), "again": ("SUCCEEDED", 0)}
    assert "no such folder" in jobs["failing"]["message"]
    sums = account(folder / "ledger")
    assert (sums.trained, sums.in_flight, sums.balanced) == (4 * (step + 2), 0, True)
    assert [record["step"] for record in RunFolder(folder).lines("metrics.jsonl")] == list(range(step + 2))
    [place] = {place for _, place in judged_by(folder)}  # code that has not changed is not sent twice
    assert place.name.startswith("_ray_pkg_")


def judged_by(folder: Path) -> set[tuple[str, Path]]:
    """The processes that judged a run's rollouts, and where their code lies."""
    told = {verdict["text"].partition(" ") for row in read(folder / "ledger")["verdicts"].to_pylist() for verdict in row}
    return {(process, Path(path).parents[1]) for process, _, path in told}
