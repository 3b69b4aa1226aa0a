"""The frameworks' chatter: warnings into the run's file, errors into the file and onto the terminal; afterwards all is as it was."""

import subprocess
import sys
from functools import partial
from pathlib import Path

from ray._private import worker as ray_worker

from actors.chatter import NAME, chatter_to

# In a process of its own: pytest has handlers on all loggers.
STORY = """
import logging, sys, warnings
from pathlib import Path
from ray import serve
from actors.chatter import chatter_to

ours, theirs = logging.getLogger("auricle.scenes"), logging.getLogger("ray.serve")
with chatter_to(Path(sys.argv[1])):
    theirs.warning("queue length unknown")
    theirs.error("replica died")
    logging.getLogger("vllm.engine").warning("slow preprocessing")
    logging.getLogger("vllm.engine").error("out of memory")
    logging.getLogger("mlflow").info("news")
    warnings.warn("deprecated", FutureWarning)
    ours.warning("two speakers")
theirs.warning("on the terminal again")
"""


def test_warnings_go_into_the_file_errors_stand_in_both_and_ours_on_the_terminal_alone(tmp_path):
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", STORY, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout == ""
    shown = done.stderr.splitlines()
    assert len(shown) == 4, done.stderr
    for line, expected in zip(shown, ("replica died", "out of memory", "two speakers", "on the terminal again"), strict=True):
        assert expected in line
    kept = [line.split(" ", 2)[2] for line in (tmp_path / NAME).read_text().splitlines() if line.startswith("20")]
    assert kept[:4] == [
        "WARNING ray.serve: queue length unknown",
        "ERROR ray.serve: replica died",
        "WARNING vllm.engine: slow preprocessing",
        "ERROR vllm.engine: out of memory",
    ]
    assert kept[4].startswith("WARNING py.warnings: ")
    assert len(kept) == 5


def test_the_raylets_warnings_are_no_lines_of_ours_but_a_death_is(tmp_path, capsys):
    before = ray_worker.print_to_stdstream
    about = {"pid": "raylet", "ip": "127.0.0.1", "is_err": True, "job": "01", "actor_name": None, "task_name": None}
    with chatter_to(tmp_path):
        ray_worker.print_to_stdstream(about | {"lines": "WARNING: 9 PYTHON worker processes have been started"}, False)
        assert capsys.readouterr().err == ""
        ray_worker.print_to_stdstream(about | {"lines": ["A worker died: out of memory"]}, False)
        assert "A worker died: out of memory" in capsys.readouterr().err
    kept = (tmp_path / NAME).read_text()
    assert "9 PYTHON worker" in kept
    assert "A worker died" in kept
    assert ray_worker.print_to_stdstream is before


def test_what_workers_of_a_cluster_say_is_told_apart_line_by_line(tmp_path, capsys):
    dispatcher = ray_worker.global_worker_stdstream_dispatcher
    asked = partial(ray_worker.print_to_stdstream, ignore_prefix=False)
    dispatcher.add_handler("ray_print_logs", asked)  # as ray.init(log_to_driver=True) does
    about = {"pid": 7, "ip": "127.0.0.1", "is_err": True, "job": "01", "actor_name": None, "task_name": None, "localhost": ""}
    try:
        with chatter_to(tmp_path):
            dispatcher.emit(about | {"lines": ["INFO replica 3 -- CALL judge OK 17.8ms", "ValueError: not a sound"]})
        assert ("ray_print_logs", asked) in dispatcher.handlers
    finally:
        dispatcher.remove_handler("ray_print_logs")
    shown = capsys.readouterr().err
    assert "not a sound" in shown
    assert "CALL judge" not in shown
    assert "CALL judge" in (tmp_path / NAME).read_text()


def test_nothing_to_say_makes_no_file(tmp_path):
    with chatter_to(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
