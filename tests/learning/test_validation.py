"""Scores on held-out scenes: the target scores best, the groups are told apart, and what cannot be computed is left out."""

from dataclasses import replace

import numpy as np
import pytest

from auricle.enhancers.registry import build_enhancer
from auricle.errors import MetricError, SceneError
from auricle.learning.validation import compare, load_clips, means, score_audio, score_enhancer
from tests.talking import talking_scenes


@pytest.fixture(scope="module")
def network():
    options = {"window_samples": 256, "hop_samples": 128, "frame_size_px": 16, "channels": 2, "width": 8, "video_width": 4, "layers": 1}
    return build_enhancer("tf_fusion", options)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, network):
    return load_clips(talking_scenes(tmp_path_factory.mktemp("corpus"), 6, split="dev"), network)


def test_targets_beat_mixtures_and_silence_is_no_number(clips):
    best = means(score_audio([clip.target for clip in clips], clips))
    noisy = means(score_audio([clip.mix for clip in clips], clips))
    assert all(best[name] > noisy[name] for name in best)
    silent = score_audio([np.zeros_like(clip.mix) for clip in clips], clips)
    with pytest.raises(MetricError, match="silent"):
        means(silent)


def test_the_picture_that_is_shown_is_the_one_asked_for(clips, network):
    own, shuffled, none = (score_enhancer(network, clips, picture)["si_sdr"] for picture in ("own", "shuffled", "none"))
    assert not np.allclose(own, shuffled)
    assert not np.allclose(own, none)
    blind = [replace(clip, frames=None) for clip in clips]
    np.testing.assert_array_equal(score_enhancer(network, blind, "own")["si_sdr"], none)


def test_the_table_has_both_groups_and_paired_differences(clips):
    systems = {
        "noisy": score_audio([clip.mix for clip in clips], clips),
        "clean": score_audio([clip.target for clip in clips], clips),
    }
    rows = compare(systems, clips, "clean")
    assert {(row["group"], row["clips"]) for row in rows} == {("all", 6), ("competing talker", 3)}
    noisy = [row for row in rows if row["system"] == "noisy"]
    assert all(row["difference"] < 0 for row in noisy)
    assert all("difference" not in row for row in rows if row["system"] == "clean")
    row = next(row for row in noisy if row["group"] == "all" and row["metric"] == "si_sdr")
    assert row["low"] <= row["difference"] <= row["high"]


def test_scenes_without_a_target_are_refused(clips, network):
    with pytest.raises(SceneError, match="clean targets"):
        load_clips([replace(clips[0].scene, target=None)], network)
