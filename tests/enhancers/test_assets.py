import numpy as np
import torch

from auricle.enhancers.assets import default_enhancer
from auricle.enhancers.checkpoint import load_enhancer


def test_the_shipped_enhancer_is_small_and_takes_out_noise():
    folder = default_enhancer()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5_000_000
    enhancer = load_enhancer(folder)
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(0.05 * rng.standard_normal((1, 2 * enhancer.sample_rate_hz)).astype(np.float32))
    left = enhancer.enhance(noise, None)
    assert left.square().mean() < 0.25 * noise.square().mean()
