"""What is made of Ray's errors: its own classes, with the texts that Ray 2.60 writes (the long ones are cut)."""

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError

from actors.deaths import Place, broken_ranks, cause_of_death, describe
from auricle.errors import DiskFullError, PoolError

KILLED = """The actor died unexpectedly before finishing this task.
\tclass_name: LearnerRank
\tactor_id: 9f406d455c20ac6100f008fc01000000
\tpid: 6076
\tnamespace: auricle
\tip: 192.0.2.2
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits \
with a connection error code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer due to high memory."""
TERMINATED = """The actor died unexpectedly before finishing this task.
\tclass_name: WeightStore
\tactor_id: 66fc32643e33ddb15f67a31c01000000
\tpid: 6075
\tip: 192.0.2.2
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker exits unexpectedly. \
Worker exits with an exit code 1. The process receives a SIGTERM."""
NODE = """The actor died unexpectedly before finishing this task.
\tclass_name: RunCoordinator
\tactor_id: 66fc32643e33ddb15f67a31c01000000
The actor died because its node has died. Node Id: 94154c9a5587524fa118ddd737708d7c30fcc5ced0ee298081001f0b"""
MEMORY = """1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2, ID: 94154c9a) was 8.87GB \
used / 23.54GB limit (0.376599)
OOM kill reason: Memory usage 9489809408B exceeded threshold of 252765008B (1.0% of 25276502016B limit)
Selected to kill: (Actor(c0bb2a9955ec459082eddddb01000000): job ID=01000000, task name=LearnerRank.__init__, required resources={}, \
pid=9044, actual memory used=0.04GB, worker ID=b37b95be)"""
UNBUILT = """The actor died because of an error raised in its creation task, ray::RunCoordinator.__init__() (pid=42, ip=192.0.2.2)
  File "actors/coordinator.py", line 1, in __init__
auricle.errors.LedgerError: steps-000002-000004.parquet: begins at step 2, expected 0"""
PLACES = {0: Place("94154c9a5587524f", "192.0.2.2", 6075), 1: Place("94154c9a5587524f", "192.0.2.2", 6076)}


def died(text: str) -> ActorDiedError:
    error = ActorDiedError()
    error.error_msg = text
    return error


def raised(cause: Exception) -> RayTaskError:
    return RayTaskError("apply", "Traceback", cause, proctitle="ray", pid=1, ip="192.0.2.2")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (died(KILLED), "a learner rank (pid 6076 on 192.0.2.2) died: its process ended without a word: a signal"),
        (died(TERMINATED), "the weight store (pid 6075 on 192.0.2.2) died: Worker exits unexpectedly. Worker exits with an exit code 1. "),
        (died(NODE), "the coordinator died: The actor died because its node has died. Node Id: 94154c9a"),
        (died(UNBUILT), "the coordinator (pid 42 on 192.0.2.2) died: it could not be built: auricle.errors.LedgerError: steps-000002-"),
        (
            OutOfMemoryError(MEMORY),
            "a learner rank (pid 9044 on 192.0.2.2) died: out of memory: Ray's memory monitor killed it at 0.04GB, with ",
        ),
        (raised(raised(died(TERMINATED))), "the weight store (pid 6075"),
        (raised(ValueError("no such thing\nand more")), "ValueError: no such thing"),
    ],
)
def test_a_death_is_told_with_name_place_and_cause(error: Exception, told: str) -> None:
    assert describe(error).startswith(told)


def test_out_of_memory_says_what_the_node_had() -> None:
    assert "8.87GB used / 23.54GB limit on its node" in cause_of_death(OutOfMemoryError(MEMORY))


def test_of_several_ranks_the_one_that_died_is_named() -> None:
    faults = {0: raised(RuntimeError("Connection closed by peer")), 1: died(KILLED)}
    error = broken_ranks(faults, PLACES, " in 'save'")
    assert isinstance(error, PoolError)
    assert str(error).startswith("learner rank 1 (pid 6076 on 192.0.2.2, node 94154c9a) was lost in 'save': its process ended")
    assert "rank 0" not in str(error)
    both = broken_ranks({0: OutOfMemoryError(MEMORY), 1: died(KILLED)}, PLACES)
    assert "rank 0" in str(both)
    assert "rank 1" in str(both)


def test_what_is_said_on_purpose_comes_first_and_what_broke_another_is_named() -> None:
    full = DiskFullError("metrics.jsonl could not be written")
    assert broken_ranks({0: raised(raised(full)), 1: died(KILLED)}, PLACES) is full
    lost_store = broken_ranks({0: raised(died(TERMINATED))}, PLACES)
    assert str(lost_store).startswith("learner rank 0 (pid 6075 on 192.0.2.2, node 94154c9a) broke: the weight store (pid 6075")
    assert "the stream ended" in str(broken_ranks({0: raised(PoolError("the stream ended at step 3"))}, PLACES))


def test_what_a_stage_of_the_stream_says_is_told_and_not_ray_datas_wrapping_of_it(ray_local: Any) -> None:
    class Stage:
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            raise PoolError("judge 'probe' gave no verdict")

    dataset = ray_local.data.range(2, override_num_blocks=2).map_batches(Stage, concurrency=1, num_cpus=0.1)
    [shard] = dataset.streaming_split(1, equal=True)

    @ray_local.remote(num_cpus=0.1)
    def read(shard: Any) -> None:
        list(shard.iter_batches(batch_size=None))

    with pytest.raises(RayTaskError) as error:
        ray_local.get(read.remote(shard), timeout=120)
    assert describe(error.value) == "PoolError: judge 'probe' gave no verdict"
