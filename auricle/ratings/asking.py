"""A judge's verdicts on rated clips, in this process: files read, loudness fixed, references aligned, failures kept with their reason."""

from collections.abc import Callable, Sequence

import numpy as np

from auricle.audio import read_audio
from auricle.errors import MediaError
from auricle.judging.judge import Judge, JudgeClip, judge_safely
from auricle.judging.verdict import Failed, Scored, Verdict
from auricle.levels import normalise_loudness
from auricle.ratings.agreement import Heard
from auricle.ratings.record import RatedClip
from auricle.signals import align

RATE_HZ = 16_000
BLOCK = 16


def ask_judge(
    judge: Judge,
    clips: Sequence[RatedClip],
    *,
    loudness_lufs: float = -26.0,
    wording: int = 0,
    reader: Judge | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Heard]:
    """What `judge` says of each clip, in their order. reader: a judge of words, which then scores what `judge` wrote."""
    heard: list[Heard] = []
    for start in range(0, len(clips), BLOCK):
        block = clips[start : start + BLOCK]
        loaded = [_load(clip, judge, loudness_lufs, wording) for clip in block]
        usable = [one for one in loaded if isinstance(one, JudgeClip)]
        verdicts = iter(_judged(judge, reader, usable))
        heard += [_heard(clip, one if isinstance(one, Failed) else next(verdicts)) for clip, one in zip(block, loaded, strict=True)]
        progress(len(heard))
    return heard


def _load(clip: RatedClip, judge: Judge, loudness_lufs: float, wording: int) -> JudgeClip | Failed:
    try:
        audio = read_audio(clip.path, RATE_HZ)
        reference = None if clip.reference is None else read_audio(clip.reference, RATE_HZ)
        if judge.fixed_loudness:
            audio = normalise_loudness(audio, RATE_HZ, loudness_lufs)
            reference = None if reference is None else normalise_loudness(reference, RATE_HZ, loudness_lufs)
    except MediaError as error:
        return Failed("bad_file", str(error))
    if reference is None and judge.needs_reference:
        return Failed("no_reference", f"{clip.path}: the table names no reference")
    if reference is not None:
        # Onto the clip and to its length: what is judged stays as it is.
        reference, _ = align(reference, audio, RATE_HZ)
    return JudgeClip(str(clip.path), audio, RATE_HZ, reference, wording=wording)


def _judged(judge: Judge, reader: Judge | None, clips: Sequence[JudgeClip]) -> list[Verdict]:
    verdicts = judge_safely(judge, clips) if clips else []
    if reader is None:
        return verdicts
    told = [verdict.rationale if isinstance(verdict, Scored) else "" for verdict in verdicts]
    texts = [JudgeClip(clip.clip_id, clip.audio, clip.sample_rate_hz, text=text) for clip, text in zip(clips, told, strict=True) if text]
    read = iter(judge_safely(reader, texts) if texts else [])
    none = Failed("no_text", "the listener wrote nothing")
    return [verdict if isinstance(verdict, Failed) else next(read) if text else none for verdict, text in zip(verdicts, told, strict=True)]


def _heard(clip: RatedClip, verdict: Verdict) -> Heard:
    if isinstance(verdict, Failed):
        return Heard(clip, {}, verdict.reason, verdict.detail)
    overall = {} if verdict.score is None else {"mos": verdict.score}
    scores = {name: value for name, value in {**verdict.dimensions, **overall}.items() if np.isfinite(value)}
    return Heard(clip, scores, "", verdict.rationale)
