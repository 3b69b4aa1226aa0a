"""How well DNSMOS on the clip as it is (`fast`) agrees with the official padding to 9.01 s, and what it costs.

python benchmarks/dnsmos_windows.py ../shared/data/triplet_vbdemand_cmgan ../shared/data/mos_p835 --seconds 3
"""

import argparse
import time
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from auricle.metrics.agreement import mean_absolute_error, pearson, spearman
from auricle.metrics.dnsmos import RATE_HZ, dnsmos

NAMES = ("sig", "bak", "ovrl", "p808")


def main() -> None:
    """Print one line a score: correlations, mean absolute difference; then the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="cut clips to this length (default: 3)")
    arguments = parser.parse_args()
    files = sorted(path for folder in arguments.folders for path in folder.rglob("*.wav"))
    scores: dict[bool, list[list[float]]] = {False: [], True: []}
    cost_s: dict[bool, list[float]] = {False: [], True: []}
    for path in files:
        audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        clip = resample_poly(audio[:, 0], RATE_HZ, rate_hz)[: int(arguments.seconds * RATE_HZ)].clip(-1.0, 1.0)
        for fast in (False, True):
            began = time.perf_counter()
            result = dnsmos(clip, RATE_HZ, fast=fast)
            cost_s[fast].append(time.perf_counter() - began)
            scores[fast].append([getattr(result, name) for name in NAMES])
    official, quick = np.array(scores[False]), np.array(scores[True])
    print(f"{len(files)} clips of at most {arguments.seconds:g} s")
    for column, name in enumerate(NAMES):
        a, b = official[:, column], quick[:, column]
        print(f"{name:5} pearson {pearson(a, b):.3f}  spearman {spearman(a, b):.3f}  difference {mean_absolute_error(a, b):.3f}")
    print(f"median time: official {1e3 * np.median(cost_s[False]):.0f} ms, fast {1e3 * np.median(cost_s[True]):.0f} ms")


if __name__ == "__main__":
    main()
