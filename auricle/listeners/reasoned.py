"""Clips about which a listener learns to reason: what is true of them, and the whole answer that a perfect judge writes (GSRM)."""

from dataclasses import dataclass

from auricle.listeners.labels import Labels


@dataclass(frozen=True)
class Reasoned(Labels):
    """Labels as of any clip that we damaged, and the answer: evidence, judgement and score, as `auricle.gsrm.answers` writes them."""

    answer: str
