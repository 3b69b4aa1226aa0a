"""The whole configuration tree: each section is declared beside the component it configures, and composed here."""

from pathlib import Path

from auricle.config import Config


class RunSettings(Config):
    """One job: where it writes, and what makes it reproducible."""

    name: str = "run"
    """The run's name; its folder is `folder/name`."""
    folder: Path = Path("runs")
    """Where run folders live."""
    seed: int = 0
    """Every random draw of the run comes from this number."""
    experiment: str = "auricle"
    """MLflow experiment."""
    tracking_uri: str = ""
    """MLflow tracking URI; empty: `sqlite:///FOLDER/mlflow.db`."""


class Settings(Config):
    """All sections. Presets in `pipelines/configs/` set them; `--set section.key=value` goes on top."""

    run: RunSettings = RunSettings()
