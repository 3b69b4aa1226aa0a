"""Runs read back from MLflow, for comparison: parameters, metrics with their history, tags, and the clips with the judges' words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.errors import ConfigError
from pipelines.reporting.plot import Series
from pipelines.reporting.store import default_tracking_uri, mlflow_client, read_run_id, tracking_uri_of
from pipelines.run_folder import RunFolder
from pipelines.samples import Sample, read_samples
from pipelines.settings import RunSettings

_MOST_RUNS = 50


@dataclass(frozen=True)
class TrackedRun:
    """A run in MLflow. metrics: last values; history: metric -> steps and values; label: a name that no other run of a comparison has."""

    run_id: str
    label: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    history: Mapping[str, Series]
    samples: tuple[Sample, ...] = ()


def find_runs(settings: RunSettings, names: Sequence[str], experiment: str | None) -> list[tuple[Any, Any]]:
    """(client, MLflow run) of each run named (its folder, its MLflow id, or its name), then of those of an experiment, oldest first.

    Raises ConfigError where there is none of that name.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for name in names:
        client, run = _find_run(settings, name)
        found.setdefault(run.info.run_id, (client, run))
    if experiment is not None:
        client = mlflow_client(default_tracking_uri(settings))
        for run in reversed(client.search_runs([_experiment_id(client, experiment)], max_results=_MOST_RUNS)):
            found.setdefault(run.info.run_id, (client, run))
    return list(found.values())


def load_run(client: Any, run: Any, label: str, scratch: Path) -> TrackedRun:
    """A run with its metrics' history and its samples, which are fetched into `scratch`."""
    run_id = run.info.run_id
    history = {}
    for metric in sorted(run.data.metrics):
        points = sorted(client.get_metric_history(run_id, metric), key=lambda point: (point.step, point.timestamp))
        last = {point.step: point.value for point in points}  # a resumed run may have logged a step twice: the later one holds
        history[metric] = Series(label, list(last), list(last.values()))
    folder = scratch / run_id
    folder.mkdir(parents=True)
    if any(item.path == "samples" for item in client.list_artifacts(run_id)):
        client.download_artifacts(run_id, "samples", str(folder))
    info = run.info
    return TrackedRun(run_id, label, info.status, run.data.params, run.data.tags, run.data.metrics, history, tuple(read_samples(folder)))


def labels_of(runs: Sequence[Any]) -> list[str]:
    """The runs' names; where several share one, with the beginning of their ids."""
    names = [run.info.run_name or run.info.run_id[:8] for run in runs]
    return [f"{name} ({run.info.run_id[:6]})" if names.count(name) > 1 else name for name, run in zip(names, runs, strict=True)]


def differing_params(runs: Sequence[TrackedRun]) -> dict[str, list[str | None]]:
    """parameter -> its value in each run (None where it has none), for those that are not the same everywhere."""
    names = sorted({name for run in runs for name in run.params} - {"run.name"})
    table = {name: [run.params.get(name) for run in runs] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def _find_run(settings: RunSettings, name: str) -> tuple[Any, Any]:
    folder = Path(name)
    if (folder / "config.toml").exists():
        run_id = read_run_id(folder)
        if not run_id:
            raise ConfigError(f"{folder}: this run was not tracked yet (no mlflow_run_id in it); resume it where MLflow can be reached")
        client = mlflow_client(tracking_uri_of(RunFolder.open(folder).settings().run, folder))
        return client, _get_run(client, run_id, str(folder))
    uri = default_tracking_uri(settings)
    client = mlflow_client(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    quoted = name.replace("'", "")
    matches = client.search_runs(experiments, filter_string=f"attributes.run_name = '{quoted}'", max_results=_MOST_RUNS)
    if len(matches) == 1:
        return client, matches[0]
    if len(matches) > 1:
        ids = ", ".join(match.info.run_id[:8] for match in matches)
        raise ConfigError(f"{name!r}: {len(matches)} runs in {uri} have that name ({ids}); give the folder or the MLflow id of one")
    return client, _get_run(client, name, f"{name!r} in {uri}")


def _get_run(client: Any, run_id: str, what: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        raise ConfigError(f"{what}: no such run in MLflow; give a run's folder, its name, or its MLflow id") from error


def _experiment_id(client: Any, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        known = ", ".join(sorted(one.name for one in client.search_experiments())) or "none"
        raise ConfigError(f"--experiment {name!r}: no such experiment; known: {known}")
    return experiment.experiment_id
