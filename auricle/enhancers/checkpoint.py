"""An enhancer on disk: a folder with `model.safetensors`, `config.json`, and a model card where there is one."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from auricle.enhancers.interface import Enhancer
from auricle.enhancers.registry import build_enhancer, registered_name
from auricle.errors import CheckpointError, ConfigError

TENSORS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
FORMAT = "auricle-enhancer-1"


def save_enhancer(enhancer: Enhancer, folder: Path | str, *, card: str | None = None) -> Path:
    """Writes `enhancer` into `folder` (made where missing); each file appears whole or not at all.

    card: text of the model card (README.md). An existing card is kept where none is given. Returns the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "format": FORMAT,
        "class": registered_name(type(enhancer)),
        "options": enhancer.config.model_dump(mode="json"),
    }
    # safetensors refuses tensors that share memory, and views: write plain copies.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in enhancer.state_dict().items()}
    partial = folder / (TENSORS + ".partial")
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, folder / TENSORS)
    _write_text(folder / CONFIG, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    if card is not None:
        _write_text(folder / CARD, card)
    return folder


def load_enhancer(folder: Path | str, *, device: torch.device | str = "cpu") -> Enhancer:
    """The enhancer of `folder`, in evaluation mode. Raises CheckpointError that names the file, key or tensor at fault."""
    folder = Path(folder)
    description = _read_description(folder)
    try:
        enhancer = build_enhancer(description["class"], description["options"])
    except ConfigError as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from error
    try:
        tensors = load_file(folder / TENSORS)
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no {TENSORS} in it; the checkpoint is incomplete") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder / TENSORS}: not a readable safetensors file ({error}); copy it again") from error
    load_tensors(enhancer, tensors, source=str(folder / TENSORS))
    return enhancer.to(device).eval()


def load_tensors(enhancer: Enhancer, tensors: dict[str, Tensor], *, source: str) -> None:
    """Puts `tensors` into `enhancer`. Names, shapes and finiteness are checked first, so a bad checkpoint changes nothing."""
    expected = enhancer.state_dict()
    missing, unexpected = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"{source}: does not fit {type(enhancer).__name__}: {_names('missing', missing)}{'; ' if missing and unexpected else ''}"
            f"{_names('unexpected', unexpected)}. Was it saved by another class or version?"
        )
    for name, value in tensors.items():
        if value.shape != expected[name].shape:
            raise CheckpointError(
                f"{source}: tensor {name!r} has shape {tuple(value.shape)}, but {type(enhancer).__name__} "
                f"with these options has {tuple(expected[name].shape)}"
            )
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(f"{source}: tensor {name!r} holds NaN or infinity; the run that wrote it had diverged")
    enhancer.load_state_dict(tensors)


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no {CONFIG} in it; expected a folder with {CONFIG} and {TENSORS}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        found = description.get("format") if isinstance(description, dict) else type(description).__name__
        raise CheckpointError(f"{path}: format is {found!r}, expected {FORMAT!r}; is this an enhancer's checkpoint?")
    if not isinstance(description.get("class"), str) or not isinstance(description.get("options"), dict):
        raise CheckpointError(f"{path}: needs 'class' (a string) and 'options' (a table)")
    return description


def _names(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{len(names)} {kind} tensor{'s' if len(names) > 1 else ''} ({shown})"


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
