"""Where the time of a GSRM verdict goes: Praat, the clip's bands, the rendering, the language model with and without its grammar.

    python -m benchmarks.gsrm_speed --clips 32 --samples 4 16

CPU seconds of this process, so that a busy machine says the same; each figure is the least of `--rounds`. The clips are espeak-ng's
voices with synthetic noise, a round has clips of its own (nothing is remembered from the round before).
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from auricle.gsrm.features import FeaturesConfig, measure
from auricle.gsrm.findings import Findings
from auricle.gsrm.judge import GsrmJudge, GsrmOptions
from auricle.gsrm.praat import formants_hz, sound_of, track
from auricle.judging.engine_options import EngineOptions
from auricle.judging.judge import JudgeClip
from auricle.listeners.sources import find_sources

RATE_HZ = 16_000


def main(argv: Sequence[str] | None = None) -> int:
    """Print CPU milliseconds a clip, stage by stage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gsrm_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="checkpoint folder (default: the shipped reader)")
    parser.add_argument("--clips", type=int, default=32, help="clips judged at once (default: 32)")
    parser.add_argument("--samples", type=int, nargs="*", default=[4, 16], help="K (default: 4 and 16)")
    parser.add_argument("--sequences", type=int, nargs="*", default=[32, 128], help="sequences in flight (default: 32 and 128)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clip-s", type=float, default=3.0)
    arguments = parser.parse_args(argv)
    # Else all rows but the first of an engine would find their clips' grammars compiled, as no run does.
    os.environ.setdefault("VLLM_XGRAMMAR_CACHE_MB", "1")
    rounds = [_clips(arguments.clips, arguments.clip_s, seed) for seed in range(arguments.rounds)]
    print("| stage | CPU ms a clip |\n|---|---|")
    _row("track (pitch twice, two levels)", rounds, lambda clip: track(clip.audio, RATE_HZ))
    _row("formants", rounds, lambda clip: formants_hz(sound_of(clip.audio, RATE_HZ), np.array([0.5])))
    _row("all features", rounds, lambda clip: measure(clip.audio, RATE_HZ, FeaturesConfig()))
    for sequences, constrained in ((arguments.sequences[-1], False), *((each, True) for each in arguments.sequences)):
        engine = EngineOptions(max_num_seqs=sequences)
        judge = GsrmJudge(GsrmOptions(model=arguments.model, samples=1, constrained=constrained, engine=engine))
        judge.judge(_clips(2, arguments.clip_s, 99))  # the engine's first call is slow
        for samples in arguments.samples:
            judge.options = judge.options.model_copy(update={"samples": samples})
            told = f"K = {samples}, {sequences} at a time"
            _model_rows(judge, rounds, told if constrained else f"{told}, no grammar")
        judge.close()
    return 0


def _model_rows(judge: GsrmJudge, rounds: Sequence[Sequence[JudgeClip]], told: str) -> None:
    asked = [[found for clip in clips if isinstance(found := judge._findings(judge._split(0, clip)[0]), Findings)] for clips in rounds]
    if judge.options.constrained:
        _least("rendering", asked, lambda found: [judge.reading(one) for one in found])
    _least(f"language model, {told}", asked, lambda found: judge.answers([judge.reading(one) for one in found], range(len(found)), found))
    texts = [judge.answers([judge.reading(one) for one in found], range(len(found)), found) for found in asked]
    both = [list(zip(found, each, strict=True)) for found, each in zip(asked, texts, strict=True)]
    _least(f"parsing and checking, {told}", both, lambda pairs: [judge.verdict(found, each) for found, each in pairs])
    if judge.options.constrained:
        _least(f"judge, {told}", [list(clips) for clips in rounds], lambda clips: judge.judge(clips))


def _row(told: str, rounds: Sequence[Sequence[JudgeClip]], one: Callable[[JudgeClip], object]) -> None:
    _least(told, [list(clips) for clips in rounds], lambda clips: [one(clip) for clip in clips])


def _least(told: str, rounds: Sequence[list], run: Callable[[list], object]) -> None:
    costs = []
    for each in rounds:
        began = time.process_time()
        run(each)
        costs.append((time.process_time() - began) / len(each))
    print(f"| {told} | {1000 * min(costs):.1f} |", flush=True)


def _clips(count: int, clip_s: float, seed: int) -> list[JudgeClip]:
    sources = find_sources("held-out", [], [], synthetic_share=1.0, seed=0)
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(count):
        speech = sources.speech_crop(round(clip_s * RATE_HZ), rng)
        noisy = 0.1 * (speech + 0.1 * rng.uniform() * sources.noise_crop(len(speech), rng))
        clips.append(JudgeClip(f"clip-{seed}-{number}", noisy.astype(np.float32), RATE_HZ))
    return clips


if __name__ == "__main__":
    sys.exit(main())
