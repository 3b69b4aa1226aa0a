"""Which scenes passed the checks before, so that a large corpus is decoded once and not at each start.

A scene is known by the paths, sizes and times of change of its files and by what was asked of them: touch a file, and it is checked again.
Only passes are remembered. Processes that save at the same time may lose each other's lines, which costs a second check and nothing else.
"""

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from auricle.files import replacing
from auricle.scenes.cache import cache_folder
from auricle.scenes.scene import Scene

VERSION = 1
"""Count up when the checks become stricter."""

_log = logging.getLogger(__name__)


class CheckMemory:
    """Digests of scenes that passed, one a line in CACHE/checked.txt."""

    def __init__(self, *asked: object, folder: Path | None = None) -> None:
        self._asked = asked
        self._path = (folder or cache_folder()) / "checked.txt"
        self._known = self._read()

    def key(self, scene: Scene) -> str | None:
        """The scene's digest; None where a file is missing."""
        parts = [repr((VERSION, self._asked, scene.channel))]
        for path in (scene.mix, scene.target, scene.target_anechoic, scene.interferer, scene.video):
            try:
                status = path.stat() if path is not None else None
            except OSError:
                return None
            parts.append(f"{path} {status.st_size} {status.st_mtime_ns}" if status else "none")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def knows(self, key: str | None) -> bool:
        """Whether the scene of this digest passed before."""
        return key in self._known

    def remember(self, keys: Iterable[str]) -> None:
        """Adds passes, and writes them down together with what other processes wrote meanwhile."""
        if not (new := set(keys) - self._known):
            return
        self._known = self._read() | self._known | new
        try:
            with replacing(self._path) as temporary:
                temporary.write_text("".join(f"{key}\n" for key in sorted(self._known)), encoding="ascii")
        except OSError as error:
            _log.warning("passed checks are not kept: %s; set AURICLE_CACHE to a folder that can be written", error)

    def _read(self) -> set[str]:
        try:
            return set(self._path.read_text(encoding="ascii", errors="replace").split())
        except OSError:
            return set()
