"""The small listener that comes with Auricle."""

from importlib import resources
from pathlib import Path

from auricle.errors import CheckpointError


def default_listener() -> Path:
    """Folder of the shipped listener's checkpoint (its README.md tells how it was made). Raises CheckpointError where it is not there."""
    folder = Path(str(resources.files("auricle"))) / "assets" / "listener"
    if not (folder / "model.safetensors").is_file():
        raise CheckpointError(
            f"{folder}: no listener comes with this installation; make it with `make assets`, train one with `auricle calibrate`, "
            "or name the folder of another checkpoint"
        )
    return folder
