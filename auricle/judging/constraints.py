"""A task's grammar as vLLM's structured outputs."""

from typing import TYPE_CHECKING

from auricle.listeners.grammars import grammar_of
from auricle.listeners.questions import Question

if TYPE_CHECKING:
    from vllm.sampling_params import StructuredOutputsParams


def structured_outputs(asked: Question) -> "StructuredOutputsParams":
    """What the engine is told, so that no token leaves the grammar of the question's answers."""
    from vllm.sampling_params import StructuredOutputsParams

    grammar = grammar_of(asked)
    return StructuredOutputsParams(regex=grammar.value) if grammar.kind == "regex" else StructuredOutputsParams(choice=list(grammar.value))
