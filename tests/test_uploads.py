"""Uploads: what is taken, and that nothing is decoded beyond the limits."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import soundfile

from auricle.errors import MediaError
from auricle.uploads import UploadLimits, decode_upload, plain_name

LIMITS = UploadLimits(max_mib=1.0, max_s=10.0, max_channels=2)
RATE_HZ = 16_000


def written(audio: np.ndarray, rate_hz: int = RATE_HZ, form: str = "WAV", **how: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate_hz, format=form, **how)
    return buffer.getvalue()


TONE = (0.1 * np.sin(np.arange(RATE_HZ))).astype(np.float32)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_sound_comes_in_as_mono(form: str) -> None:
    audio, rate_hz = decode_upload(written(np.stack([TONE, -TONE / 2], axis=1), form=form), LIMITS)
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(audio, TONE / 4, atol=2e-3 if form != "OGG" else 2e-2)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(100), "no wav, flac or ogg"),
        (b"RIFF" + bytes(100), "cannot be decoded as WAV"),
        (written(TONE)[:1000], "cut short"),
        (b"fLaC" + bytes(100), "cannot be decoded as FLAC"),
        (b"OggS" + bytes(100), "cannot be decoded as OGG"),
        (bytes(2 << 20), "at most 1 MiB"),
        (written(np.zeros((100, 3))), "3 channels"),
        (written(TONE, 4_000), "sampled at 4000 Hz"),
        (written(TONE, 192_000), "sampled at 192000 Hz"),
        (written(TONE[:0]), "no samples"),
        (written(np.full(100, np.nan, np.float32), subtype="FLOAT"), "NaN"),
        # A minute of silence in a few hundred bytes.
        (written(np.zeros(60 * RATE_HZ, np.int16), form="FLAC"), "lasts 60.0 s by its header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_come_in_and_why(data: bytes, says: str) -> None:
    with pytest.raises(MediaError, match=says):
        decode_upload(data, LIMITS)


def test_a_header_that_promises_more_than_there_is_allocates_nothing() -> None:
    flac = bytearray(written(TONE, form="FLAC"))
    # STREAMINFO's 36 bits of total samples: a promise of 100,000 where 16,000 follow.
    high, low = struct.unpack(">BI", flac[21:26])
    flac[21:26] = struct.pack(">BI", high & 0xF0, 100_000)
    assert low == len(TONE)
    with pytest.raises(MediaError, match=r"cut short|cannot be decoded"):
        decode_upload(bytes(flac), LIMITS)


@pytest.mark.parametrize("name", ["clip", "S00001_mix.wav", "a b", "ü", "x" * 128])
def test_plain_names_are_names(name: str) -> None:
    assert plain_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\\b", "C:x", "/etc/passwd", ".hidden", "-rf", "a\0b", "a\nb", "x" * 129])
def test_names_that_lead_somewhere_are_none(name: str) -> None:
    with pytest.raises(MediaError, match="expected a plain name"):
        plain_name(name)
