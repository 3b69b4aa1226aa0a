"""RUN/scaling.jsonl as it grows."""

import json
from pathlib import Path

from pipelines.scaling import NAME, ScaleEvents, read_scaling

EVENT = {
    "time_s": 5.0,
    "pool": "rollout",
    "from_replicas": 1,
    "to_replicas": 2,
    "reason": "rows are waited for",
    "queue_age_s": 0.0,
    "queue_depth": 3,
}


def test_each_event_is_told_once_and_a_half_written_line_later(tmp_path: Path) -> None:
    events = ScaleEvents(tmp_path)
    assert events.new() == []
    line = json.dumps(EVENT)
    with (tmp_path / NAME).open("a") as file:
        file.write(line + "\n" + line[:20])
    [event] = events.new()
    assert event.sentence() == "rollout 1 -> 2: rows are waited for (3 waiting for 0.0 s)"
    assert events.new() == []
    with (tmp_path / NAME).open("a") as file:
        file.write(line[20:] + "\n")
    assert len(events.new()) == 1
    assert len(read_scaling(tmp_path)) == 2
    assert ScaleEvents(tmp_path).new() == []  # told by the process before


def test_what_is_no_event_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(f'{json.dumps(EVENT)}\n[1]\n{{"pool": "x"}}\nnull\n{json.dumps(EVENT)[:30]}')
    assert len(read_scaling(tmp_path)) == 1
