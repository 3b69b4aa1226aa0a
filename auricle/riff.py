"""Whether a wav is whole: libsndfile reads one that was cut short without a word."""

import struct
from typing import BinaryIO

from auricle.errors import MediaError

OPEN_END = 0xFFFFFF00
"""Programs that write wavs into a pipe leave 0 or the largest number as the length: they never learned it."""


def require_complete(file: BinaryIO, name: str) -> None:
    """Raises MediaError where a wav's data chunk promises more bytes than there are. Other formats pass. The file is left anywhere."""
    size = file.seek(0, 2)
    file.seek(0)
    if file.read(4) != b"RIFF":
        return
    file.seek(12)
    while len(header := file.read(8)) == 8:
        chunk, length = struct.unpack("<4sI", header)
        if chunk == b"data":
            left = size - file.tell()
            if left < length < OPEN_END:
                raise MediaError(f"{name}: cut short: the header promises {length} bytes of samples, {left} are there", fault="truncated")
            return
        file.seek(length + length % 2, 1)
