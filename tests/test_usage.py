"""What processes say of themselves."""

import subprocess
import sys

import pytest

from auricle import usage
from auricle.usage import Usage, UsageMeter, from_texts, newest, usage_column


def test_a_process_measures_itself_and_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "SAMPLE_EVERY_S", 0.0)
    meter = UsageMeter("rollout")
    alone = meter.sample()
    assert alone.rss_mib > 10
    assert alone.cpu_s > 0
    assert alone.gpu_mib >= 0
    code = "held = bytearray(64 << 20); print(len(held), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert meter.sample().rss_mib > alone.rss_mib + 50
        child.communicate(b"\n")


def test_a_sample_is_told_again_until_it_is_old() -> None:
    meter = UsageMeter("reward")
    assert meter.sample() is meter.sample()


def test_a_column_carries_them_and_the_newest_of_each_process_counts() -> None:
    old, new, other = (Usage("rollout", key, time_s, 1.0, time_s) for key, time_s in (("a:1", 1.0), ("a:1", 2.0), ("a:2", 1.0)))
    column = usage_column([new, other], 3)
    assert column[1:].tolist() == ["", ""]
    assert from_texts(column) == [new, other]
    assert newest([new, old, other]) == [new, other]
