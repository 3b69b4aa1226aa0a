"""Configuration of the verbs that show results."""

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from auricle.config import Config


class EvaluateConfig(Config):
    """`auricle evaluate`: which scores, over which scenes, with which intervals."""

    metrics: tuple[str, ...] = ("pesq", "stoi", "si_sdr", "dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")
    """Metrics of the table; those that need a clean target are left out where a scene has none."""
    scenes: NonNegativeInt = 0
    """At most this many scenes, evenly spread over the list; 0: all."""
    snr_band_db: PositiveFloat = 5.0
    """Width of the SNR bands, in dB."""
    workers: NonNegativeInt = 0
    """Processes that compute metrics; 0: one a core."""
    resamples: PositiveInt = 2000
    """Bootstrap draws of an interval."""
    panel_batch: PositiveInt = 16
    """Clips handed to the panel at a time."""
    panel_timeout_s: PositiveFloat = 300.0
    """Deadline of one call to the panel, in seconds."""
