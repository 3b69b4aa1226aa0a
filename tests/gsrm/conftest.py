"""A few measured clips and their norms."""

import numpy as np
import pytest

from auricle.gsrm.features import CLIP_MEASURES, Measured
from auricle.gsrm.findings import Findings, findings_of
from auricle.gsrm.normalisation import Norms, fit_norms
from auricle.gsrm.nuclei import Vowel


def make_measured(seed: int, vowels: int = 12) -> Measured:
    """Random, plausible features."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(90, 260)
    values = np.stack(
        [
            base * 2 ** (rng.normal(0, 2, vowels) / 12),
            np.abs(rng.normal(0.6, 0.3, vowels)) + 0.01,
            rng.normal(-3, 12, vowels),
            rng.normal(65, 4, vowels),
            np.abs(rng.normal(2.5, 1, vowels)) + 0.01,
            np.exp(rng.normal(-2.5, 0.4, vowels)),
        ],
        axis=1,
    )
    values[rng.random(vowels) < 0.1, :3] = np.nan
    places = tuple(Vowel(0.2 * k, 0.2 * k + values[k, 5], str(rng.choice(["open", "front", "back"]))) for k in range(vowels))
    return Measured(3.0, 2.8, places, values, rng.normal(size=len(CLIP_MEASURES)))


@pytest.fixture(scope="session")
def measured() -> list[Measured]:
    return [make_measured(seed, vowels=4 + seed % 12) for seed in range(60)]


@pytest.fixture(scope="session")
def norms(measured: list[Measured]) -> Norms:
    return fit_norms(measured)


@pytest.fixture(scope="session")
def findings(measured: list[Measured], norms: Norms) -> list[Findings]:
    return [findings_of(clip, norms) for clip in measured]
