"""Runs side by side: tracked by the real tracker into MLflow on sqlite, and read back from there."""

from pathlib import Path

import pytest

from pipelines.compare import main, scenes_side_by_side
from pipelines.reporting.publish import publish_run
from pipelines.reporting.store import mlflow_client
from pipelines.reporting.tracked import TrackedRun, differing_params, find_runs, labels_of, load_run
from pipelines.run_folder import RunFolder
from pipelines.settings import RunSettings
from pipelines.tracking import Tracker
from tests.browser import look_at, needs_chromium
from tests.runs import write_run

# SQLAlchemy warns of MLflow's own queries.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def tracked(path: Path) -> Path:
    """Log a run's folder as the run itself would have."""
    folder = RunFolder.open(path)
    settings = folder.settings()
    with Tracker(settings.run, path) as tracker:
        tracker.log_settings(settings)
        for line in folder.lines("metrics.jsonl"):
            tracker.log_metrics(line["step"], line["metrics"])
        for line in folder.lines("guard.jsonl"):
            tracker.log_metrics(line["step"], {f"guard/{name}": value for name, value in line["metrics"].items()})
        publish_run(tracker, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tracked runs, `first` and `second`, and their store."""
    folder = tmp_path_factory.mktemp("runs")
    tracked(write_run(folder, name="first", steps=14, samples=2))
    tracked(write_run(folder, name="second", steps=14, samples=1, panel_gain=0.0, seed=8))
    return folder


@pytest.fixture
def loaded(folder: Path, tmp_path: Path) -> list[TrackedRun]:
    found = find_runs(RunSettings(folder=folder), ["first", "second"], None)
    return [load_run(client, run, label, tmp_path) for (client, run), label in zip(found, labels_of([r for _, r in found]), strict=True)]


def test_a_run_comes_back_whole(loaded: list[TrackedRun]) -> None:
    first, second = loaded
    assert (first.label, second.label) == ("first", "second")
    assert first.status == "FINISHED"
    assert len(first.history["reward/mean"].points()) == 14
    assert first.tags["verdict"].startswith("The panel's score rose by +0.")
    assert [sample.scene_id for sample in first.samples] == ["S00000", "S00001"]
    assert first.samples[0].hearings["after"].words == "Clear speech with faint hiss."


def test_only_what_differs_is_listed(loaded: list[TrackedRun]) -> None:
    assert differing_params(loaded) == {"run.seed": ["7", "8"]}


def test_the_verb_prints_tables_and_writes_a_page(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "compare.html"
    assert main([str(folder / "first"), str(folder / "second"), "--output", str(page)]) == 0
    printed = capsys.readouterr().out
    for expected in ("run.seed", "guard/panel", "reward/mean", "first: The panel's score rose", "second: No clear change"):
        assert expected in " ".join(printed.split()), expected
    text = page.read_text(encoding="utf-8")
    assert text.count("<audio") == 4 + 1 + 4
    assert "guard/pesq" in text


@needs_chromium
def test_a_browser_shows_the_page_without_complaint(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    assert main(["--experiment", "auricle", "--set", f"run.folder={folder}", "--output", str(page)]) == 0
    found, console = look_at(page, tmp_path, width=500)
    assert console == []
    assert found["requests"] == []
    assert found["durations"] == [1.0] * 9
    assert found["page_width"] <= found["window_width"]
    assert found["headings"][0] == "first / second"


def test_scenes_beyond_the_budget_are_left_out_and_counted(loaded: list[TrackedRun]) -> None:
    scenes, left_out = scenes_side_by_side(loaded, budget=1)
    assert (scenes, left_out) == ([], 2)
    scenes, left_out = scenes_side_by_side(loaded)
    assert [[stage["title"] for stage in scene["stages"]] for scene in scenes] == [
        ["noisy", "pretrained", "first", "second", "clean target"],
        ["noisy", "pretrained", "first", "clean target"],
    ]


def test_runs_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    twin = tracked(write_run(tmp_path, name="first", steps=2, samples=0, tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"))
    try:
        found = find_runs(RunSettings(folder=folder), [str(folder / "first"), str(twin)], None)
        labels = labels_of([run for _, run in found])
        assert len(set(labels)) == 2
        assert all(label.startswith("first (") for label in labels)
        assert main(["first", "--set", f"run.folder={folder}"]) == 1
    finally:
        client = mlflow_client(f"sqlite:///{folder / 'mlflow.db'}")
        client.delete_run((twin / "mlflow_run_id").read_text().strip())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "nothing to compare"),
        (["third"], "no such run in MLflow"),
        (["--experiment", "other"], "no such experiment; known:"),
    ],
)
def test_faults_are_one_clear_line(words: list[str], complaint: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--set", f"run.folder={folder}"]) == 1
    assert complaint in capsys.readouterr().err


def test_an_untracked_run_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write_run(tmp_path, steps=2, samples=0))]) == 1
    assert "was not tracked yet" in capsys.readouterr().err


def test_what_is_added_later_leaves_the_status(folder: Path) -> None:
    path = folder / "second"
    settings = RunFolder.open(path).settings()
    client = mlflow_client(f"sqlite:///{folder / 'mlflow.db'}")
    run_id = (path / "mlflow_run_id").read_text().strip()
    client.set_terminated(run_id, status="KILLED")
    with Tracker(settings.run, path, adds_only=True) as tracker:
        tracker.set_tag("added", "later")
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["added"]) == ("KILLED", "later")
