"""A sitting: every judge of a panel hears every clip of a block, and every clip gets a verdict from every judge.

Invariants:
- An answer has one verdict from each judge: scored, or failed with a reason. What goes wrong is never a number, and never an exception.
- A judge has `deadline_s` for a block, retries included. While its pool is dead or overloaded the call is repeated, a bounded number of
  times after jittered, doubling pauses. No judge waits for another, but for a judge whose words it reads. The time in which a sleeping pool
  wakes does not count, and is bounded by itself (`auricle.judging.deadline`).
- The same clip (by content) gets the same verdict again while it is in the cache; failures are not kept. A clip that is being judged is not
  judged beside that: who asks for it meanwhile (a block that Ray Data executes again) waits for that verdict, and shares its fate.

    requests --check--> clips --loudness--+--> judge A --(words)--> judge C --+--> answers, in the order of the requests
                  |                       +--> judge B -----------------------+
                  +--> Failed('bad_clip') from every judge

Reasons: bad_clip, no_reference, no_text, timeout, unavailable; and the judges' own (unparsable, metric, not_finite, error).
"""

import asyncio
import itertools
import random
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from auricle.errors import JudgeUnavailableError
from auricle.judging.deadline import Deadline
from auricle.judging.hashing import audio_hash
from auricle.judging.judge import Identity, Judge, JudgeClip
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.registry import find_judge
from auricle.judging.verdict import Failed, Scored, Verdict, verdict_to_dict
from auricle.levels import normalise_loudness


@dataclass(frozen=True)
class Key:
    """What a clip is known by: hashes of its sound and its reference. fresh: it is judged anew, and its verdict is not kept."""

    audio: str
    reference: str
    wording: int = 0
    fresh: bool = False


Place = tuple[str | int, ...]
"""Where the cache keeps a judge's verdict on a clip; empty: nowhere."""


class Bench(Protocol):
    """Where one judge can be asked: a Serve deployment, or this process."""

    async def judge(self, clips: list[JudgeClip], deadline: Deadline) -> tuple[list[Verdict], Identity]:
        """One verdict a clip. It pauses the deadline while there is no process to judge. Raises JudgeUnavailableError where another try may
        help."""
        ...


@dataclass(frozen=True)
class Hearing:
    """One verdict, and how it came about."""

    verdict: Verdict
    latency_s: float = 0.0
    attempts: int = 0
    identity: Identity = field(default_factory=Identity)


