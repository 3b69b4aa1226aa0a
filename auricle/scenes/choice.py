"""Choosing some of many scenes, the same ones every time."""

from collections.abc import Sequence

import numpy as np

from auricle.scenes.scene import Scene


def spread_choice(scenes: Sequence[Scene], most: int) -> list[Scene]:
    """At most `most` scenes (0: all), by id and evenly spread over them: the same ones at every call."""
    ordered = sorted(scenes, key=lambda scene: scene.scene_id)
    if not most or most >= len(ordered):
        return ordered
    return [ordered[int(place)] for place in np.linspace(0, len(ordered) - 1, most).round()]
