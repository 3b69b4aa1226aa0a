"""The few MLflow calls that Auricle makes: a quiet client, a run to log into, and one function that sends one entry."""

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.settings import RunSettings

RUN_ID_FILE = "mlflow_run_id"
_NAME_LIMIT, _VALUE_LIMIT, _BATCH_LIMIT = 250, 6000, 100


def default_tracking_uri(settings: RunSettings) -> str:
    """The URI in use: the one set, or the sqlite file beside the run folders."""
    return settings.tracking_uri or f"sqlite:///{settings.folder.absolute() / 'mlflow.db'}"


def tracking_uri_of(settings: RunSettings, run_folder: Path) -> str:
    """The URI that the run in `run_folder` uses, also when the folder was moved or is looked at from another working directory."""
    if settings.tracking_uri or run_folder.absolute().is_relative_to(settings.folder.absolute()):
        return default_tracking_uri(settings)
    return f"sqlite:///{run_folder.absolute().parent / 'mlflow.db'}"


def mlflow_client(uri: str, *, timeout_s: int = 10) -> Any:
    """An `MlflowClient` without telemetry and migration chatter, whose HTTP calls give up after `timeout_s`."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(timeout_s))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(uri)


def open_run(client: Any, uri: str, settings: RunSettings, folder: Path, kind: str, *, begin: bool = True) -> str:
    """The id of the run that `folder` logs into: the one whose id it keeps, else a new one, whose id it then keeps.

    begin: whether an ended run is marked as running again.
    """
    known = read_run_id(folder)
    if known and _exists(client, known):
        if begin:
            client.update_run(known, status="RUNNING")
        return known
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        local = uri.startswith("sqlite:///")
        place = (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").as_uri() if local else None
        experiment_id = client.create_experiment(settings.experiment, artifact_location=place)
    else:
        experiment_id = experiment.experiment_id
    tags = {"auricle.kind": kind, "auricle.run_folder": str(folder.absolute())}
    run_id = client.create_run(experiment_id, run_name=settings.name, tags=tags).info.run_id
    (folder / RUN_ID_FILE).write_text(run_id + "\n", encoding="utf-8")
    return run_id


def read_run_id(folder: Path) -> str:
    """The MLflow run id that a run folder keeps; empty where it has none yet."""
    path = folder / RUN_ID_FILE
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def send(client: Any, run_id: str, entry: Mapping[str, Any]) -> None:
    """Send one entry (a JSON-ready dictionary with a `kind`). Raises whatever MLflow raises."""
    match entry["kind"]:
        case "params":
            _send_params(client, run_id, entry["values"])
        case "metrics":
            from mlflow.entities import Metric

            metrics = [Metric(name, value, entry["time_ms"], entry["step"]) for name, value in entry["values"].items()]
            for start in range(0, len(metrics), _BATCH_LIMIT):
                client.log_batch(run_id, metrics=metrics[start : start + _BATCH_LIMIT])
        case "table":
            client.log_dict(run_id, {"columns": entry["columns"], "data": entry["data"]}, f"{entry['name']}.json")
        case "artifact":
            _send_file(client, run_id, Path(entry["path"]), entry["name"])
        case "tag":
            client.set_tag(run_id, entry["key"], entry["value"])
        case "end":
            client.set_terminated(run_id, status=entry["status"])


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as `{"a.b": "value"}`, each value as text that MLflow can hold."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[metric_name(f"{prefix}{key}")] = tag_value(value if isinstance(value, str) else json.dumps(value))
    return flat


def metric_name(name: str) -> str:
    """`name` with every character that MLflow refuses replaced by `_`: letters, digits and `_ - . : / space` remain."""
    clean = re.sub(r"[^\w\-.: /]", "_", name, flags=re.ASCII)
    return re.sub(r"/{2,}", "/", clean).strip("/")[:_NAME_LIMIT] or "_"


def tag_value(text: str) -> str:
    """`text` cut to what MLflow's tags and parameters hold."""
    return text if len(text) <= _VALUE_LIMIT else text[: _VALUE_LIMIT - 3] + "..."


def _send_params(client: Any, run_id: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    new = [Param(name, value) for name, value in values.items() if name not in known]
    for start in range(0, len(new), _BATCH_LIMIT):
        client.log_batch(run_id, params=new[start : start + _BATCH_LIMIT])
    for name, value in values.items():  # MLflow's parameters are immutable
        if name in known and known[name] != value:
            client.set_tag(run_id, f"changed.{name}", value)


def _send_file(client: Any, run_id: str, path: Path, name: str) -> None:
    folder, _, file_name = name.rpartition("/")
    if file_name == path.name:
        client.log_artifact(run_id, str(path), folder or None)
        return
    with tempfile.TemporaryDirectory() as scratch:  # an artifact is named after its file
        client.log_artifact(run_id, shutil.copy(path, Path(scratch) / file_name), folder or None)


def _exists(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True
