"""The report of a run: what it says, that it needs nothing else, and that a browser agrees."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import ConfigError
from auricle.metrics.intervals import Estimate
from pipelines.report import build_report, charts_of, main, page_samples
from pipelines.reporting.media import flac_uri, spectrogram
from pipelines.reporting.names import duration_text, measure
from pipelines.reporting.plot import Series, line_chart, nice_ticks, running_mean
from pipelines.reporting.running import marks_of, running
from pipelines.reporting.runs import read_run, sayings
from pipelines.reporting.verdict import run_verdict, verdict_on
from pipelines.run_folder import RunFolder
from pipelines.samples import hearing_from_verdicts, read_samples, write_sample
from pipelines.settings import RunSettings, Settings
from tests.browser import look_at, needs_chromium
from tests.runs import RATE_HZ, WORDS, tone, write_run

VOID = {"meta", "link", "img", "br", "input", "hr", "circle", "line", "polyline", "path"}


class Nesting(HTMLParser):
    """Checks that every element is closed in order, and collects what a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.getpos())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    return build_report(run)


def test_the_page_is_whole_and_needs_no_other_file(page: Path) -> None:
    parsed = Nesting(page.read_text(encoding="utf-8"))
    assert parsed.open == []
    assert {link.partition(":")[0] for link in parsed.links if not link.startswith("#")} == {"data"}
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_the_page_says_what_happened(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for expected in (
        "The panel&#39;s score rose by +0.",
        "issued 240 = trained 239 + dropped 1 + in flight 0",
        "timeout 3",
        "Over the whole run: reward holds the others up</strong> (busy: rollout",
        "slowest judge: listener, 95 % within 4.5 s",
        "listener 1 -&gt; 2: calls wait (3 waiting for 2.5 s)",
        "a rollout actor died and was replaced",
        "Muffled speech with a loud hum &lt;b&gt;&amp;",
        "KL to the pretrained model",
        "auricle finetune --preset",
        "seed = 7",
        "fine-tuned (best checkpoint by guard)</dt><dd>step 30",
    ):
        assert expected in text, expected
    assert "<b>&" not in text


@needs_chromium
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_the_page_without_complaint(page: Path, tmp_path: Path, width: int) -> None:
    found, console = look_at(page, tmp_path, width=width)
    assert console == []
    assert found["requests"] == []
    assert found["durations"] == [1.0] * 8
    assert all(found["images"])
    assert len(found["images"]) == 8
    assert found["svgs"] >= 12
    assert found["page_width"] <= found["window_width"]
    assert found["unnamed"] == 0
    assert found["headings"] == [
        "tiny",
        "Did it help?",
        "Listen",
        "What the listener said",
        "Curves",
        "How it ran",
        "Accounting",
        "How to make it again",
    ]


def test_a_run_that_has_done_nothing_yet_has_a_report(tmp_path: Path) -> None:
    run = RunFolder.create(Settings(run=RunSettings(folder=tmp_path, name="new")))
    text = build_report(run.path).read_text(encoding="utf-8")
    assert "The run has not taken a step yet." in text
    assert "The run has no ledger yet." in text
    assert Nesting(text).open == []


def test_the_verb_writes_the_page_and_refuses_what_is_no_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert main([str(tmp_path)]) == 1
    assert "no run there" in capsys.readouterr().err


def test_a_supervised_run_has_a_report_too(tmp_path: Path) -> None:
    run = RunFolder.create(Settings(run=RunSettings(folder=tmp_path, name="pretrain")))
    for step in (25, 50):
        run.append("metrics.jsonl", {"step": step, "loss": 1.0 / step, "dev_pesq": 1.2})
    text = build_report(run.path).read_text(encoding="utf-8")
    for expected in ("Supervised training, 50 steps.", "PESQ on held-out scenes", "auricle pretrain --preset"):
        assert expected in text
    assert "ledger" not in text.partition("Configuration")[0]


def test_a_chart_shows_at_least_the_limits_asked_for() -> None:
    inside, beyond = (line_chart("Busy", [Series("a", [0, 1], [0.2, top])], y_range=(0.0, 1.0)) for top in (0.4, 5.0))
    assert inside is not None
    assert beyond is not None
    assert ">1</text>" in inside.svg
    assert ">6</text>" in beyond.svg


def test_the_guards_stop_is_the_headline(tmp_path: Path) -> None:
    verdict = run_verdict(read_run(write_run(tmp_path, guard_stop=True, samples=0)))
    assert verdict.tone == "mixed"
    assert verdict.headline.startswith("Stopped by the guard after step 30")
    assert "rose by" in verdict.detail


def change(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, value + half, 40, 8)


@pytest.mark.parametrize(
    ("changes", "tone", "headline"),
    [
        ({"panel": change(0.2), "pesq": change(0.05)}, "good", "The panel's score rose by +0.200 [+0.190, +0.210], and PESQ with it."),
        ({"panel": change(0.2), "pesq": change(-0.05)}, "mixed", "The panel's score rose by +0.200 [+0.190, +0.210], but PESQ fell."),
        (
            {"panel": change(0.2), "stoi": change(0.0)},
            "good",
            "The panel's score rose by +0.200 [+0.190, +0.210]; no guard changed clearly.",
        ),
        ({"panel": change(0.005)}, "open", "No clear change in the panel's score: +0.005 [-0.005, +0.015]."),
        ({"panel": change(-0.2), "pesq": change(0.1)}, "bad", "The panel's score fell by -0.200 [-0.210, -0.190]."),
        ({"pesq": change(0.1), "stoi": change(-0.1)}, "mixed", "PESQ rose; STOI fell."),
        ({"panel": Estimate(0.2, math.nan, math.nan, 1, 1)}, "open", "No clear change in the panel's score: +0.200 [n < 3 speakers]."),
    ],
)
def test_verdicts(changes: dict[str, Estimate], tone: str, headline: str) -> None:
    verdict = verdict_on(changes, "")
    assert (verdict.tone, verdict.headline.replace("\N{MINUS SIGN}", "-")) == (tone, headline)


def test_from_few_groups_nothing_is_called_clear() -> None:
    verdict = verdict_on({"panel": Estimate(0.2, 0.19, 0.21, 40, 4)}, "")
    assert (verdict.tone, verdict.headline) == ("open", "No clear change in the panel's score: +0.200 [+0.190, +0.210].")
    assert "From 4 independent groups of clips nothing can be called clear." in verdict.detail
    assert "called clear" not in verdict_on({"panel": change(0.2)}, "").detail


def test_an_optimised_metric_is_no_guard() -> None:
    changes = {"panel": change(0.2), "pesq": change(-0.1)}
    assert verdict_on(changes, "").tone == "mixed"
    assert verdict_on(changes, "", optimised={"pesq"}).tone == "good"


def test_the_listeners_words_are_counted_by_third(run: Path) -> None:
    said = {saying.text: saying for saying in sayings(run / "ledger")}
    assert set(said) == set(WORDS)
    assert sum(saying.count for saying in said.values()) == 239
    assert said[WORDS[1]].reward == 1.0
    assert said[WORDS[1]].late_share > said[WORDS[1]].early_share


def test_an_unbalanced_ledger_is_said_aloud(tmp_path: Path) -> None:
    run = write_run(tmp_path, samples=0)
    (run / "ledger" / "issued.json").write_text('{"issued": 3}')
    assert "The ledger does not add up" in build_report(run).read_text(encoding="utf-8")


def test_samples_beyond_the_budget_are_left_out_and_counted(run: Path) -> None:
    samples = read_samples(run)
    shown, left_out = page_samples(samples)
    assert (len(shown), left_out) == (2, 0)
    one = sum(stage["sound"].size for stage in shown[0]["stages"])
    shown, left_out = page_samples(samples, budget=one + 10)
    assert (len(shown), left_out) == (1, 1)


def test_a_sample_keeps_stages_that_are_not_written_again(tmp_path: Path) -> None:
    write_sample(tmp_path, "S1", {"noisy": tone(0, 0.1)}, RATE_HZ, {"noisy": {"description": "hum", "expected": 1.5}})
    write_sample(tmp_path, "S1", {"after": tone(0, 0.0)}, RATE_HZ, {"after": {"description": "clear", "expected": 4}})
    (sample,) = read_samples(tmp_path)
    assert {stage: hearing.words for stage, hearing in sample.hearings.items()} == {"noisy": "hum", "after": "clear"}
    assert sample.hearings["after"].scores == {"expected": 4.0}
    with pytest.raises(ValueError, match="unknown stage louder"):
        write_sample(tmp_path, "S1", {"louder": tone(0, 0.1)}, RATE_HZ)


def test_failed_verdicts_become_no_score() -> None:
    span = {"artefact": "hum", "start_s": 0.0, "end_s": 0.5}
    entry = hearing_from_verdicts(
        {
            "listener": {"state": "scored", "score": 2.5, "rationale": "hum", "spans": [span]},
            "dnsmos": {"state": "failed", "reason": "timeout"},
        }
    )
    assert entry == {"description": "hum", "listener": 2.5, "spans": [span], "failed": {"dnsmos": "timeout"}}


def test_charts_leave_out_what_was_not_measured(run: Path) -> None:
    titles = {title: [chart.title for chart in charts] for title, charts in charts_of(read_run(run))}
    assert "Reward part: listener" in titles["Reward"]
    assert line_chart("nothing", [Series("a", [0, 1], [math.nan, math.nan])]) is None


def test_pools_judges_and_scalings_have_charts_and_tables(run: Path) -> None:
    record = read_run(run)
    ran = running(record)
    charts = {chart.title: chart for chart in ran.charts}
    assert {
        "Busy share of each pool",
        "A block's wait before each pool (s)",
        "Processes",
        "Failed verdicts a step: listener timeout",
        "Memory (GiB)",
    } <= set(charts)
    assert "listener: from 1 to 2" in charts["Processes"].summary
    assert 'class="mark"' in charts["Processes"].svg
    assert [mark.x for mark in marks_of(record.steps, record.scaled)] == [15.0]
    assert {judge.name: (judge.verdicts, judge.failed) for judge in ran.judges} == {"listener": (240, 3), "sentiment": (240, 3)}
    assert [pool.name for pool in ran.pools] == ["rollout", "reward", "learner"]


def test_a_chart_keeps_its_points_inside_and_tells_them_in_words() -> None:
    chart = line_chart("Reward", [Series("reward", range(3), [0.0, math.nan, -2.5])], unit="dB", digits=1)
    assert chart is not None
    numbers = [tuple(map(float, pair.split(","))) for pair in re.findall(r'points="([^"]*)"', chart.svg)[0].split()]
    assert len(numbers) == 2
    assert all(0 <= x <= 460 and 0 <= y <= 240 for x, y in numbers)
    assert chart.summary == "Reward. reward: from 0.0 to -2.5 dB (lowest -2.5, highest 0.0)."


def test_a_line_keeps_its_colour_where_another_is_empty() -> None:
    chart = line_chart("Reward", [Series("first", [], []), Series("second", [0, 1], [1.0, 2.0])])
    assert chart is not None
    assert chart.legend == ((1, "second"),)
    assert "line s1" in chart.svg


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.2, 7.7), (0.0213, 0.0219), (5.0, 5.0), (0.0, 0.0), (-1e-9, 1e5)])
def test_ticks_are_round_and_enclose_the_data(low: float, high: float) -> None:
    ticks = nice_ticks(low, high, 4)
    slack = 1e-8 * (high - low)
    assert ticks[0] - slack <= low <= high <= ticks[-1] + slack
    assert 2 <= len(ticks) <= 8
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_a_running_mean_passes_over_gaps() -> None:
    assert running_mean([1.0, math.nan, 3.0, 5.0], 2) == [1.0, 1.0, 2.0, 4.0]


def test_a_spectrogram_shows_where_the_tone_is() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    picture = spectrogram(0.1 * np.sin(2 * np.pi * 2000 * time_s), RATE_HZ)
    assert picture.shape == (128, 126)
    loudest = (picture[:, 60].argmax() + 0.5) / 128 * 8000
    assert abs(loudest - 2000) < 70
    assert spectrogram(np.zeros(10), RATE_HZ).max() == 0.0


def test_sound_is_stored_without_loss() -> None:
    import base64
    import io

    import soundfile

    audio = np.round(tone(0, 0.02) * 32767) / 32767
    stored, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(flac_uri(audio, RATE_HZ).partition(",")[2])))
    assert rate_hz == RATE_HZ
    assert np.abs(stored - audio).max() < 1.1 / 32768


def test_names_for_people() -> None:
    assert measure("dnsmos_ovrl").label == "DNSMOS overall"
    assert measure("reward/part/my_judge").label == "reward/part/my judge"
    assert measure("si_sdr").change_text(-0.5) == "\N{MINUS SIGN}0.50"
    assert [duration_text(s) for s in (7, 75, 3700)] == ["0:07", "1:15", "1:01:40"]


def test_no_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("no run there (no config.toml)")):
        read_run(tmp_path)
