"""Whether another panel judges as a run's does: one that is up already, or one that the run is to go on with.

One that is up must give the same verdicts, within the same times. It may have judges that the run does not ask for: runs with several
rewards can share one panel.
"""

from collections.abc import Sequence
from typing import Any

from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.registry import check_options

OF_THE_RUN = ("weights", "relative")
"""What a run makes of the verdicts; the panel's own are of no consequence."""
OF_THE_HOST = ("min_replicas", "max_replicas", "scaling", "num_cpus", "num_gpus", "resources", "shared", "batch_calls", "batch_wait_s")
"""How many processes judge, and where: for whoever runs the panel to choose."""
PATIENCE = ("deadline_s", "attempts", "pause_s")
"""How long a verdict may be missing until it is Failed."""


def changed(before: Sequence[JudgeConfig], after: Sequence[JudgeConfig]) -> list[str]:
    """One line for each setting by which `after` would judge other than `before`, in the middle of a run; sizes and patience may change."""
    if [judge.name for judge in before] != [judge.name for judge in after]:
        return [f"judges were {[judge.name for judge in before]} and are {[judge.name for judge in after]}"]
    lines = []
    for old, new in zip(before, after, strict=True):
        was, now = (judge.model_dump(mode="json", exclude={*OF_THE_HOST, *PATIENCE}) for judge in (old, new))
        lines += [f"{old.name}.{key} was {was[key]!r} and is {now[key]!r}" for key in was if was[key] != now[key]]
    return lines


def differences(ours: PanelConfig, theirs: PanelConfig) -> list[str]:
    """One line for each setting in which `theirs`, which is up, is another panel than `ours`; empty where they are the same."""
    there, here = {judge.name: judge for judge in theirs.judges}, {judge.name: judge for judge in ours.judges}
    lines = [f"judge {name!r} is not in it" for name in here if name not in there]
    more = [name for name in there if name not in here]
    if more and theirs.longest_s > ours.longest_s:  # the run's deadlines would not hold
        lines.append(f"judges {more}, which this run does not ask for, may take {theirs.longest_s:g} s, this run's {ours.longest_s:g} s")
    if theirs.max_ongoing_requests < ours.max_ongoing_requests:  # this run's blocks would wait in line, and be late
        lines.append(f"max_ongoing_requests is {theirs.max_ongoing_requests} there, below {ours.max_ongoing_requests} here")
    for name in here:
        if name in there and (there_s := theirs.wake_s(there[name])) > (here_s := ours.wake_s(here[name])):
            lines.append(
                f"{name} may take {there_s:g} s to wake there, {here_s:g} s here (min_replicas = 0 and scaling.wake_timeout_s, or shared)"
            )
    pairs = [("", {"loudness_lufs": ours.loudness_lufs}, {"loudness_lufs": theirs.loudness_lufs})]
    pairs += [(f"{name}.", _of_a_judge(ours, name), _of_a_judge(theirs, name)) for name in here if name in there]
    for where, mine, its in pairs:
        keys = [key for key in mine if mine[key] != its.get(key)]
        lines += [f"{where}{key} is {its.get(key)!r} there and {mine[key]!r} here" for key in keys]
    return lines


def _of_a_judge(config: PanelConfig, name: str) -> dict[str, Any]:
    [judge] = [judge for judge in config.judges if judge.name == name]
    values = judge.model_dump(mode="json", exclude={*OF_THE_RUN, *OF_THE_HOST, "name", "options"})
    # With its defaults: what is left out here may be written out there.
    options = check_options(judge.kind_or_name, judge.options).model_dump(mode="json")
    flat = {f"options.{key}": value for key, value in options.items()}
    return values | {"kind": judge.kind_or_name} | flat
