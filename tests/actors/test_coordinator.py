"""The run's coordinator: one directive a step for all ranks, checkpoints that appear whole, a ledger without repetition."""

import asyncio
import json
from dataclasses import replace

import pytest

from actors.coordinator import Committed, RankReport, RunCoordinator, StepReport, partial_folder
from auricle.errors import LedgerError
from auricle.learning.budget import FailureBudgetConfig
from auricle.learning.quarantine import QUARANTINED, QuarantineConfig, Quarantined
from auricle.ledger import LedgerEntry, account
from auricle.usage import Usage

ROWS = 4


def coordinator(folder, *, end_step=6, ranks=2, every=2, phase_end_step=None, share=1.0, first_step=0, after=2, scenes=10):
    return RunCoordinator(
        str(folder),
        world_size=ranks,
        first_step=first_step,
        phase_end_step=phase_end_step or end_step,
        end_step=end_step,
        global_batch=ROWS * ranks,
        max_staleness=2,
        checkpoint_every=every,
        budget=FailureBudgetConfig(share=share, window=8),
        quarantine=QuarantineConfig(after=after),
        scenes=scenes,
    )


def report(step, rank, *, ranks=2, dropped=0):
    first = step * ROWS * ranks + rank * ROWS
    entries = [
        LedgerEntry(first + row, step, "S", row, 0, "dropped" if row < dropped else "trained", reward=None if row < dropped else 1.0)
        for row in range(ROWS)
    ]
    return RankReport(step, {"reward": 1.0}, {"rows": float(ROWS)}, entries)


def finish_step(actor, step, **options):
    return [asyncio.run(actor.step_done(rank, report(step, rank, **options))) for rank in range(2)]


def commit(actor, folder, step):
    partial_folder(folder, step).mkdir(parents=True)
    (partial_folder(folder, step) / "engine").touch()
    asyncio.run(actor.commit(step))


def test_ranks_get_one_directive_a_step(run_folder):
    actor = coordinator(run_folder)
    directives = [finish_step(actor, step) for step in range(6)]
    assert all(first == second for first, second in directives)
    assert [first.checkpoint for first, _ in directives] == [False, True, False, True, False, True]
    assert [first.stop for first, _ in directives] == [False] * 5 + [True]


def test_a_request_to_stop_reaches_all_ranks_at_the_same_step(run_folder):
    actor = coordinator(run_folder, every=100)
    early = asyncio.run(actor.step_done(0, report(0, 0)))
    asyncio.run(actor.request_stop("interrupted"))
    late = asyncio.run(actor.step_done(1, report(0, 1)))
    assert early == late
    assert not late.stop
    [first, second] = finish_step(actor, 1)
    assert first == second
    assert (first.stop, first.checkpoint, first.reason) == (True, True, "interrupted")


def test_a_checkpoint_appears_whole_and_with_its_ledger(run_folder):
    actor = coordinator(run_folder)
    for step in range(2):
        finish_step(actor, step)
    commit(actor, run_folder, 2)
    assert (run_folder / "checkpoints" / "step-000002" / "engine").exists()
    assert json.loads((run_folder / "checkpoints" / "last.json").read_text()) == {"step": 2, "folder": "step-000002"}
    sums = account(run_folder / "ledger")
    assert (sums.trained, sums.in_flight, sums.balanced) == (16, 24, True)
    asyncio.run(actor.commit(2))
    assert account(run_folder / "ledger") == sums


def test_a_report_that_comes_twice_is_counted_once(run_folder):
    actor = coordinator(run_folder)
    finish_step(actor, 0)
    finish_step(actor, 0)
    finish_step(actor, 1)
    commit(actor, run_folder, 2)
    assert account(run_folder / "ledger").trained == 16


def test_messages_come_in_order_and_merge_the_ranks(run_folder):
    actor = coordinator(run_folder)

    async def story():
        for rank in range(2):
            await actor.step_done(rank, report(0, rank))
        for rank in range(2):
            await actor.step_done(rank, report(1, rank))
        partial_folder(run_folder, 2).mkdir(parents=True)
        await actor.commit(2)
        return await actor.messages(0.1)

    messages = asyncio.run(story())
    assert [type(message) for message in messages] == [StepReport, StepReport, Committed]
    assert messages[0].sums == {"rows": 8.0}
    assert messages[1].totals == {"issued": 40, "trained": 16, "dropped": 0, "in_flight": 24}


