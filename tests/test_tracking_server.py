"""The tracker against a real MLflow server, as clusters have one: not there at first, then there, and everything arrives in order."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.reporting.store import mlflow_client
from pipelines.settings import RunSettings, Settings
from pipelines.tracking import UNSENT_FILE, Tracker
from tests.heads import free_ports, wait_for_port
from tests.jobs import kill_tree


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    """`mlflow server` on loopback, as docs/clusters.md has it, ended by its own process ids."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder / "artifacts")]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_for_port(port, process, folder / "server.log")
            yield
        finally:
            kill_tree(process)


def test_a_run_logs_into_a_server_that_starts_after_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [port] = free_ports(1)
    uri, folder = f"http://127.0.0.1:{port}", tmp_path / "runs" / "first"
    settings = Settings(run=RunSettings(folder=folder.parent, name=folder.name, tracking_uri=uri))
    clip = np.linspace(-0.5, 0.5, 160, dtype=np.float32)
    with caplog.at_level(logging.WARNING, "auricle.tracking"):
        tracker = Tracker(settings.run, folder, close_timeout_s=60)
        with tracker:
            tracker.log_settings(settings)
            tracker.log_metrics(0, {"reward/mean": 0.0})
            soundfile.write(folder / "a.wav", clip, 16000)
            with mlflow_server(tmp_path, port):
                tracker.log_metrics(1, {"reward/mean": 1.0})
                tracker.log_table("samples", {"scene": ["S1"], "score": [3.5]})
                tracker.log_audio(folder / "a.wav", "samples/S1/after.wav")
                tracker.close()
                client = mlflow_client(uri)
                run = client.get_run(tracker.run_id)
                history = client.get_metric_history(tracker.run_id, "reward/mean")
                heard = client.download_artifacts(tracker.run_id, "samples/S1/after.wav", str(tmp_path))
                table = Path(client.download_artifacts(tracker.run_id, "samples.json", str(tmp_path))).read_text()
    assert [record.getMessage().count("cannot be reached") for record in caplog.records if record.name == "auricle.tracking"] == [1]
    assert (run.info.status, run.data.params["run.tracking_uri"], run.data.tags["auricle.kind"]) == ("FINISHED", uri, "finetune")
    assert [(point.step, point.value) for point in history] == [(0, 0.0), (1, 1.0)]
    assert np.allclose(soundfile.read(heard)[0], clip, atol=1e-4)
    assert "3.5" in table
    assert not (folder / UNSENT_FILE).exists()
    assert not list(folder.parent.glob("*.db"))  # one store, one writer
