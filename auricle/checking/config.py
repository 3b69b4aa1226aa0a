"""What a judge is checked with, and how well it has to do."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from auricle.config import Config

Share = float


class FloorsConfig(Config):
    """The worst figure that passes, probe by probe (auricle/checking/probes.py says how each is measured)."""

    coverage: Share = Field(default=0.95, ge=0, le=1)
    """Least share of clips with a verdict."""
    anchors: Share = Field(default=0.75, ge=0, le=1)
    """Least share of pairs (clean > light > heavy damage) in the right order, over all artefacts; chance is 0.5, a tie counts half."""
    anchors_each: Share = Field(default=0.6, ge=0, le=1)
    """The same for each artefact alone."""
    one_score: Share = Field(default=0.7, ge=0, le=1)
    """Most clips, as a share, that get one and the same score."""
    repeat: float = Field(default=0.9, ge=-1, le=1)
    """Least Pearson correlation of two hearings of the same clips."""
    paraphrase: float = Field(default=0.8, ge=-1, le=1)
    """Least Pearson correlation of scores in other wordings of the question with those in the first; the mean over wordings."""
    loudness: float = Field(default=0.25, ge=0)
    """Largest mean change of the score at 6 dB more or less, in standard deviations of the judge's scores over the anchors."""
    order: Share = Field(default=0.15, ge=0, le=0.5)
    """Largest distance from one half of the share of pairs, heard in both orders, in which the first clip is preferred."""
    silence: Share = Field(default=0.9, ge=0, le=1)
    """Least share of (nearly) silent clips that are scored nearer to heavy damage than to clean speech, or refused."""
    no_speech: Share = Field(default=0.75, ge=0, le=1)
    """The same for noise, tones, modulated and gated noise without speech."""
    clipping: Share = Field(default=0.75, ge=0, le=1)
    """Least share of grossly overdriven clips that are scored below the same clip without it."""
    language: float = Field(default=0.5, ge=0)
    """Largest shift of clean speech in other languages against English in the same voices, as a share of the clean-to-heavy distance."""
    spans: float = Field(default=0.15, ge=0, le=1)
    """Least mean overlap (intersection over union) with planted artefacts, of judges that place artefacts in time."""
    distinct_texts: Share = Field(default=0.2, ge=0, le=1)
    """Least share of different texts among different clips, of judges that write."""


AnchorKind = Literal[
    "noise", "correlated noise", "muffling", "clipping", "drop-outs", "suppression", "reverberation", "level jumps", "garbling"
]


class CheckConfig(Config):
    """The self-check of judges: `auricle judge --self-check`, and the short one before `finetune`."""

    enforce: bool = True
    """Whether finetune refuses a judge with a vote that fails a probe of the short check; false says so and goes on."""
    clips: PositiveInt = 12
    """Utterances of the whole check; each comes clean and in two strengths of every artefact."""
    artefacts: tuple[AnchorKind, ...] = (
        *("noise", "correlated noise", "muffling", "clipping", "drop-outs"),
        *("suppression", "reverberation", "level jumps", "garbling"),
    )
    """Artefacts of the whole check's anchors."""
    short_clips: PositiveInt = 6
    """Utterances of the short check."""
    short_artefacts: tuple[AnchorKind, ...] = ("noise", "clipping", "suppression")
    """Artefacts of the short check's anchors."""
    clip_s: PositiveFloat = 2.5
    """Length of the clips in seconds."""
    speech: tuple[Path, ...] = ()
    """Folders of clean speech. Empty: espeak-ng voices."""
    noise: tuple[Path, ...] = ()
    """Folders of noise. Empty: synthetic noises."""
    languages: tuple[str, ...] = ("de", "fr", "es", "pl")
    """Languages of the wrong-language probe, of those that auricle/checking/languages.py has sentences for."""
    examples: NonNegativeInt = 2
    """Clips a probe that are written down to listen to."""
    seed: int = 0
    """Every draw comes from it."""
    floors: FloorsConfig = FloorsConfig()