def test_of_each_process_the_newest_word_counts_whichever_rank_brought_it(run_folder):
    actor = coordinator(run_folder)
    known = [Usage("rollout", key, time_s, 100.0, time_s) for key, time_s in (("a:1", 1.0), ("a:1", 2.0), ("a:2", 1.0))]

    async def story():
        await actor.step_done(0, replace(report(0, 0), usages=(known[1],)))
        await actor.step_done(1, replace(report(0, 1), usages=(known[0], known[2])))
        return await actor.messages(0.1)

    [step] = asyncio.run(story())
    assert sorted(step.usages, key=lambda usage: usage.key) == known[1:]


def test_a_run_that_ends_in_order_leaves_nothing_in_flight(run_folder):
    actor = coordinator(run_folder, every=100)
    asyncio.run(actor.request_stop("interrupted"))
    finish_step(actor, 0)
    assert account(run_folder / "ledger").in_flight == 32  # nothing is committed yet: a kill now leaves them so
    commit(actor, run_folder, 1)
    sums = account(run_folder / "ledger")
    assert (sums.issued, sums.trained, sums.in_flight, sums.withdrawn, sums.balanced) == (8, 8, 0, 24, True)
    assert "24 ids" in sums.remark()
    resumed = coordinator(run_folder, first_step=1, every=100)
    finish_step(resumed, 1)
    sums = account(run_folder / "ledger")
    assert (sums.issued, sums.trained, sums.withdrawn) == (40, 8, 0)


@pytest.mark.parametrize("killed", ["write_part", "rename"])
def test_a_kill_while_a_checkpoint_is_made_final_neither_loses_nor_repeats_a_row(run_folder, monkeypatch, killed):
    actor = coordinator(run_folder)
    for step in range(4):
        finish_step(actor, step)
        if step == 1:
            commit(actor, run_folder, 2)
    name = "shutil.rmtree" if killed == "write_part" else "write_json"
    with monkeypatch.context() as patch:  # ends `commit` where the process would have died: after the part, or after the rename
        patch.setattr(f"actors.coordinator.{name}", _die)
        with pytest.raises(Killed):
            commit(actor, run_folder, 4)
    before = account(run_folder / "ledger")
    assert (before.trained, before.beyond, before.balanced) == (32, 16, True)
    resumed = coordinator(run_folder, first_step=2, every=3)  # other steps have checkpoints now: the old part must be gone
    assert account(run_folder / "ledger").trained == 16
    for step in range(2, 6):
        finish_step(resumed, step)
        if step in (2, 5):
            commit(resumed, run_folder, step + 1)
    after = account(run_folder / "ledger")
    assert (after.issued, after.trained, after.in_flight, after.beyond, after.balanced) == (48, 48, 0, 0, True)


class Killed(BaseException):
    pass


def _die(*arguments, **keywords):
    raise Killed


def test_too_many_failures_stop_the_run_with_a_sentence(run_folder):
    actor = coordinator(run_folder, share=0.5)
    finish_step(actor, 0, dropped=3)
    [directive, _] = finish_step(actor, 1, dropped=3)
    assert directive.stop
    assert "6 of the last 8 rollouts were dropped" in directive.reason


@pytest.mark.parametrize("in_order", [False, True])
def test_failures_before_a_kill_or_an_interruption_count_when_it_goes_on(run_folder, in_order):
    actor = coordinator(run_folder, share=0.5, every=1)
    finish_step(actor, 0, dropped=2)
    if in_order:
        asyncio.run(actor.request_stop("interrupted"))
    finish_step(actor, 1, dropped=3)
    commit(actor, run_folder, 2)
    resumed = coordinator(run_folder, share=0.5, every=1, first_step=2)
    [directive, _] = finish_step(resumed, 2)
    assert directive.stop
    assert in_order or directive == finish_step(actor, 2)[0]