class Sitting:
    """A panel at work. benches: where each judge is asked, by name. All methods run in one event loop."""

    def __init__(self, config: PanelConfig, benches: Mapping[str, Bench]) -> None:
        self._config, self._benches = config, benches
        self._traits: dict[str, type[Judge]] = {judge.name: find_judge(judge.kind_or_name) for judge in config.judges}
        self._cache: OrderedDict[Place, Hearing] = OrderedDict()
        self._under_way: dict[Place, asyncio.Future[Hearing | None]] = {}

    async def judge(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, dict[str, Any]]]:
        """One answer a request, in their order; a request is `{clip_id, audio, sample_rate_hz, reference or None}`.

        `wording` (see JudgeClip) and `fresh` (true: no verdict of the cache, and none for it) may be added, for checking the judges.
        """
        clips, keys, faults = await asyncio.to_thread(_checked, requests)
        levelled = await asyncio.to_thread(_levelled, clips, self._config.loudness_lufs)
        tasks: dict[str, asyncio.Task[list[Hearing]]] = {}
        async with asyncio.TaskGroup() as group:
            for judge in sorted(self._config.judges, key=lambda judge: bool(judge.reads)):
                heard = levelled if self._traits[judge.name].fixed_loudness else clips
                tasks[judge.name] = group.create_task(self._hear(judge, heard, keys, tasks.get(judge.reads)))
        rows = iter(range(len(clips)))
        return [self._answer(fault) if fault else self._answer(None, tasks, keys, next(rows)) for fault in faults]

    def _answer(
        self, fault: Failed | None, tasks: Mapping[str, "asyncio.Task[list[Hearing]]"] | None = None, keys: Sequence[Key] = (), row: int = 0
    ) -> dict[str, dict[str, Any]]:
        names = [judge.name for judge in self._config.judges]
        if tasks is None:
            return {name: _written(Hearing(fault or Failed("bad_clip")), "") for name in names}
        return {name: _written(tasks[name].result()[row], keys[row].audio) for name in names}

    async def _hear(
        self, judge: JudgeConfig, clips: Sequence[JudgeClip], keys: Sequence[Key], words: "asyncio.Task[list[Hearing]] | None"
    ) -> list[Hearing]:
        """One judge's hearings of all clips."""
        if words is not None:
            clips = [replace(clip, text=_words(hearing)) for clip, hearing in zip(clips, await words, strict=True)]
        places = [_place(judge.name, key, clip.text) for key, clip in zip(keys, clips, strict=True)]
        hearings: list[Hearing | None] = []
        for place, clip in zip(places, clips, strict=True):
            fault = _not_for(self._traits[judge.name], clip)
            hearings.append(Hearing(fault) if fault else self._cached(place))
        left = [row for row, hearing in enumerate(hearings) if hearing is None]
        waited = {row: self._under_way[places[row]] for row in left if places[row] in self._under_way}
        mine = [row for row in left if row not in waited]
        for row, hearing in zip(mine, await self._judged(judge, [clips[row] for row in mine], [places[row] for row in mine]), strict=True):
            hearings[row] = hearing
        for row, verdict in waited.items():
            hearings[row] = await asyncio.shield(verdict)
        if left := [row for row in waited if hearings[row] is None]:  # whoever asked first was cut off
            asked = await self._judged(judge, [clips[row] for row in left], [places[row] for row in left])
            for row, hearing in zip(left, asked, strict=True):
                hearings[row] = hearing
        return [hearing for hearing in hearings if hearing is not None]

    async def _judged(self, judge: JudgeConfig, clips: Sequence[JudgeClip], places: Sequence[Place]) -> list[Hearing]:
        """Hearings of clips that nobody else is asking for; until they are there others may wait for them."""
        own = {place: asyncio.get_running_loop().create_future() for place in places if place}
        self._under_way |= own
        try:
            pieces = [clips[start : start + judge.batch_size] for start in range(0, len(clips), judge.batch_size)]
            asked = await asyncio.gather(*(self._ask(judge, list(piece)) for piece in pieces))
            hearings = list(itertools.chain.from_iterable(asked))
            for place, hearing in zip(places, hearings, strict=True):
                self._keep(place, hearing)
                if place and not own[place].done():
                    own[place].set_result(hearing)
            return hearings
        finally:
            for place, verdict in own.items():
                self._under_way.pop(place, None)
                if not verdict.done():
                    verdict.set_result(None)

    async def _ask(self, judge: JudgeConfig, clips: list[JudgeClip]) -> list[Hearing]:
        """Ask with retries until the deadline; a fault is every clip's."""
        began = time.monotonic()
        attempt, fault = 0, ""
        deadline = Deadline(judge.deadline_s, self._config.wake_s(judge))
        try:
            async with deadline:
                for attempt in range(1, judge.attempts + 1):
                    if attempt > 1:
                        await asyncio.sleep(judge.pause_s * 2 ** (attempt - 2) * random.uniform(0.5, 1.5))
                    try:
                        verdicts, identity = await self._benches[judge.name].judge(clips, deadline)
                    except JudgeUnavailableError as error:
                        fault = str(error)
                        continue
                    return [Hearing(verdict, time.monotonic() - began, attempt, identity) for verdict in verdicts]
            failed = Failed("unavailable", f"{judge.name}: {judge.attempts} tries: {fault}")
        except TimeoutError:
            late = f"no verdict within {judge.deadline_s:g} s (try {attempt})"
            if deadline.asleep:
                late = f"its pool did not wake within {self._config.wake_s(judge):g} s (scaling.wake_timeout_s)"
            failed = Failed("timeout", f"{judge.name}: {late}{': ' + fault if fault else ''}")
        return [Hearing(failed, time.monotonic() - began, attempt)] * len(clips)

    def _cached(self, key: Place) -> Hearing | None:
        if key in self._cache:
            self._cache.move_to_end(key)
        return self._cache.get(key)

    def _keep(self, key: Place, hearing: Hearing) -> None:
        if key and isinstance(hearing.verdict, Scored) and self._config.cache_size:
            self._cache[key] = hearing
            while len(self._cache) > self._config.cache_size:
                self._cache.popitem(last=False)


