"""What can be learned of a process from its pulse: busy, hanging below Python, stopped, killed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from auricle.pulse import Pulse, read_pulses, stacks_of

HANG = """
import sys, time
from pathlib import Path
from auricle.pulse import Pulse
pulse = Pulse("learner rank 1", {"job": "a"}, folder=Path(sys.argv[1]))
def hang_here():
    print("ready", flush=True)
    time.sleep(600)
with pulse.during("step 3: learning from 8 rows"), pulse.during("waiting for rank 0"):
    hang_here()
"""


@pytest.fixture
def hanging(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HANG, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


def test_a_hanging_process_tells_what_it_does_and_where(hanging, tmp_path):
    [beat] = read_pulses(folder=tmp_path)
    assert (beat.who, beat.pid, beat.count, beat.scope) == ("learner rank 1", hanging.pid, 2, {"job": "a"})
    assert beat.state in ("running", "sleeping")
    assert "step 3: learning from 8 rows (for" in beat.sentence()
    for _ in range(2):  # also a second time
        assert "hang_here" in stacks_of(beat, folder=tmp_path)
    assert hanging.poll() is None


def test_a_stopped_process_is_called_so_and_not_asked(hanging, tmp_path):
    os.kill(hanging.pid, signal.SIGSTOP)
    os.waitpid(hanging.pid, os.WUNTRACED)
    [beat] = read_pulses(folder=tmp_path)
    assert beat.state == "stopped by a signal"
    assert stacks_of(beat, folder=tmp_path) == "no stacks: the process is stopped by a signal"


def test_a_killed_process_is_gone_and_its_number_is_not_signalled(hanging, tmp_path):
    hanging.kill()
    hanging.wait()
    [beat] = read_pulses(folder=tmp_path)
    assert beat.state == "gone"
    assert "gone" in stacks_of(beat, folder=tmp_path)


def test_what_is_over_is_no_longer_said(tmp_path):
    def work(folder):
        pulse = Pulse("judge", {}, folder=folder)
        with pulse.during("judging 4 clips"):
            pass
        pulse.rename("judge listener")
        time.sleep(60)

    process = multiprocessing.get_context("fork").Process(target=work, args=(tmp_path,), daemon=True)
    process.start()
    try:
        deadline = time.monotonic() + 30
        while not (beats := [beat for beat in read_pulses(folder=tmp_path) if beat.who == "judge listener"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (beats[0].count, beats[0].doing) == (0, ())
        assert "nothing under way" in beats[0].sentence()
    finally:
        process.kill()
        process.join()


def test_without_a_folder_there_is_no_pulse_and_no_error(tmp_path):
    with Pulse("judge", {}, folder=tmp_path / "nowhere").during("judging"):
        pass
