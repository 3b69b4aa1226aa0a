"""What every process of a run is doing, when nothing seems to happen any more.

    driver --one task a node--> pulses and stacks of the run's processes there (auricle.pulse)
           --state()----------> coordinator, weight store: what waits in them

Invariants
- Nothing is waited for beyond the deadlines: a node, or an actor, that does not answer is named as one that does not.
- Looking changes nothing, but for the stacks that the processes write.
"""

import faulthandler
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.deaths import describe
from auricle.pulse import Beat, read_pulses, stacks_of

NODE_TIMEOUT_S = 30.0
STATE_TIMEOUT_S = 10.0


def what_all_do(actors: Mapping[str, Any], *, app: str, since_s: float) -> str:
    """A page: the state of `actors` (name -> handle with `state`), each process's pulse, then stacks.

    app: the panel's. since_s: how long ago the run's processes were started; those gone before that are left out.
    """
    context = ray.get_runtime_context()
    states = {name: actor.state.remote() for name, actor in actors.items()}
    looks = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            look = ray.remote(num_cpus=0, max_retries=0)(_look).options(scheduling_strategy=there)
            looks[f"node {node['NodeManagerAddress']} {node['NodeID'][:8]}"] = look.remote(
                context.get_session_name(), context.get_job_id(), app, since_s
            )
    lines, stacks = ["What waits"], ["", "Stacks"]
    for name, answer in states.items():
        lines.append(f"  {name}: {_got(answer, STATE_TIMEOUT_S)}")
    for name, answer in looks.items():
        found = _got(answer, NODE_TIMEOUT_S)
        lines += ["", f"Processes on {name}"]
        if isinstance(found, str):
            lines.append(f"  {found}")
            continue
        lines += [f"  {beat.sentence()}" for beat, _ in found] or ["  none of this run"]
        for beat, told in found:
            stacks += ["", f"== {beat.who}, pid {beat.pid} on {name}", told]
    return "\n".join([*lines, *stacks, "", "== the driver", _own_stacks()])


def _look(session: str, job: str, app: str, since_s: float) -> list[tuple[Beat, str]]:
    """Runs on a node."""
    beats = [
        beat
        for beat in read_pulses()
        if beat.scope.get("session") == session and (beat.scope.get("job") == job or (app and beat.scope.get("app") == app))
    ]
    beats = [beat for beat in beats if beat.state != "gone" or beat.sign_s_ago <= since_s]
    with ThreadPoolExecutor(max(1, len(beats))) as threads:
        return list(zip(beats, threads.map(stacks_of, beats), strict=True))


def _got(answer: Any, timeout_s: float) -> Any:
    began = time.monotonic()
    try:
        return ray.get(answer, timeout=timeout_s)
    except RayError as error:
        return f"no answer after {time.monotonic() - began:.0f} s: {describe(error)}"


def _own_stacks() -> str:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode(errors="replace").strip()
