"""The check of judges: a good ear passes, each faulty one fails its probe, and finetune refuses it with a cure."""

import json

import numpy as np
import pytest

from auricle.checking.check import check_judges
from auricle.checking.config import CheckConfig
from auricle.checking.languages import SENTENCES, sentence
from auricle.checking.people import beside_people
from auricle.checking.sounds import CLEAN, HEAVY, LIGHT, RATE_HZ, one_sound, short_sounds, whole_sounds
from auricle.errors import ConfigError, JudgeError
from auricle.judging.local import LocalPanel
from auricle.judging.panel import JudgeConfig, PanelConfig
from pipelines.finetune_check import _passed_before, check_before_the_run
from pipelines.reporting.check import markdown, save
from pipelines.settings import Settings

CONFIG = CheckConfig(
    clips=4, short_clips=3, artefacts=("noise", "drop-outs"), short_artefacts=("noise",), clip_s=1.5, languages=("de",), examples=1
)


@pytest.fixture(scope="module")
def sounds():
    return whole_sounds(CONFIG)


def panel(fault="", **more):
    return PanelConfig(judges=(JudgeConfig(name="ear", kind="tests.checking.ears:Ear", options={"fault": fault}, **more),))


def report_on(fault, sounds):
    config = panel(fault)
    with LocalPanel(config) as local:
        return check_judges(config, sounds, CONFIG, local.judge, compare=local.compare)


def test_sounds_are_a_function_of_the_settings_and_graded(sounds):
    again = {sound.name: sound for sound in whole_sounds(CONFIG)}
    assert len(again) == len(sounds)
    assert all(np.array_equal(sound.audio, again[sound.name].audio) for sound in sounds)
    assert all(len(sound.audio) == int(CONFIG.clip_s * RATE_HZ) and np.isfinite(sound.audio).all() for sound in sounds)
    residual = {
        level: np.mean([np.mean((s.audio - s.reference) ** 2) for s in sounds if s.group == "anchor" and s.level == level])
        for level in (CLEAN, LIGHT, HEAVY)
    }
    assert residual[CLEAN] < residual[LIGHT] < residual[HEAVY]
    assert {s.kind for s in sounds if s.group == "language"} == {"en-us", "de"}


def test_a_good_ear_passes_every_probe(sounds):
    report = report_on("", sounds)
    assert report.failures() == []
    assert all(finding.passed for finding in report.findings), [f.probe for f in report.findings if not f.passed]
    assert report.identities == {"ear": ("ear", "fault ")}


@pytest.mark.parametrize(
    ("fault", "probe"),
    [
        ("constant", "anchors"),
        ("constant", "one_score"),
        ("level", "loudness"),
        ("mute", "coverage"),
        ("silence-lover", "silence"),
        ("first", "order"),
        ("repetitive", "distinct_texts"),
        ("forgetful", "repeat"),
    ],
)
def test_each_fault_fails_its_probe(fault, probe, sounds):
    failed = {finding.probe: finding for finding in report_on(fault, sounds).failures()}
    assert probe in failed
    finding = failed[probe]
    if finding.figure is not None:
        assert (finding.figure < finding.bound) == finding.at_least


def test_a_probe_that_does_not_apply_neither_passes_nor_fails(sounds):
    config = PanelConfig(judges=(JudgeConfig(name="stoi"),))
    with LocalPanel(config) as local:
        report = check_judges(config, sounds[:60], CONFIG, local.judge, compare=local.compare)
    found = {finding.probe: finding.passed for finding in report.findings}
    assert [name for name, passed in found.items() if passed is None][:3] == ["paraphrase", "order", "silence"] or found["order"] is None
    assert found["paraphrase"] is None
    assert found["distinct_texts"] is None
    assert found["anchors"]


