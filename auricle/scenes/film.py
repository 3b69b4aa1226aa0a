"""Silent H.264 films, as scenes have them."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from auricle.errors import MediaError
from auricle.files import replacing


def write_film(path: Path, frames: Iterable[UInt8[np.ndarray, "height width 3"]], frame_rate_hz: float) -> int:
    """Writes RGB pictures (even height and width) as an mp4 without sound; returns how many. Equal pictures give equal bytes.

    Raises MediaError where there are none, or where a picture's size differs from the first one's.
    """
    count, size = 0, None
    with replacing(path) as temporary, av.open(str(temporary), "w") as container:
        # Equal bytes for equal pictures: libx264's output depends on the number of threads, and with macroblock trees (mbtree) on what
        # happens to lie in memory (measured: 20 encodings of one film gave 19 files; without, one).
        stream = container.add_stream("libx264", rate=Fraction(frame_rate_hz).limit_denominator(1001))
        stream.options = {"crf": "20", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            if size is None:
                size = frame.shape
                stream.height, stream.width = frame.shape[:2]
            if frame.shape != size:
                raise MediaError(f"{path}: picture {count} is {frame.shape}, the first was {size}; scale them to one size first")
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).astype(np.uint8, copy=False)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
            count += 1
        if count == 0:
            raise MediaError(f"{path}: no pictures to write")
        container.mux(stream.encode(None))
    return count
