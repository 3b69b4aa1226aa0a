"""The tracker against real MLflow on sqlite, and against a server that is not there."""

import logging
import math
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.reporting.store import flatten, metric_name, mlflow_client, tag_value
from pipelines.settings import RunSettings, Settings
from pipelines.tracking import UNSENT_FILE, Tracker

# SQLAlchemy warns of MLflow's own queries.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One sqlite store for the tests: making one takes MLflow seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def settings_in(folder: Path, tracking_uri: str = "", **run: object) -> Settings:
    return Settings(run=RunSettings(folder=folder, name="first", tracking_uri=tracking_uri, **run))


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def interrupted_run(tracker: Tracker, settings: Settings) -> None:
    with tracker:
        tracker.log_settings(settings)
        tracker.log_metrics(0, {"reward/mean": 1.0})
        raise KeyboardInterrupt


def test_a_run_is_complete_in_mlflow(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    folder = tmp_path / "first"
    with Tracker(settings.run, folder) as tracker:
        soundfile.write(folder / "a.wav", np.zeros(160, np.float32), 16000)
        tracker.log_settings(settings)
        for step in range(3):
            tracker.log_metrics(
                step, {"reward/mean": step / 2, "reward/part/listener": 1.0, "loss (kl)": 0.5, "nan": math.nan, "none": None}
            )
        tracker.log_table("samples", {"scene": ["S1", "S2"], "score": [np.float32(3.5), math.nan]})
        tracker.log_audio(folder / "a.wav", "samples/S1/after.wav")
        tracker.set_tag("verdict", "The reward rose.")
    client = mlflow_client(tracker.uri)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["run.seed"] == "0"
    assert run.data.tags["verdict"] == "The reward rose."
    assert [(point.step, point.value) for point in client.get_metric_history(tracker.run_id, "reward/mean")] == [
        (0, 0.0),
        (1, 0.5),
        (2, 1.0),
    ]
    assert set(run.data.metrics) == {"reward/mean", "reward/part/listener", "loss _kl_"}
    assert [item.path for item in client.list_artifacts(tracker.run_id, "samples/S1")] == ["samples/S1/after.wav"]
    assert not (folder / UNSENT_FILE).exists()
    assert (tmp_path / "mlflow.db").exists()


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(tmp_path: Path, store: str) -> None:
    first = settings_in(tmp_path, store)
    tracker = Tracker(first.run, tmp_path / "first")
    with pytest.raises(KeyboardInterrupt):
        interrupted_run(tracker, first)
    client = mlflow_client(tracker.uri)
    assert client.get_run(tracker.run_id).info.status == "KILLED"
    second = settings_in(tmp_path, store, seed=1)
    with Tracker(second.run, tmp_path / "first") as resumed:
        resumed.log_settings(second)
        resumed.log_metrics(1, {"reward/mean": 2.0})
    assert resumed.run_id == tracker.run_id
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["run.seed"] == "0"
    assert run.data.tags["changed.run.seed"] == "1"
    assert [point.value for point in client.get_metric_history(tracker.run_id, "reward/mean")] == [1.0, 2.0]


def test_an_error_ends_the_run_as_failed_with_its_text(tmp_path: Path, store: str) -> None:
    settings = settings_in(tmp_path, store)
    with pytest.raises(ValueError, match="no such judge"), Tracker(settings.run, tmp_path / "first") as tracker:
        raise ValueError("no such judge")
    run = mlflow_client(tracker.uri).get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "no such judge")


def test_an_unreachable_server_costs_one_warning_and_loses_nothing(tmp_path: Path, store: str, caplog: pytest.LogCaptureFixture) -> None:
    away = settings_in(tmp_path, tracking_uri=f"http://127.0.0.1:{closed_port()}")
    with caplog.at_level(logging.WARNING, "auricle.tracking"), Tracker(away.run, tmp_path / "first", close_timeout_s=0.5) as tracker:
        for step in range(5):
            tracker.log_metrics(step, {"reward/mean": float(step)})
    messages = [record.getMessage() for record in caplog.records if record.name == "auricle.tracking"]
    assert [("cannot be reached" in text, "resumed" in text) for text in messages] == [(True, False), (False, True)]
    assert tracker.run_id == ""
    back = settings_in(tmp_path, store)
    with Tracker(back.run, tmp_path / "first") as resumed:
        resumed.log_metrics(5, {"reward/mean": 5.0})
    history = mlflow_client(resumed.uri).get_metric_history(resumed.run_id, "reward/mean")
    assert [point.step for point in history] == [0, 1, 2, 3, 4, 5]
    assert not (tmp_path / "first" / UNSENT_FILE).exists()


def test_what_mlflow_refuses_does_not_block_the_rest(tmp_path: Path, store: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_in(tmp_path, store)
    with Tracker(settings.run, tmp_path / "first") as tracker:
        tracker.log_artifact(tmp_path / "missing.wav")
        tracker.log_metrics(0, {"reward/mean": 1.0})
    assert "did not take artifact missing.wav" in caplog.text
    assert mlflow_client(tracker.uri).get_run(tracker.run_id).data.metrics == {"reward/mean": 1.0}


def test_columns_of_different_length_are_the_callers_fault(tmp_path: Path) -> None:
    tracker = Tracker(settings_in(tmp_path).run, tmp_path / "first")
    with pytest.raises(ValueError, match="shorter"):
        tracker.log_table("samples", {"scene": ["S1", "S2"], "score": [1.0]})


@pytest.mark.parametrize(
    ("name", "clean"),
    [("reward/part/listener", "reward/part/listener"), ("dnsmos (ovrl)=x?", "dnsmos _ovrl__x_"), ("//a//b/", "a/b"), ("é", "_"), ("", "_")],
)
def test_metric_names_are_ones_that_mlflow_takes(name: str, clean: str) -> None:
    assert metric_name(name) == clean


def test_settings_flatten_to_text() -> None:
    assert flatten({"a": {"b": 1, "c": ["x", None]}, "d": "text", "e": {}}) == {"a.b": "1", "a.c": '["x", null]', "d": "text", "e": "{}"}
    assert len(tag_value("x" * 10_000)) == 6000