def _checked(requests: Sequence[Mapping[str, Any]]) -> tuple[list[JudgeClip], list[Key], list[Failed | None]]:
    """The clips that can be judged, what each is known by, and for each request None or what is wrong with it."""
    clips: list[JudgeClip] = []
    keys: list[Key] = []
    faults: list[Failed | None] = []
    for request in requests:
        audio, reference = _samples(request["audio"]), _samples(request.get("reference"))
        fault = _fault("audio", audio) or ("" if reference is None else _fault("reference", reference))
        faults.append(Failed("bad_clip", f"clip {request['clip_id']!r}: {fault}") if fault else None)
        if not fault and audio is not None:
            rate_hz, wording = int(request["sample_rate_hz"]), int(request.get("wording", 0))
            clips.append(JudgeClip(str(request["clip_id"]), audio, rate_hz, reference, wording=wording))
            keys.append(Key(audio_hash(audio, rate_hz), audio_hash(reference, rate_hz), wording, bool(request.get("fresh", False))))
    return clips, keys, faults


def _place(judge: str, key: Key, text: str) -> Place:
    return () if key.fresh else (judge, key.audio, key.reference, key.wording, text)


def _fault(name: str, audio: np.ndarray | None) -> str:
    if audio is None or audio.ndim != 1:
        return f"the {name} has shape {() if audio is None else audio.shape}; expected mono [samples], not empty"
    bad = int(np.count_nonzero(~np.isfinite(audio)))
    return f"{bad} of {audio.size} samples of the {name} are NaN or infinite" if bad else ""


def _samples(audio: Any) -> np.ndarray | None:
    return None if audio is None or not len(audio) else np.ascontiguousarray(audio, dtype=np.float32)


def at_loudness(clip: JudgeClip, lufs: float) -> JudgeClip:
    """The clip, and its reference, at one loudness."""
    reference = None if clip.reference is None else normalise_loudness(clip.reference, clip.sample_rate_hz, lufs)
    return replace(clip, audio=normalise_loudness(clip.audio, clip.sample_rate_hz, lufs), reference=reference)


def _levelled(clips: Sequence[JudgeClip], lufs: float) -> list[JudgeClip]:
    return [at_loudness(clip, lufs) for clip in clips]


def _words(hearing: Hearing) -> str:
    return hearing.verdict.rationale if isinstance(hearing.verdict, Scored) else ""


def _not_for(judge: type[Judge], clip: JudgeClip) -> Failed | None:
    if judge.needs_reference and clip.reference is None:
        return Failed("no_reference", f"clip {clip.clip_id!r} has no clean reference")
    if judge.reads and not clip.text:
        return Failed("no_text", f"clip {clip.clip_id!r}: the judge that listens gave no words")
    return None


def _written(hearing: Hearing, clip_hash: str) -> dict[str, Any]:
    return verdict_to_dict(hearing.verdict) | {
        "latency_s": round(hearing.latency_s, 4),
        "attempts": hearing.attempts,
        "prompt_hash": hearing.identity.prompt_hash,
        "model_hash": hearing.identity.model_hash,
        "audio_hash": clip_hash,
    }
