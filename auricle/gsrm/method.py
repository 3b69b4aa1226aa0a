"""How a checkpoint judges: the norms that its features are compared with, and the form of its answers. Written beside its weights."""

from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, ValidationError

from auricle.config import Config
from auricle.errors import CheckpointError
from auricle.files import replacing
from auricle.gsrm.answers import Form
from auricle.gsrm.normalisation import Norms

FILE = "gsrm.json"


class Method(Config):
    """What a model has learned with, and has to be asked with."""

    norms: Norms
    """Of the speech that it learned from."""
    form: Form = "evidence"
    """What an answer says before its score."""
    pitch: bool = True
    """Whether features and evidence of pitch are part of it."""
    window_s: PositiveFloat = 3.0
    """The longest stretch that is judged at once, in seconds; longer clips are judged in windows."""
    most_vowels: int = Field(default=40, ge=0, le=99)
    """Most vowels that have a line of their own in what is read; 0: only the shares of vowels in each bin are written down."""

    @property
    def shown(self) -> dict[str, Any]:
        """What `rendering.rendered` is told."""
        return {"pitch": self.pitch, "most_vowels": self.most_vowels, "measures": self.norms.measures}

    def save(self, folder: Path) -> None:
        """Write FILE into the folder."""
        with replacing(folder / FILE) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load_method(folder: Path) -> Method:
    """The method of a checkpoint folder. Raises CheckpointError where it is missing or damaged."""
    path = Path(folder) / FILE
    try:
        return Method.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not there; make the checkpoint with `python -m auricle.gsrm.train`") from None
    except ValidationError as error:
        raise CheckpointError(f"{path}: not a method of GSRM: {error.errors()[0]['msg']}") from error
