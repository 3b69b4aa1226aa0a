"""What a judge says of one clip: `Scored`, or `Failed`. A failure is never a number."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Span:
    """An artefact that a judge places in time."""

    artefact: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Scored:
    """A judgement.

    score: on the judge's own scale, higher is better (listeners and DNSMOS: 1-5; PESQ: 1-4.64; STOI: 0-1; SI-SDR: dB); None where a judge
    only describes, and another scores its words.
    rationale: the judge's words; empty for metrics.
    dimensions: further scores by name, such as sig, bak, sentiment, expected.
    spans: artefacts in time, for credit in time.
    """

    score: float | None
    rationale: str = ""
    dimensions: dict[str, float] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Failed:
    """No judgement, and why: one short machine-readable word (`timeout`, `unparsable`, `error`...) and a detail for people."""

    reason: str
    detail: str = ""


Verdict = Scored | Failed


def verdict_to_dict(verdict: Verdict) -> dict[str, Any]:
    """A JSON-ready dictionary; `state` tells `scored` from `failed`."""
    return {"state": "scored" if isinstance(verdict, Scored) else "failed", **asdict(verdict)}


def verdict_from_dict(data: dict[str, Any]) -> Verdict:
    """The inverse of `verdict_to_dict`."""
    values = {key: value for key, value in data.items() if key != "state"}
    if data["state"] == "failed":
        return Failed(**values)
    values["spans"] = tuple(Span(**span) for span in values.get("spans", ()))
    return Scored(**values)
