"""A video's crops on disk, made once for each content of a video.

A file's name is the hash of the video's bytes together with rate, size, kind of crop and algorithm: a moved or renamed corpus finds its
crops again, a changed video never meets stale ones. Files are written under a temporary name and renamed, so that any number of processes
may share a folder.
"""

import hashlib
import logging
import os
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from auricle.errors import MediaError
from auricle.files import replacing
from auricle.mouth import ALGORITHM, Crop, MouthCrops, frame_crops

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The environment variable AURICLE_CACHE, or ~/.cache/auricle."""
    return Path(os.environ.get("AURICLE_CACHE") or Path.home() / ".cache" / "auricle")


def cached_crops(path: Path | str, frame_rate_hz: float, size_px: int, *, crop: Crop = "mouth", folder: Path | None = None) -> MouthCrops:
    """`frame_crops`, from the cache where it has them. A cache that cannot be written is reported to the log, and done without.

    Raises MediaError as `frame_crops` does.
    """
    path = Path(path)
    key = hashlib.sha256(
        f"{_digest_of(path)} {float(frame_rate_hz)!r} {size_px} {ALGORITHM}{'' if crop == 'mouth' else f' {crop}'}".encode()
    ).hexdigest()
    entry = (folder or cache_folder()) / "mouth" / key[:2] / f"{key}.safetensors"
    crops = _read(entry, size_px)
    if crops is None:
        crops = frame_crops(path, frame_rate_hz, size_px, crop)
        try:
            with replacing(entry) as temporary:
                save_file({"frames": crops.frames}, temporary, metadata={"face_found": str(crops.face_found)})
        except OSError as error:
            _log.warning("mouth crops of %s are not kept: %s; set AURICLE_CACHE to a folder that can be written", path, error)
    return crops


def _read(entry: Path, size_px: int) -> MouthCrops | None:
    if not entry.is_file():
        return None
    try:
        with safe_open(entry, framework="np") as file:
            frames = file.get_tensor("frames")
            found = (file.metadata() or {}).get("face_found") == "True"
    except (SafetensorError, OSError) as error:
        _log.warning("%s: unreadable cache entry (%s); made anew", entry, error)
        return None
    return MouthCrops(frames, found) if frames.ndim == 3 and frames.shape[1:] == (size_px, size_px) and len(frames) else None


def _digest_of(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        raise MediaError(f"{path}: no such file", fault="missing") from None
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=65536)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    """Size and time are in the arguments so that a file that changed is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
