"""One vLLM engine for several threads that ask at once: what `LLM.generate` does for one call, for all calls that are under way.

Invariants:
- The engine is built, fed and stepped by one thread, and by no other.
- A call joins the running batch when it fits into it whole, or when enough of its places are free (`_few`), whichever is first: in the last
  steps of a call, when only its longest answers are left, the next call's prompts fill the places of the others (continuous batching).
- Every call ends: with its outputs in the order of its prompts, or with the exception that stopped it. An exception while adding a call's
  prompts fails that call alone; one from a step fails all that are under way; the end of the thread fails all that are left.

    threads --generate, chat--> queue --engine's thread: enqueue, step, step...--> outputs to whoever waits
"""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from auricle.errors import JudgeError

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

LOOK_S = 5.0
"""How often a caller that waits looks whether the engine's thread still lives."""


@dataclass
class _Call:
    """`size` prompts that came together. add: hands them to the engine and gives their ids."""

    size: int
    add: "Callable[[LLM], list[str]]"
    done: "Future[list[RequestOutput]]" = field(default_factory=Future)
    ids: list[str] = field(default_factory=list)
    outputs: "dict[str, RequestOutput]" = field(default_factory=dict)


class SharedEngine:
    """`start` builds the engine; what it raises, the constructor raises."""

    def __init__(self, start: "Callable[[], LLM]") -> None:
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        ready: Future[LLM] = Future()
        self._thread = threading.Thread(target=self._run, args=(start, ready), name="vllm-engine", daemon=True)
        self._thread.start()
        self.llm = ready.result()

    def generate(self, prompts: Sequence[Any], sampling: "Sequence[SamplingParams]") -> "list[RequestOutput]":
        """Outputs in the order of the prompts; see vLLM's `LLM.generate`."""
        return self._ask(_Call(len(prompts), lambda llm: llm.enqueue(list(prompts), list(sampling), use_tqdm=False)))

    def chat(self, messages: Sequence[Any], sampling: "Sequence[SamplingParams]") -> "list[RequestOutput]":
        """The same for conversations, by the model's own chat template."""
        return self._ask(_Call(len(messages), lambda llm: llm.enqueue_chat(list(messages), list(sampling), use_tqdm=False)))

    def check_health(self) -> None:
        """Raises JudgeError where the engine's thread has ended. (An engine in one's own process that dies takes the process with it.)"""
        if not self._thread.is_alive():
            raise JudgeError("the engine's thread has ended; this process can judge no more")

    def close(self) -> None:
        """End the engine and its thread, once the calls under way are done."""
        self._queue.put(None)
        self._thread.join()

    def _ask(self, call: _Call) -> "list[RequestOutput]":
        self._queue.put(call)
        while not call.done.done() and self._thread.is_alive():
            wait([call.done], timeout=LOOK_S)
        if not call.done.done():
            call.done.set_exception(JudgeError("the engine has been closed, or its thread has ended"))
        return call.done.result()

    def _run(self, start: "Callable[[], LLM]", ready: "Future[LLM]") -> None:
        try:
            llm = start()
            most, few = _most(llm), _few(llm)
        except BaseException as error:  # noqa: BLE001 - handed to the constructor, which waits
            ready.set_exception(error)
            return
        ready.set_result(llm)
        under_way: dict[str, _Call] = {}
        waiting: _Call | None = None
        closing = False
        try:
            while not closing or under_way or waiting:
                if waiting is None and not closing:
                    waiting, closing = self._next(block=not under_way)
                # One call a step: adding prompts takes time in which those under way wait.
                if waiting and (len(under_way) < few or len(under_way) + waiting.size <= most):
                    self._add(llm, waiting, under_way)
                    waiting = None
                if under_way:
                    self._step(llm, under_way)
            llm.llm_engine.engine_core.shutdown()
        except BaseException as error:
            _fail([*under_way.values(), *([waiting] if waiting else [])], error)
            raise

    def _next(self, *, block: bool) -> tuple[_Call | None, bool]:
        """The next call, if there is one, and whether there will be no other."""
        try:
            call = self._queue.get(block=block)
        except queue.Empty:
            return None, False
        return call, call is None

    def _add(self, llm: "LLM", call: _Call, under_way: dict[str, _Call]) -> None:
        try:
            # The engine names requests "7-8c41", and their outputs "7".
            call.ids = [one.partition("-")[0] for one in call.add(llm)]
        except BaseException as error:  # noqa: BLE001 - handed to the caller, which waits
            call.done.set_exception(error)
            return
        under_way.update(dict.fromkeys(call.ids, call))
        if not call.ids:
            call.done.set_result([])

    def _step(self, llm: "LLM", under_way: dict[str, _Call]) -> None:
        try:
            outputs = llm.llm_engine.step()
        except BaseException as error:  # noqa: BLE001 - handed to all callers, which wait
            _fail(under_way.values(), error)
            llm.llm_engine.abort_request(list(under_way))
            under_way.clear()
            return
        for output in outputs:
            if output.finished:
                call = under_way.pop(output.request_id)
                call.outputs[output.request_id] = output
                if len(call.outputs) == len(call.ids):
                    call.done.set_result([call.outputs[one] for one in call.ids])


def _fail(calls: "Iterable[_Call]", error: BaseException) -> None:
    for call in {id(call): call for call in calls}.values():
        if not call.done.done():
            call.done.set_exception(error)


def _most(llm: "LLM") -> int:
    """Prompts that the running batch has places for."""
    return llm.llm_engine.vllm_config.scheduler_config.max_num_seqs


def _few(llm: "LLM") -> int:
    """With fewer prompts under way than this a call is let in that does not fit whole.

    On a GPU as many as there are places: a step costs the same with a few prompts less. On a CPU it costs by the prompt, and sounds that
    come one by one, as places become free, are encoded at a higher price than many at once: a quarter (docs/log.md).
    """
    on_cpu = llm.llm_engine.vllm_config.device_config.device_type == "cpu"
    return max(2, _most(llm) // 4) if on_cpu else _most(llm)
