"""The progress display: pure rendering, the plain fall-back, and the live panel on a (recorded) terminal."""

import io

from rich.console import Console

from pipelines.display import Display
from pipelines.reporting.progress import Progress, plain_line, render, sparkline

METRICS = {
    "reward/mean": 0.25,
    "reward/std": 0.4,
    "reward/part/listener": 3.42,
    "stream/staleness_mean": 1.5,
    "stream/staleness_max": 3.0,
    "pool/rollout/busy_share": 0.72,
    "pool/reward/busy_share": 0.98,
    "pool/rollout/queue_age_s": 3.25,
    "pool/reward/queue_age_s": 12.0,
    "pool/learner/queue_age_s": 0.01,
    "failures/timeout": 2.0,
    "ledger/issued": 1200.0,
    "ledger/trained": 1180.0,
    "ledger/dropped": 4.0,
    "ledger/in_flight": 16.0,
}


def shown(progress: Progress, now_s: float, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, record=True)
    console.print(render(progress, now_s))
    return console.export_text()


def a_progress() -> Progress:
    progress = Progress("demo", total_steps=20)
    progress.on_guard(0, {"pesq": 1.80, "stoi": 0.701, "panel": 3.0})
    for step in range(1, 11):
        progress.on_step(step, METRICS | {"reward/mean": step / 10}, now_s=10.0 * step)
    progress.on_guard(10, {"pesq": 1.85, "stoi": 0.690, "panel": 3.0, "si_sdr": None})
    progress.words = "A clear voice with a little hiss."
    progress.scene_id = "S0007"
    return progress


def test_the_panel_shows_all_that_matters() -> None:
    text = shown(a_progress(), now_s=100.0)
    for expected in (
        "demo",
        "10 / 20",
        "1:40 left",
        "1.000 ± 0.400",
        "PESQ 1.85 ↑ +0.050",
        "STOI 0.690 ↓ \N{MINUS SIGN}0.011",
        "panel 3.000 → +0.000",
        "mean 1.5   max 3 versions",
        "72%",
        "98%",
        "at the gate 3.2 s   before reward 12.0 s",
        "timeout 20",
        "issued 1,200 = trained 1,180 + dropped 4 + in flight 16",
        "“A clear voice with a little hiss.”",
    ):
        assert expected in text


def test_the_panel_fits_a_narrow_terminal() -> None:
    assert max(len(line) for line in shown(a_progress(), 100.0, width=60).splitlines()) <= 60


def test_before_the_first_step_the_phase_is_shown_and_nothing_else() -> None:
    progress = Progress("demo", total_steps=5, phase="starting the judges")
    text = shown(progress, 3.0)
    assert "starting the judges" in text
    assert "reward" not in text
    assert plain_line(progress, 3.0) == "[demo] starting the judges (0:03)"


def test_the_plain_line_is_ascii_and_complete() -> None:
    line = plain_line(a_progress(), now_s=100.0)
    assert line.isascii()
    for expected in (
        "step 10/20",
        "1:40 (+1:40)",
        "reward 1.000",
        "PESQ 1.85",
        "staleness 3",
        "busy rollout 72% reward 98%",
        "waits gate 3.2 s reward 12.0 s",
        "failed timeout 20",
    ):
        assert expected in line


def test_time_left_follows_the_recent_rate() -> None:
    progress = Progress("demo", total_steps=30)
    assert progress.left_s(0.0) is None
    for step, now_s in enumerate([100.0, 110.0, 112.0, *(112.0 + 2 * k for k in range(1, 18))], start=1):
        progress.on_step(step, {}, now_s)
    assert progress.left_s(146.0) == 20.0
    assert progress.left_s(149.0) == 17.0


def test_a_sparkline_spans_its_values() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([2.0, 2.0]) == "▄▄"
    assert sparkline([]) == ""
    assert len(sparkline([float(i) for i in range(100)], width=20)) == 20


def test_without_a_terminal_plain_lines_are_written() -> None:
    stream = io.StringIO()
    with Display("demo", 3, console=Console(file=stream), plain_every_s=0.0) as display:
        display.phase("starting the judges")
        display.step(1, METRICS)
        display.event("A rollout actor died and was replaced.")
    lines = stream.getvalue().splitlines()
    assert "starting the judges" in lines[0]
    assert "step 1/3" in lines[1]
    assert lines[2] == "[demo] A rollout actor died and was replaced."
    assert "step 1/3" in lines[-1]


def test_on_a_terminal_the_panel_is_live() -> None:
    stream = io.StringIO()
    with Display("demo", 3, console=Console(file=stream, force_terminal=True, width=100)) as display:
        display.step(1, METRICS)
        display.words("S1", "Muffled speech.")
    assert "Muffled speech." in stream.getvalue()
    assert "1 / 3" in stream.getvalue()
