"""What a model learns from: clips spoilt in known ways, their features, and the answers that our templates write from both.

    speech --prosody spoilt?--> --sound damaged?--> clip --> features --> rendering  (what is asked)
              |                      |                          |
              +--> naturalness 1-5   +--> sound 1-5 (PESQ)      +--true claims, chosen by the damage--> answer

Every claim of an answer is true of the measured features, by construction; what was done to the clip only decides which true claims are
called an issue. Nothing else of the labels is in the text: no damage by name, no level in dB. The score is
1 + (sound - 1)(naturalness - 1) / 4.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Float32

from auricle.errors import MetricError
from auricle.gsrm.activity import Stretch
from auricle.gsrm.answers import MOST_CLAIMS, Answer, Form
from auricle.gsrm.evidence import LARGEST_COUNT, Claim, clip_claim, notable, ordinary, vowel_claim
from auricle.gsrm.features import Measured, measure
from auricle.gsrm.findings import VOICE, Findings
from auricle.gsrm.flaws import SUBJECTS, Flaw, spoil
from auricle.gsrm.normalisation import NO_BIN, PITCH_WORDS
from auricle.gsrm.nuclei import NucleiConfig, Vowel, find_nuclei
from auricle.gsrm.praat import track
from auricle.listeners.degradations import degrade
from auricle.listeners.labels import Labels, make_labels
from auricle.listeners.sources import Part, Sources
from auricle.metrics.intrusive import pesq_wb

SPOILT_SHARE = 0.45
"""Share of clips whose prosody is spoilt."""
DAMAGED_SHARE = 0.65
"""Share of clips whose sound is damaged."""
AUDIBLE = 0.12

DAMAGE_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "noise": ("noise high", "depth low", "crispness low", "clarity low", "hiss high", "jumps low", VOICE),
    "correlated noise": ("hiss high", "crispness low", "clarity low", "brightness high", VOICE),
    "muffling": ("brightness low", "crispness low", "voids high"),
    "clipping": ("flatness high", "hiss high", "clarity low", "brightness", "crispness low", "depth low"),
    "drop-outs": ("holes high", "jumps high", "flutter high", "intensity variation high", "dynamics high"),
    "over-suppression": ("flutter high", "brightness low", VOICE, "clarity low", "grain low", "voids high"),
    "musical noise": ("flutter high", "noise high", "crispness low", "jumps low", "grain low"),
    "reverberation": (),
    "level jumps": ("intensity", "dynamics high"),
    "garbling": ("clarity low", "flutter", "pitch slope", "pitch variation high"),
    "no speech": (VOICE, "clarity low", "rate", "depth low", "noise high"),
}
"""Which evidence speaks of each artefact of `auricle.listeners.labels`; see `flaws.SUBJECTS`. A room is no fault: see `Degraded`."""


@dataclass(frozen=True)
class Record:
    """One clip: what was measured, and the truth. subjects: what its damages show in (`flaws.SUBJECTS`). pesq: against
    the clip before its damage, in the same room; None without speech."""

    measured: Measured
    naturalness: float
    sound: float
    subjects: tuple[str, ...]
    kind: str
    pesq: float | None

    @property
    def score(self) -> float:
        """Overall, 1-5: as the sound, if the voice is natural; 1 where either is at its worst."""
        return 1.0 + (self.sound - 1.0) * (self.naturalness - 1.0) / 4.0


@dataclass(frozen=True)
class Take:
    """A record with what it was measured of: the sound, the same without its damages, and their labels."""

    record: Record
    audio: Float32[np.ndarray, " samples"]
    reference: Float32[np.ndarray, " samples"]
    labels: Labels


def make_record(part: Part, sources: Sources, index: int, seed: int, clip_s: float) -> Record:
    """The record of take number `index`."""
    return make_take(part, sources, index, seed, clip_s).record


def make_take(part: Part, sources: Sources, index: int, seed: int, clip_s: float) -> Take:
    """Take number `index`; it depends on part, seed and index only. Raises MetricError after 20 draws without a measurement."""
    for attempt in range(20):
        rng = np.random.default_rng([seed, 7, 0 if part == "train" else 1, index, attempt])
        try:
            return _draw(sources, rng, clip_s)
        except MetricError:
            continue
    raise MetricError(f"gsrm lessons: record {index}: 20 draws in a row could not be measured; are the speech folders really speech?")


def true_answer(
    record: Record, findings: Findings, form: Form = "evidence", *, pitch: bool = True, rng: np.random.Generator | None = None
) -> Answer:
    """What a perfect judge writes. pitch: whether it may speak of pitch. rng: grades are then drawn, 3.3 as 3 in seven cases of
    ten, so that a mean of many answers is right to less than a grade; None: they are rounded."""
    score = float(np.clip(round(record.score, 1), 1.0, 5.0))
    if form == "score":
        return Answer(score)
    up = rng.random(2) if rng else (0.5, 0.5)
    naturalness, sound = (
        int(np.clip(np.floor(value + part), 1, 5)) for value, part in zip((record.naturalness, record.sound), up, strict=True)
    )
    if form == "judgement":
        return Answer(score, naturalness, sound)
    sounds = [claim for claim in (clip_claim(findings, "noise"), vowel_claim(findings, VOICE, "missing") if pitch else None) if claim]
    context = _context(findings, pitch=pitch)
    said = {claim.subject for claim in (*context, *sounds)}
    striking = [claim for _, claim in notable(findings, pitch=pitch)]
    issue = _one_a_subject([claim for claim in striking if _speaks_of(claim, record.subjects)])
    said |= {claim.subject for claim in issue}
    fine = ordinary(findings, pitch=pitch) + [claim for claim in striking if str(claim) in ("clarity high", "clarity highest")]
    positive = _one_a_subject([claim for claim in fine if claim.subject not in said])
    return Answer(
        score,
        naturalness,
        sound,
        min(findings.vowels, LARGEST_COUNT),
        context,
        tuple(sounds),
        tuple(positive[:2]),
        tuple(issue[:MOST_CLAIMS]),
    )


def varied(findings: Findings, rng: np.random.Generator) -> Findings:
    """A table as another take of the clip might have it: measures one decile away now and then, some vowels not found. One table a
    clip would be learned by heart."""
    moved = findings.deciles + rng.choice([-1, 0, 1], size=len(findings.deciles), p=[0.12, 0.76, 0.12])
    deciles = np.where(findings.deciles == NO_BIN, NO_BIN, np.clip(moved, 0, 9))
    kept = rng.random(findings.vowels) < (0.93 if findings.vowels > 3 else 1.0)
    unvoiced = int((findings.bins[kept, 0] == NO_BIN).sum())
    return replace(findings, unvoiced=unvoiced, bins=findings.bins[kept], deciles=deciles)


def record_line(record: Record) -> str:
    """The record as a line of JSON."""
    measured = record.measured
    values = {"vowels": [list(vowel) for vowel in measured.vowels], "values": measured.values.tolist(), "clip": measured.clip.tolist()}
    truth = {key: value for key, value in asdict(record).items() if key != "measured"}
    return json.dumps(truth | {"measured": {"duration_s": measured.duration_s, "speech_s": measured.speech_s, **values}})


def record_from_line(line: str) -> Record:
    """The inverse of `record_line`."""
    data = json.loads(line)
    measured = data.pop("measured")
    vowels = tuple(Vowel(*vowel) for vowel in measured["vowels"])
    values = np.array(measured["values"], dtype=np.float64).reshape(-1, 6)
    found = Measured(measured["duration_s"], measured["speech_s"], vowels, values, np.array(measured["clip"], dtype=np.float64))
    return Record(found, data["naturalness"], data["sound"], tuple(data["subjects"]), data["kind"], data["pesq"])


def _draw(sources: Sources, rng: np.random.Generator, clip_s: float) -> Take:
    rate_hz = sources.sample_rate_hz
    speech = sources.speech_crop(round(clip_s * rate_hz * rng.uniform(0.8, 1.0)), rng)
    flaw: Flaw | None = None
    if rng.random() < SPOILT_SHARE:
        found = track(speech, rate_hz)
        vowels = find_nuclei(found, [Stretch(0.0, found.duration_s)], NucleiConfig())
        if vowels:
            speech, flaw = spoil(speech, rate_hz, found, vowels, rng)
            speech = speech[: round(clip_s * rate_hz)]
    kind = None if rng.random() < DAMAGED_SHARE else "clean"
    degraded = degrade(speech, sources.noise_crop(len(speech), rng), rate_hz, rng, kind)
    pesq = None if degraded.kind == "no speech" else pesq_wb(degraded.reference, degraded.audio, rate_hz)
    labels = make_labels(pesq, degraded.damages, len(speech) / rate_hz)
    severity = flaw.severity if flaw else 0.0
    naturalness = 1.0 if degraded.kind == "no speech" else 5.0 - 4.0 * severity
    subjects = [*(SUBJECTS[flaw.prosody] if flaw and severity >= AUDIBLE else ())]
    subjects += [subject for damage in degraded.damages if damage.severity >= AUDIBLE for subject in DAMAGE_SUBJECTS[damage.artefact]]
    told = f"{flaw.prosody} + {degraded.kind}" if flaw else degraded.kind
    record = Record(measure(degraded.audio, rate_hz), naturalness, labels.quality, tuple(dict.fromkeys(subjects)), told, pesq)
    return Take(record, degraded.audio, degraded.reference, labels)


def _context(findings: Findings, *, pitch: bool) -> tuple[Claim, ...]:
    shares = {word: findings.share("pitch", word) for word in PITCH_WORDS} if pitch else {}
    commonest = max(shares, key=lambda word: np.nan_to_num(shares[word]), default="")
    found = [vowel_claim(findings, "pitch", commonest) if commonest else None, clip_claim(findings, "rate")]
    return tuple(claim for claim in found if claim)


def _speaks_of(claim: Claim, subjects: Sequence[str]) -> bool:
    """Whether the claim is about one of the subjects, and goes the way that the subject says where it says one."""
    return bool({claim.subject, f"{claim.subject} {claim.word.removesuffix('est')}"} & set(subjects))


def _one_a_subject(claims: Sequence[Claim]) -> list[Claim]:
    """The first claim about each subject."""
    return list({claim.subject: claim for claim in reversed(claims)}.values())[::-1]
