"""The same as `auricle.judging.shared_engine`, with vLLM's AsyncLLM: the engine runs in a process of its own, so that preparing prompts
(resampling, features, the model's template) and reading answers do not hold up its steps. For GPUs; on two cores it is slower.

Invariants: all calls share one running batch (continuous batching), which a call joins at the next step; every call ends, with its outputs
in the order of its prompts or with the exception that stopped it.

    threads --generate, chat--> event loop (a thread) --> AsyncLLM --> engine's process
"""

import asyncio
import threading
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from auricle.errors import JudgeError

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

T = TypeVar("T")
_CALL = "auricle-call"


class AsyncEngine:
    """`start` builds the engine; what it raises, the constructor raises."""

    def __init__(self, start: "Callable[[], AsyncLLM]") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm-async", daemon=True)
        self._thread.start()
        try:
            self.llm = self._wait(_in_loop(start))
        except BaseException:
            self._end()
            raise

    def generate(self, prompts: Sequence[Any], sampling: "Sequence[SamplingParams]") -> "list[RequestOutput]":
        """Outputs in the order of the prompts; see vLLM's `LLM.generate`."""
        return self._wait(self._all(prompts, sampling))

    def chat(self, messages: Sequence[Any], sampling: "Sequence[SamplingParams]") -> "list[RequestOutput]":
        """The same for conversations, by the model's own chat template."""
        return self._wait(self._chat(messages, sampling))

    def check_health(self) -> None:
        """Raises JudgeError where the engine's process is dead: it does not come back by itself."""
        if self.llm.errored:
            raise JudgeError(f"vLLM's engine process has died: {self.llm.dead_error}")

    def close(self) -> None:
        """End the calls that are under way, the engine's process, and the thread."""
        self._wait(self._cancel_calls())
        self._wait(_in_loop(self.llm.shutdown))
        self._end()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_calls(self) -> None:
        """vLLM tells those who wait for outputs nothing of its end."""
        calls = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and task.get_name() == _CALL]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _chat(self, messages: Sequence[Any], sampling: "Sequence[SamplingParams]") -> "list[RequestOutput]":
        from vllm.renderers.params import ChatParams

        as_the_user_asked = ChatParams(chat_template_kwargs={"add_generation_prompt": True})
        _, prompts = await self.llm.renderer.render_chat_async(list(messages), as_the_user_asked)
        return await self._all(prompts, sampling)

    async def _all(self, prompts: Sequence[Any], sampling: "Sequence[SamplingParams]") -> "list[RequestOutput]":
        """One request a prompt. Where one fails, the others of the call are cancelled, which AsyncLLM makes an abort of."""
        tasks = [asyncio.create_task(self._one(*pair), name=_CALL) for pair in zip(prompts, sampling, strict=True)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, prompt: Any, sampling: "SamplingParams") -> "RequestOutput":
        from vllm.sampling_params import RequestOutputKind

        sampling = sampling.clone()
        sampling.output_kind = RequestOutputKind.FINAL_ONLY
        [output] = [output async for output in self.llm.generate(prompt, sampling, request_id=uuid.uuid4().hex)]
        return output


async def _in_loop(call: Callable[[], T]) -> T:
    """AsyncLLM wants to be made, and ended, where its event loop runs."""
    return call()
