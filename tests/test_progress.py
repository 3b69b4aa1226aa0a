"""Progress: a bar on a terminal, plain lines in a file."""

import io

import pytest
from rich.console import Console

from auricle.progress import Progress


def told(steps, total=40, *, completed=0, quiet_s=0.0, **console):
    """What a task of `steps` says."""
    file = io.StringIO()
    with Progress(console=Console(file=file, **console), quiet_s=quiet_s) as progress:
        task = progress.add_task("clips [1]", total=total, completed=completed)
        for _ in range(steps):
            progress.advance(task)
    return file.getvalue()


def test_a_file_gets_a_line_at_every_tenth():
    lines = told(40).splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("clips [1]: 4 of 40 (0 s, about ")
    assert lines[-1] == "clips [1]: 40 of 40 (0 s)"


def test_what_is_quickly_done_says_nothing():
    assert told(40, quiet_s=3600.0) == ""


def test_what_was_there_already_is_no_progress():
    assert [line.split(" (")[0] for line in told(8, completed=32).splitlines()] == ["clips [1]: 36 of 40", "clips [1]: 40 of 40"]


def test_work_of_unknown_length_says_nothing():
    assert told(40, total=None) == ""


@pytest.mark.parametrize("disable", [False, True])
def test_a_terminal_gets_the_bar_and_a_disabled_one_nothing(disable):
    file = io.StringIO()
    with Progress(console=Console(file=file, force_terminal=True, width=80), disable=disable, quiet_s=0.0) as progress:
        task = progress.add_task("clips", total=2)
        progress.advance(task, 2)
    assert ("━" in file.getvalue()) is not disable
    assert "2 of 2" not in file.getvalue()


def test_updates_and_tracks_count_too():
    file = io.StringIO()
    with Progress(console=Console(file=file), quiet_s=0.0) as progress:
        task = progress.add_task("steps", total=10)
        progress.update(task, completed=5)
        progress.update(task, completed=10, description="done")
        assert list(progress.track(range(4), description="checking")) == [0, 1, 2, 3]
    assert [line.split(" (")[0] for line in file.getvalue().splitlines()][:2] == ["steps: 5 of 10", "done: 10 of 10"]
    assert "checking: 4 of 4" in file.getvalue()