def test_a_phase_ends_with_a_checkpoint(run_folder):
    actor = coordinator(run_folder, every=100, phase_end_step=1)
    [directive, _] = finish_step(actor, 0)
    assert (directive.checkpoint, directive.stop) == (True, False)


POISON = "scene: S1.wav: it ends early"


def poisoned(step, *, reason=POISON):
    """One rank's report of a step of two scenes, whose second one fails."""
    entries = [
        LedgerEntry(step * ROWS + row, step, f"S{row // 2}", row % 2, 0, "dropped", reason)
        if row >= 2
        else LedgerEntry(step * ROWS + row, step, "S0", row, 0, "trained", reward=1.0)
        for row in range(ROWS)
    ]
    return RankReport(step, {"reward": 1.0}, {"rows": float(ROWS)}, entries)


def alone(folder, **options):
    return coordinator(folder, ranks=1, **options)


def test_a_scene_that_fails_again_and_again_is_left_out_and_told(run_folder):
    actor = alone(run_folder, every=100)

    async def story():
        for step in range(2):
            await actor.step_done(0, poisoned(step))
        return await actor.messages(0.1), [await actor.quarantined(version) for version in (2, 3)]

    messages, left_out = asyncio.run(story())
    assert left_out == [(), ("S1",)]
    [told] = [message for message in messages if isinstance(message, Quarantined)]
    assert told == Quarantined("S1", 1, 2, POISON)
    assert json.loads((run_folder / "quarantine.json").read_text())["scenes"][0]["reason"] == POISON
    with pytest.raises(LedgerError, match="step 2 is not reported yet"):
        asyncio.run(actor.quarantined(4))


def test_a_resumed_run_knows_what_the_first_one_left_out_and_counted(run_folder):
    first = alone(run_folder, every=4, end_step=100, share=0.5)
    for step in range(4):
        asyncio.run(first.step_done(0, poisoned(step, reason=POISON if step < 2 else QUARANTINED)))
    commit(first, run_folder, 4)
    asyncio.run(first.step_done(0, poisoned(4, reason=QUARANTINED)))  # beyond the checkpoint: made again
    resumed = alone(run_folder, every=4, end_step=100, share=0.5, first_step=4)
    for version in range(6):
        assert asyncio.run(resumed.quarantined(version)) == asyncio.run(first.quarantined(version))
    assert resumed._counts == first._counts[:4] == [(2, 4), (2, 4), (0, 2), (0, 2)]
    asyncio.run(resumed.step_done(0, poisoned(4, reason=QUARANTINED)))
    assert resumed._counts == first._counts


def test_a_run_that_the_budget_stopped_is_not_stopped_for_the_same_failures_when_it_is_resumed(run_folder):
    first = coordinator(run_folder, share=0.5, every=100)
    finish_step(first, 0, dropped=3)
    [directive, _] = finish_step(first, 1, dropped=3)
    assert directive.stop
    commit(first, run_folder, 2)
    assert json.loads((run_folder / "checkpoints" / "last.json").read_text())["budget_from"] == 2
    resumed = coordinator(run_folder, share=0.5, every=100, first_step=2)
    assert not finish_step(resumed, 2)[0].stop


def test_too_many_scenes_left_out_stop_the_run(run_folder):
    actor = alone(run_folder, every=100, end_step=100, share=0.5, scenes=1)
    for step in range(2):
        directive = asyncio.run(actor.step_done(0, poisoned(step)))
    assert "1 of 1 training scenes are quarantined" in directive.reason


def test_what_ranks_elsewhere_send_is_part_of_the_checkpoint(run_folder):
    actor = coordinator(run_folder, every=1)
    finish_step(actor, 0)
    for piece in (
        ("engine/rank0.pt", 0, b"01"),
        ("engine/rank1.pt", 0, b"23"),
        ("engine/rank0.pt", 2, b"45"),
        ("engine/rank1.pt", 0, b"23"),
    ):
        asyncio.run(actor.take(1, piece))
    asyncio.run(actor.commit(1))
    folder = run_folder / "checkpoints" / "step-000001" / "engine"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"rank0.pt": b"0145", "rank1.pt": b"23"}
