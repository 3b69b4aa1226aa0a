"""Whether a panel that is up already is the one that a run means: it must give the same verdicts, within the same times.

It may have judges that the run does not ask for: runs with several rewards can share one panel.
"""

from typing import Any

from auricle.judging.panel import PanelConfig
from auricle.judging.registry import check_options

OF_THE_RUN = ("weights", "relative")
"""What a run makes of the verdicts; the panel's own are of no consequence."""
OF_THE_HOST = ("min_replicas", "max_replicas", "scaling", "num_cpus", "num_gpus", "resources", "shared", "batch_calls", "batch_wait_s")
"""How many processes judge, and where: for whoever runs the panel to choose."""


def differences(ours: PanelConfig, theirs: PanelConfig) -> list[str]:
    """One line for each setting in which `theirs`, which is up, is another panel than `ours`; empty where they are the same."""
    there, here = {judge.name: judge for judge in theirs.judges}, {judge.name: judge for judge in ours.judges}
    lines = [f"judge {name!r} is not in it" for name in here if name not in there]
    more = [name for name in there if name not in here]
    if more and theirs.longest_s > ours.longest_s:  # the run's deadlines would not hold
        lines.append(f"judges {more}, which this run does not ask for, may take {theirs.longest_s:g} s, this run's {ours.longest_s:g} s")
    pairs = [("", _of_the_panel(ours), _of_the_panel(theirs))]
    pairs += [(f"{name}.", _of_a_judge(ours, name), _of_a_judge(theirs, name)) for name in here if name in there]
    for where, mine, its in pairs:
        keys = [key for key in mine if mine[key] != its.get(key)]
        lines += [f"{where}{key} is {its.get(key)!r} there and {mine[key]!r} here" for key in keys]
    return lines


def _of_the_panel(config: PanelConfig) -> dict[str, Any]:
    return {"loudness_lufs": config.loudness_lufs, "max_ongoing_requests": config.max_ongoing_requests}


def _of_a_judge(config: PanelConfig, name: str) -> dict[str, Any]:
    [judge] = [judge for judge in config.judges if judge.name == name]
    values = judge.model_dump(mode="json", exclude={*OF_THE_RUN, *OF_THE_HOST, "name", "options"})
    # With its defaults: what is left out here may be written out there.
    options = check_options(judge.kind_or_name, judge.options).model_dump(mode="json")
    flat = {f"options.{key}": value for key, value in options.items()}
    return values | {"kind": judge.kind_or_name, "wake_s": config.wake_s(judge)} | flat
