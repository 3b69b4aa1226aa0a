"""Which scenes are left out, and from which version on."""

from auricle.learning.advantages import FAILED_VERDICT, LONE_SAMPLE
from auricle.learning.quarantine import QUARANTINED, Quarantine, QuarantineConfig, Quarantined, cause
from auricle.ledger import LedgerEntry

SCENES = 4


def entries(step: int, faults: dict[str, str], *, samples: int = 2, judged: int = 0) -> list[LedgerEntry]:
    """All scenes of a step; of a scene in `faults` all but `judged` samples are dropped for its reason."""
    rows = []
    for row in range(SCENES * samples):
        scene, sample = f"S{row // samples}", row % samples
        reason = faults.get(scene, "") if sample >= judged else ""
        state = "dropped" if reason else "trained"
        rows.append(LedgerEntry(step * SCENES * samples + row, step, scene, sample, 0, state, reason))
    return rows


def after(count: int, steps: list[dict[str, str]]) -> Quarantine:
    fold = Quarantine(QuarantineConfig(after=count))
    for step, faults in enumerate(steps):
        fold.add(step, entries(step, faults))
    return fold


BAD = {"S1": "scene: a.wav: it ends early"}


def test_a_scene_that_fails_so_often_in_a_row_is_left_out_from_the_second_version_after() -> None:
    fold = after(2, [BAD, BAD, {}])
    assert fold.scenes == [Quarantined("S1", 1, 2, BAD["S1"])]
    assert [fold.at(version) for version in range(5)] == [(), (), (), ("S1",), ("S1",)]


def test_one_good_step_breaks_the_streak_and_steps_without_the_scene_do_not() -> None:
    assert after(2, [BAD, {}, BAD]).scenes == []
    fold = Quarantine(QuarantineConfig(after=2))
    fold.add(0, entries(0, BAD))
    fold.add(1, [entry for entry in entries(1, {}) if entry.scene_id != "S1"])
    assert [one.step for one in fold.add(2, entries(2, BAD))] == [2]


def test_a_scene_with_one_judged_rollout_has_not_failed() -> None:
    fold = Quarantine(QuarantineConfig(after=1))
    assert fold.add(0, entries(0, {"S1": FAILED_VERDICT}, judged=1)) == []
    assert fold.add(1, entries(1, {"S1": LONE_SAMPLE})) == []


def test_a_step_in_which_most_scenes_fail_says_nothing_of_any() -> None:
    down = {f"S{scene}": FAILED_VERDICT for scene in range(3)}
    assert after(1, [down]).scenes == []
    assert after(2, [BAD, down, BAD]).scenes == [Quarantined("S1", 2, 2, BAD["S1"])]
    half = {"S1": FAILED_VERDICT, "S0": FAILED_VERDICT}
    assert [one.scene_id for one in after(1, [half]).scenes] == ["S0", "S1"]


def test_what_is_left_out_already_counts_no_more() -> None:
    left_out = {"S1": QUARANTINED}
    fold = after(1, [BAD, left_out, BAD, {}])
    assert [one.step for one in fold.scenes] == [0]
    assert after(0, [BAD] * 5).scenes == []


def test_the_cause_of_failed_verdicts_names_the_judges() -> None:
    verdicts = {"ear": {"state": "failed", "reason": "timeout"}, "stoi": {"state": "scored", "score": 1.0}}
    assert cause([LedgerEntry(0, 0, "S", 0, 0, "dropped", FAILED_VERDICT, verdicts=verdicts)]) == "failed_verdict (ear: timeout)"