def test_the_report_can_be_read_and_heard(sounds, tmp_path):
    report = report_on("silence-lover", sounds)
    people = beside_people(panel().judges, [1.0, 2.0, 3.0], [{"ear": {"state": "scored", "score": s}} for s in (1.0, 2.5, 3.0)])
    save(report, people, sounds, tmp_path, examples=1)
    data = json.loads((tmp_path / "check.json").read_text())
    silent = next(finding for finding in data["findings"] if finding["probe"] == "silence")
    assert silent["passed"] is False
    assert (tmp_path / "sounds" / f"{silent['examples'][0]}.wav").exists()
    assert silent["examples"][0] in (tmp_path / "check.html").read_text()
    assert "| ear | silence | FAIL |" in markdown(report, people)
    assert people[0].spearman is not None
    assert people[0].spearman.value == pytest.approx(1.0)


def test_no_sentence_in_a_language_says_which_there_are():
    rng = np.random.default_rng(0)
    assert sentence("pl", rng) in SENTENCES["pl"]
    with pytest.raises(ConfigError, match=r"check\.languages: no sentences in 'xx'"):
        sentence("xx", rng)


def _before(fault, tmp_path, monkeypatch, notes, calls, **check):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    settings = Settings(panel=panel(fault), check=CONFIG.model_copy(update=check))
    with LocalPanel(settings.panel) as local:

        def ask(requests):
            calls.append(len(requests))
            return local.judge(requests)

        check_before_the_run(settings, ask, tmp_path / "check", notes.append)


def test_a_run_is_refused_with_probe_figure_floor_and_cure(tmp_path, monkeypatch):
    with pytest.raises(JudgeError) as caught:
        _before("constant", tmp_path, monkeypatch, [], [])
    message = str(caught.value)
    assert "judge 'ear' is not fit" in message
    assert "probe anchors: 0.50 [" in message
    assert ">= 0.75 is wanted" in message
    assert "check.enforce=false" in message
    assert (tmp_path / "check" / "check.html").exists()


def test_told_otherwise_it_goes_on_and_says_so(tmp_path, monkeypatch):
    notes = []
    _before("constant", tmp_path, monkeypatch, notes, [], enforce=False)
    assert any("going on although ear, probe anchors" in note for note in notes)


def test_a_panel_that_passed_is_remembered_by_what_it_is(tmp_path, monkeypatch):
    calls = []
    _before("", tmp_path, monkeypatch, [], calls)
    assert sum(calls) > len(short_sounds(CONFIG))
    calls.clear()
    _before("", tmp_path, monkeypatch, [], calls)
    assert calls == [1]  # only asked what it is
    calls.clear()
    _before("anonymous", tmp_path, monkeypatch, [], calls)
    _before("anonymous", tmp_path, monkeypatch, [], calls)
    assert sum(calls) > 2 * len(short_sounds(CONFIG))


def test_what_passed_is_forgotten_when_the_judge_whose_words_are_read_changes():
    listener = JudgeConfig(name="ear", kind="tests.checking.ears:Ear", weights={})
    reader = JudgeConfig(name="words", kind="vader", reads="ear")
    settings = Settings(panel=PanelConfig(judges=(listener, reader)), check=CONFIG)

    def known(model):
        answer = {"ear": {"prompt_hash": "p", "model_hash": model}, "words": {"prompt_hash": "p", "model_hash": "m"}}
        return _passed_before(settings, lambda requests: [answer], one_sound(CONFIG), ["words"])

    assert known("one") == known("one") != known("another")


def test_a_judge_without_a_vote_is_not_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    good = JudgeConfig(name="good", kind="tests.checking.ears:Ear")
    bad = JudgeConfig(name="bad", kind="tests.checking.ears:Ear", options={"fault": "constant"}, weights={})
    settings = Settings(panel=PanelConfig(judges=(good, bad)), check=CONFIG)
    with LocalPanel(settings.panel) as local:
        check_before_the_run(settings, local.judge, tmp_path / "check", lambda note: None)
