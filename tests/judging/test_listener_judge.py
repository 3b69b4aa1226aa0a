"""The judge that listens, in a real vLLM engine: a listener with random weights fails, the shipped one says sensible things."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist

from auricle.errors import ConfigError, JudgeError
from auricle.judging.judge import JudgeClip, judge_safely
from auricle.judging.listener_judge import SHIPPED, ListenerJudge, ListenerOptions
from auricle.judging.registry import check_options
from auricle.judging.shared_engine import SharedEngine
from auricle.judging.verdict import Failed, Scored
from auricle.judging.vllm_engine import EngineOptions, answer_messages, is_own_listener, own_window_s
from auricle.listeners.checkpoint import ListenerConfig, new_listener, save_listener
from auricle.scenes.synth.voice import speak

RATE_HZ = 16_000
SMALL = EngineOptions(max_model_len=256, cache_mib=32)


def _speech(clip_id="speech", noise=0.0, seconds=3.0):
    audio = speak("The boat is near the old bridge. They will meet again in seven days, and the weather is good.", "en-us+f2").audio
    audio = np.tile(audio, 1 + int(seconds * RATE_HZ) // len(audio))[: int(seconds * RATE_HZ)]
    audio = 0.05 * audio / np.sqrt(np.mean(audio**2))
    return JudgeClip(clip_id, (audio + noise * np.random.default_rng(0).standard_normal(len(audio))).astype(np.float32), RATE_HZ)


@pytest.fixture(scope="module")
def random_listener(tmp_path_factory):
    """The folder of a listener that has learned nothing."""
    folder = tmp_path_factory.mktemp("random-listener")
    save_listener(new_listener(ListenerConfig()), folder)
    return folder


def test_own_listeners_are_known_by_their_configuration(random_listener, tmp_path):
    assert is_own_listener(str(random_listener))
    assert own_window_s(str(random_listener)) == ListenerConfig().clip_s
    assert not is_own_listener("Qwen/Qwen2-Audio-7B-Instruct")
    with pytest.raises(JudgeError, match=r"no config\.json"):
        is_own_listener(str(tmp_path))
    with pytest.raises(JudgeError, match="no such folder"):
        is_own_listener(str(tmp_path / "nowhere"))


def test_a_chat_message_holds_the_audio_and_the_question():
    parts = answer_messages("How is it?", [_speech().audio], RATE_HZ)[0]["content"]
    assert [part["type"] for part in parts] == ["input_audio", "text"]


def test_options_are_strict():
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        check_options("listener", {"temprature": 1.0})
    with pytest.raises(ConfigError, match="ask"):
        check_options("listener", {"ask": ["sing"]})


@pytest.mark.slow
def test_a_listener_that_has_learned_nothing_fails_and_gives_no_number(random_listener):
    judge = ListenerJudge(ListenerOptions(model=str(random_listener), ask=("rate",), engine=SMALL))
    verdict = judge.judge([_speech()])[0]
    judge.close()
    assert isinstance(verdict, Failed)
    assert verdict.reason == "unparsable"


@pytest.fixture(scope="module")
def listener():
    """The shipped listener."""
    if not (SHIPPED / "config.json").exists():
        pytest.skip("no shipped listener; make it with `make assets`")
    judge = ListenerJudge(ListenerOptions(aspects=("noise",), engine=SMALL))
    yield judge
    judge.close()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU vLLM meets by its own means")
def test_the_engine_meets_in_memory_and_leaves_no_file_behind(listener):
    store = dist.distributed_c10d._get_default_store()
    while isinstance(store, dist.PrefixStore):
        store = store.underlying_store
    assert not isinstance(store, dist.FileStore)  # of vLLM's own making, in /tmp for ever


@pytest.mark.slow
def test_the_shipped_listener_hears_noise(listener):
    clean, noisy = listener.judge([_speech("clean"), _speech("noisy", noise=0.05)])
    assert isinstance(clean, Scored)
    assert isinstance(noisy, Scored)
    assert 1.0 <= noisy.score + 0.5 < clean.score <= 5.0
    assert noisy.dimensions["noise"] + 0.5 < clean.dimensions["noise"]
    assert clean.score == clean.dimensions["expected"]
    assert clean.rationale != noisy.rationale
    assert all(0.0 <= span.start_s < span.end_s <= 3.0 for span in noisy.spans)


@pytest.mark.slow
def test_long_clips_are_heard_in_windows_and_short_ones_fail(listener):
    long, short = listener.judge([_speech("long", seconds=7.0), _speech("short", seconds=0.1)])
    assert isinstance(long, Scored)
    assert long.rationale.count("s]") == 3
    assert isinstance(short, Failed)
    assert short.reason == "too_short"


@pytest.mark.slow
def test_verdicts_do_not_depend_on_the_company(listener):
    clips = [_speech(str(level), noise=level) for level in (0.0, 0.01, 0.03)]
    together, alone = listener.judge(clips), [listener.judge([clip])[0] for clip in clips]
    assert [verdict.rationale for verdict in together] == [verdict.rationale for verdict in alone]
    assert [verdict.score for verdict in together] == pytest.approx([verdict.score for verdict in alone], abs=1e-2)


@pytest.mark.slow
def test_calls_at_once_share_the_engine_and_each_gets_its_own_verdicts(listener):
    clips = [_speech(str(row), noise=0.005 * row) for row in range(6)]
    one_by_one = [listener.judge([clip])[0] for clip in clips]
    with ThreadPoolExecutor(3) as threads:
        at_once = list(threads.map(listener.judge, [clips[:2], clips[2:4], clips[4:]]))
    verdicts = [verdict for part in at_once for verdict in part]
    assert [verdict.rationale for verdict in verdicts] == [verdict.rationale for verdict in one_by_one]
    assert [verdict.score for verdict in verdicts] == pytest.approx([verdict.score for verdict in one_by_one], abs=1e-2)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU calls are let in as soon as there is a place")
def test_a_call_is_let_in_when_it_fits_or_little_is_left_and_short_questions_go_first(listener, monkeypatch):
    """What the pool's rate on a CPU hangs on (benchmarks/judges.py)."""
    llm, let_in = listener.engine.llm, []

    def enqueue(prompts, sampling, **options):
        let_in.append((llm.llm_engine.get_num_unfinished_requests(), [one.max_tokens > 1 for one in sampling]))
        return enqueued(prompts, sampling, **options)

    enqueued = llm.enqueue
    monkeypatch.setattr(llm, "enqueue", enqueue)
    clips = [_speech(str(row), noise=0.005 * row) for row in range(20)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(listener.judge, [clips[:8], clips[8:16], clips[16:18], clips[18:]]))
    most = SMALL.max_num_seqs
    assert all(under_way < most // 4 or under_way + len(wordy) <= most for under_way, wordy in let_in)
    assert all(wordy == sorted(wordy) and {False, True} == set(wordy) for _, wordy in let_in)
    assert len(let_in) == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_caller_of_an_engine_that_is_gone_is_told(monkeypatch):
    monkeypatch.setattr("auricle.judging.shared_engine.LOOK_S", 0.05)
    with pytest.raises(AttributeError):  # an engine that is none
        SharedEngine(object)
    engine = SharedEngine(_Broken)
    for _ in range(2):  # by the call that broke it, and ever after
        with pytest.raises((KeyError, JudgeError)):
            engine.generate(["a"], [])
    with pytest.raises(JudgeError, match="thread has ended"):
        engine.check_health()


class _Broken:
    """An engine that answers a call of one prompt with another's output."""

    def __init__(self):
        wanted = {"scheduler_config": SimpleNamespace(max_num_seqs=4), "device_config": SimpleNamespace(device_type="cpu")}
        stranger = SimpleNamespace(finished=True, request_id="not-ours")
        self.llm_engine = SimpleNamespace(vllm_config=SimpleNamespace(**wanted), step=lambda: [stranger])

    def enqueue(self, prompts, sampling, use_tqdm):
        return ["0-abc"]


@pytest.mark.slow
def test_a_prompt_that_does_not_fit_fails_its_own_call_alone(listener):
    sampling = listener.engine_inputs([_speech()])[1]
    with ThreadPoolExecutor(2) as threads:
        good = threads.submit(listener.judge, [_speech()])
        bad = threads.submit(listener.engine.generate, [{"prompt": "too long " * 5000}], sampling[:1])
        assert isinstance(good.result()[0], Scored)
        assert bad.exception() is not None
    assert isinstance(listener.judge([_speech()])[0], Scored)


@pytest.mark.slow
def test_it_compares_pairs_in_both_orders_and_asks_in_other_words(listener):
    clean, noisy = _speech("clean"), _speech("noisy", noise=0.05)
    assert listener.compare([(clean, noisy), (noisy, clean)]) == ["first", "second"]
    worded = listener.judge([replace(clean, wording=wording) for wording in range(listener.wordings)])
    assert [verdict.score for verdict in worded] == pytest.approx([worded[0].score] * listener.wordings, abs=0.5)


@pytest.mark.slow
def test_models_that_are_not_ours_are_asked_through_their_chat_template(listener, monkeypatch):
    clips = [_speech("clean"), _speech("noisy", noise=0.03)]
    ours = listener.judge(clips)
    monkeypatch.setattr(listener, "_own", False)  # the same weights, asked as any other audio model would be
    foreign = listener.judge(clips)
    assert [verdict.rationale for verdict in foreign] == [verdict.rationale for verdict in ours]
    assert [verdict.score for verdict in foreign] == pytest.approx([verdict.score for verdict in ours], abs=1e-2)


@pytest.mark.slow
def test_an_engine_in_a_process_of_its_own_says_the_same():
    clips = [_speech(), _speech("noisy", noise=0.05)]
    verdicts = {}
    for mode in ("in_process", "async"):
        judge = ListenerJudge(ListenerOptions(ask=["describe", "rate"], engine=SMALL.model_copy(update={"mode": mode})))
        try:
            with ThreadPoolExecutor(2) as callers:  # two calls share the engine
                first, second = callers.submit(judge.judge, clips), callers.submit(judge.judge, clips[::-1])
                verdicts[mode] = first.result()
                assert [verdict.rationale for verdict in second.result()[::-1]] == [verdict.rationale for verdict in first.result()]
        finally:
            judge.close()
    for one, other in zip(*verdicts.values(), strict=True):
        assert isinstance(one, Scored)
        assert one.rationale == other.rationale
        assert one.score == pytest.approx(other.score, abs=1e-3)


@pytest.mark.slow
def test_an_engine_whose_process_was_killed_is_told_as_dead_and_can_be_closed():
    before = set(psutil.Process().children(recursive=True))  # a Ray of the tests may be among them
    judge = ListenerJudge(ListenerOptions(ask=["rate"], engine=SMALL.model_copy(update={"mode": "async"})))
    judge.check_health()
    for process in set(psutil.Process().children(recursive=True)) - before:
        process.kill()
    deadline = time.monotonic() + 60
    while not judge.engine.llm.errored:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(JudgeError, match="engine process has died"):
        judge.check_health()
    [verdict] = judge_safely(judge, [_speech()])
    assert isinstance(verdict, Failed)
    judge.close()


def test_only_the_kind_listener_has_an_engine_in_a_process_of_its_own(random_listener):
    from auricle.judging.vllm_engine import start_engine

    with pytest.raises(JudgeError, match=r"engine\.mode = 'async' is for judges of the kind `listener`"):
        start_engine(str(random_listener), "main", SMALL.model_copy(update={"mode": "async"}))
