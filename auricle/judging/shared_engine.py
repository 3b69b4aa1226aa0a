"""One vLLM engine for several threads that ask at once: what `LLM.generate` does for one call, for all calls that are under way.

Invariants:
- The engine is built, fed and stepped by one thread, and by no other.
- A call joins the running batch once a part of its places is free (`_places`). So the engine never drains between two calls: in the last
  steps of a call, when only its longest answers are left, the next call's prompts fill the places of the others (continuous batching).
- Every call ends: with its outputs in the order of its prompts, or with the exception that stopped it. An exception while adding a call's
  prompts fails that call alone; one from a step fails all that are under way.

    threads --generate, chat--> queue --engine's thread: enqueue, step, step...--> outputs to whoever waits
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams


@dataclass
class _Call:
    """Prompts that came together. add: hands them to the engine and gives their ids."""

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
        return self._ask(_Call(lambda llm: llm.enqueue(list(prompts), list(sampling), use_tqdm=False)))

    def chat(self, messages: Sequence[Any], sampling: "Sequence[SamplingParams]") -> "list[RequestOutput]":
        """The same for conversations, by the model's own chat template."""
        return self._ask(_Call(lambda llm: llm.enqueue_chat(list(messages), list(sampling), use_tqdm=False)))

    def check_health(self) -> None:
        """An engine in one's own process that dies takes the process with it."""

    def close(self) -> None:
        """End the engine and its thread, once the calls under way are done."""
        self._queue.put(None)
        self._thread.join()

    def _ask(self, call: _Call) -> "list[RequestOutput]":
        self._queue.put(call)
        return call.done.result()

    def _run(self, start: "Callable[[], LLM]", ready: "Future[LLM]") -> None:
        try:
            llm = start()
        except BaseException as error:  # noqa: BLE001 - handed to the constructor, which waits
            ready.set_exception(error)
            return
        ready.set_result(llm)
        under_way: dict[str, _Call] = {}
        places = _places(llm)
        closing = False
        while not closing or under_way:
            if len(under_way) < places:
                # One call a step: adding prompts takes time in which those under way wait.
                closing = self._take(llm, under_way, wait=not under_way and not closing) or closing
            if under_way:
                self._step(llm, under_way)
        llm.llm_engine.engine_core.shutdown()

    def _take(self, llm: "LLM", under_way: dict[str, _Call], *, wait: bool) -> bool:
        """Add the next call, if there is one; whether it was the last."""
        try:
            call = self._queue.get(block=wait)
        except queue.Empty:
            return False
        if call is None:
            return True
        try:
            # The engine names requests "7-8c41", and their outputs "7".
            call.ids = [one.partition("-")[0] for one in call.add(llm)]
        except BaseException as error:  # noqa: BLE001 - handed to the caller, which waits
            call.done.set_exception(error)
            return False
        under_way.update(dict.fromkeys(call.ids, call))
        if not call.ids:
            call.done.set_result([])
        return False

    def _step(self, llm: "LLM", under_way: dict[str, _Call]) -> None:
        try:
            outputs = llm.llm_engine.step()
        except BaseException as error:  # noqa: BLE001 - handed to all callers, which wait
            for call in {id(call): call for call in under_way.values()}.values():
                call.done.set_exception(error)
            llm.llm_engine.abort_request(list(under_way))
            under_way.clear()
            return
        for output in outputs:
            if output.finished:
                call = under_way.pop(output.request_id)
                call.outputs[output.request_id] = output
                if len(call.outputs) == len(call.ids):
                    call.done.set_result([call.outputs[one] for one in call.ids])


def _places(llm: "LLM") -> int:
    """With fewer prompts under way than this the next call is let in.

    On a GPU as many as the batch holds: a step costs the same with a few prompts less. On a CPU it costs by the prompt, and sounds that
    come one by one, as places become free, are encoded at a higher price than many at once: a quarter (docs/log.md).
    """
    most = llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
    return max(1, most // 4) if llm.llm_engine.vllm_config.device_config.device_type == "cpu" else most
