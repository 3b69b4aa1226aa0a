"""Sets of clips with true answers: they survive the disk, come from the cache, and become the lessons of the course `evidence`."""

import numpy as np

from auricle.gsrm.answers import check_answer, parse_answer
from auricle.gsrm.evidence import CheckConfig
from auricle.gsrm.findings import findings_of
from auricle.gsrm.heard import loud_take, prepare_heard
from auricle.gsrm.method import Method
from auricle.gsrm.rendering import LISTENING
from auricle.listeners.calibration import CalibrateConfig, DatasetConfig
from auricle.listeners.courses import courses_of
from auricle.listeners.dataset import read_set
from auricle.listeners.reasoned import Reasoned

DATA = DatasetConfig(clips=3, clip_s=2.0)


def test_what_is_heard_is_answered_truly_and_taught(norms, tmp_path):
    method = Method(norms=norms, window_s=2.0)
    folder = prepare_heard(DATA, "train", method, tmp_path, processes=1)
    written = (folder / "labels.jsonl").stat().st_mtime_ns
    assert prepare_heard(DATA, "train", method, tmp_path, processes=1) == folder
    assert (folder / "labels.jsonl").stat().st_mtime_ns == written
    assert prepare_heard(DATA, "train", Method(norms=norms, window_s=2.0, form="judgement"), tmp_path, processes=1) != folder
    clips = read_set(folder)
    for index, truth in enumerate(clips.labels):
        assert isinstance(truth, Reasoned)
        found = findings_of(loud_take(DATA, "train", index).record.measured, norms)
        assert check_answer(parse_answer(truth.answer), found, CheckConfig()) is None
        assert clips.lengths[index] > 100
    (lesson,) = courses_of(CalibrateConfig(courses={"evidence": 1.0}))["evidence"](clips.labels, np.random.default_rng(0))
    assert [one.answer for one in lesson.exchanges] == [truth.answer for truth in clips.labels]
    assert {one.question for one in lesson.exchanges} == {LISTENING}
    assert [one.audios for one in lesson.exchanges] == [(0,), (1,), (2,)]
