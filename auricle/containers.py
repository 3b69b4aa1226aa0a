"""The one door to FFmpeg for files of strangers: which formats come in, and how large a picture may be.

FFmpeg tells a format by its content, whatever the file's name, and knows formats that are lists of other files or addresses (concat, HLS,
SDP): a "film" of two lines would have it open any file or connect anywhere. Those do not come in.
"""

from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ogg,asf,flv,mxf,dv,wav,w64,flac,mp3,aac,ac3,eac3,amr,"
    "aiff,au,caf"
)
"""FFmpeg's names of demuxers that read the one file they are given."""
MAX_PIXELS = 1 << 25
"""Pixels of a picture: 8K (7680 x 4320) fits. A few bytes of header may promise gigabytes."""
MAX_S = 4 * 3600.0
"""Longest sound or film, in seconds. Hours of silence, or of one picture, fit into kilobytes."""
MAX_SAMPLES = 1 << 31
"""Most samples of a sound, all channels together: 8 GiB; four hours of three channels at 48 kHz."""


def open_container(path: Path | str, **options: str) -> InputContainer:
    """A file for reading, for `with`. Raises av.FFmpegError."""
    safe = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    # A path with a colon in it is a file too, and no address.
    container: Any = av.open(f"file:{path}", options=options | safe)
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return container
