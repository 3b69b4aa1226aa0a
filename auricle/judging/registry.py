"""Judges by name: those that come with Auricle, and a user's own by import path."""

import difflib
import importlib
import typing
from collections.abc import Mapping
from typing import Any

from auricle.config import Config, build
from auricle.errors import ConfigError
from auricle.judging.judge import Judge

BUILT_IN = {
    "listener": "auricle.judging.listener_judge:ListenerJudge",
    "questions": "auricle.judging.questions_judge:QuestionsJudge",
    "sentiment": "auricle.judging.sentiment_judge:SentimentJudge",
    "vader": "auricle.judging.sentiment_judge:VaderJudge",
    "dnsmos": "auricle.judging.metric_judges:DnsmosJudge",
    "pesq": "auricle.judging.metric_judges:PesqJudge",
    "stoi": "auricle.judging.metric_judges:StoiJudge",
    "estoi": "auricle.judging.metric_judges:EstoiJudge",
    "si_sdr": "auricle.judging.metric_judges:SiSdrJudge",
    "gsrm": "auricle.gsrm.judge:GsrmJudge",
}
"""Registered name -> import path; imported only when asked for (the listener brings vLLM)."""


def build_judge(kind: str, options: Mapping[str, Any], *, source: str = "") -> Judge:
    """A judge ready to judge: a registered kind (`dnsmos`), or `package.module:Class` for a user's own. Raises ConfigError, JudgeError."""
    judge_class = find_judge(kind)
    return judge_class(check_options(kind, options, source=source))


def check_options(kind: str, options: Mapping[str, Any], *, source: str = "") -> Config:
    """The options of a kind of judge, validated. Raises ConfigError with the key."""
    return build(options_class(find_judge(kind)), options, source=source or f"options of judge {kind!r}")


def find_judge(kind: str) -> type[Judge]:
    """The Judge subclass of a registered name or an import path. Raises ConfigError where there is none."""
    path = BUILT_IN.get(kind, kind)
    module_name, separator, class_name = path.partition(":")
    if not separator:
        near = difflib.get_close_matches(kind, BUILT_IN, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"registered: {', '.join(BUILT_IN)}."
        raise ConfigError(f"judge {kind!r}: no such kind; {hint} Your own class is named as 'package.module:Class'.")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"judge {kind!r}: cannot import {module_name}: {error}; is its folder on PYTHONPATH?") from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Judge)):
        raise ConfigError(f"judge {kind!r}: {module_name} has no Judge called {class_name}; derive it from auricle.judging.judge.Judge")
    return found


def options_class(judge_class: type[Judge]) -> type[Config]:
    """What the class annotates its `options` with."""
    found = typing.get_type_hints(judge_class).get("options")
    if not (isinstance(found, type) and issubclass(found, Config)) or found is Config:
        raise ConfigError(
            f"judge {judge_class.__qualname__}: annotate `options` in the class body with its own subclass of auricle.config.Config"
        )
    return found
