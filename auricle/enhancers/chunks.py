"""Enhancing recordings of any length: equal chunks that overlap, and are faded into one another.

    chunk 0  |-------------\\
    chunk 1             /-------------\\
    chunk 2                        /-------------|      (the last one is moved back, so that it is whole)

The fades of two chunks add up to one, and a mask keeps the mixture's level, so there is no seam. A recording of at most one chunk goes
through the network as it is.
"""

from collections.abc import Callable
from math import ceil

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from pydantic import Field, model_validator
from torch import Tensor

from auricle.config import Config
from auricle.enhancers.interface import Enhancer


class ChunkConfig(Config):
    """How long recordings are cut."""

    chunk_s: float = Field(default=8.0, gt=0)
    """Length of a chunk, in seconds."""
    overlap_s: float = Field(default=1.0, gt=0)
    """How far two chunks overlap, in seconds; at most half a chunk."""
    batch: int = Field(default=4, ge=1)
    """Chunks that go through the network together."""

    @model_validator(mode="after")
    def _check_overlap(self) -> "ChunkConfig":
        if self.overlap_s > self.chunk_s / 2:
            raise ValueError(f"overlap_s = {self.overlap_s} is more than half of chunk_s = {self.chunk_s}; lower it")
        return self


@torch.no_grad()
def enhance_long(
    enhancer: Enhancer,
    audio: Float[Tensor, "channels samples"],
    frames: UInt8[Tensor, "frames height width"] | None,
    config: ChunkConfig,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    move: Callable[[Tensor, int], Tensor] = lambda logits, first: logits,
) -> Float[Tensor, "channels samples"]:
    """All of a recording, enhanced. One mask, made from the channels' mean, goes over each channel, so that places in the room stay.

    audio, frames: at the enhancer's rates; where pictures end early, the rest is heard only. on_progress: is told the chunks done, and
    all of them. move: what becomes of the mask's logits [chunks, bins, steps] of some chunks, the first of which has this number.
    """
    enhancer.eval()
    samples = audio.shape[1]
    length, starts = _plan(enhancer, samples, config)
    fade = _fade(length, round(config.overlap_s * enhancer.sample_rate_hz)).to(audio) if len(starts) > 1 else audio.new_ones(length)
    padded = F.pad(audio, (0, starts[-1] + length - samples))
    summed, weight = torch.zeros_like(padded), padded.new_zeros(padded.shape[1])
    for first in range(0, len(starts), config.batch):
        batch = starts[first : first + config.batch]
        clips = torch.stack([padded[:, start : start + length] for start in batch])
        pictures = None if frames is None else torch.stack([_pictures(enhancer, frames, start, length) for start in batch])
        logits = move(enhancer.mask_logits(clips.mean(dim=1), pictures), first)
        each_channel = logits.repeat_interleave(clips.shape[1], dim=0)
        enhanced = enhancer.apply_mask(clips.flatten(0, 1), each_channel).unflatten(0, clips.shape[:2])
        for start, clip in zip(batch, enhanced, strict=True):
            summed[:, start : start + length] += clip * fade
            weight[start : start + length] += fade
        on_progress(min(first + config.batch, len(starts)), len(starts))
    return (summed / weight)[:, :samples]


def _plan(enhancer: Enhancer, samples: int, config: ChunkConfig) -> tuple[int, list[int]]:
    """Length and starts of the chunks, in samples; every chunk starts on a video frame."""
    frame_s = 1 / enhancer.frame_rate_hz
    frames_a_chunk = round(config.chunk_s / frame_s)
    length = round(frames_a_chunk * frame_s * enhancer.sample_rate_hz)
    if samples <= length:
        return samples, [0]
    frames_a_step = max(1, round((config.chunk_s - config.overlap_s) / frame_s))
    last_frame = ceil((samples - length) / (frame_s * enhancer.sample_rate_hz))
    at_frames = [*range(0, last_frame, frames_a_step), last_frame]
    return length, [round(frame * frame_s * enhancer.sample_rate_hz) for frame in at_frames]


def _fade(length: int, overlap: int) -> Float[Tensor, " samples"]:
    """Raised-cosine flanks of `overlap` samples, never quite zero, so that the sum of weights can be divided by."""
    flank = torch.sin(torch.pi / 2 * (torch.arange(overlap) + 0.5) / overlap).square()  # 1 - cos would round to zero at the ends
    return torch.cat([flank, torch.ones(length - 2 * overlap), flank.flip(0)])


def _pictures(enhancer: Enhancer, frames: Tensor, start: int, length: int) -> UInt8[Tensor, "frames height width"]:
    """The pictures of one chunk; black, which means missing, where there are none."""
    per_sample = enhancer.frame_rate_hz / enhancer.sample_rate_hz
    first, count = round(start * per_sample), max(1, ceil(length * per_sample - 1e-6))
    part = frames[first : first + count]
    return F.pad(part, (0, 0, 0, 0, 0, count - len(part)))
