"""The small enhancer that comes with Auricle."""

from importlib import resources
from pathlib import Path

from auricle.enhancers.checkpoint import CONFIG, TENSORS
from auricle.errors import CheckpointError


def default_enhancer() -> Path:
    """Folder of the shipped enhancer's checkpoint (its README.md tells how it was made). Raises CheckpointError where it is not there."""
    folder = Path(str(resources.files("auricle"))) / "assets" / "enhancer"
    if not all((folder / name).is_file() for name in (CONFIG, TENSORS)):
        raise CheckpointError(
            f"{folder}: no enhancer comes with this installation; make it with `make assets`, train one with `auricle pretrain`, "
            "or name the folder of another checkpoint"
        )
    return folder
