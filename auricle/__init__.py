"""Auricle: reinforcement learning for audio-visual speech enhancement, rewarded by language models that listen.

This package is the domain: torch modules and pure functions. It imports no Ray, no server and no tracker.
"""

__version__ = "0.1.0"
