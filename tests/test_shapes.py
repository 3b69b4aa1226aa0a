"""The shape checks of conftest.py are at work."""

import jaxtyping
import numpy as np
import pytest

from auricle.learning.credit import time_credit


def test_a_wrong_shape_is_refused_at_the_call() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="valid"):
        time_credit(np.zeros((2, 3)), ["a", "a"], np.ones(3, dtype=bool), 1.0)
