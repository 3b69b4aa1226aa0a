"""The judge kind `gsrm` in a real vLLM engine: what has learned nothing is contradicted; the shipped reader gives repeatable verdicts."""

import numpy as np
import pytest
import torch

from auricle.errors import CheckpointError, ConfigError, JudgeError
from auricle.gsrm.answers import check_answer, parse_answer
from auricle.gsrm.evidence import CheckConfig
from auricle.gsrm.features import measure
from auricle.gsrm.findings import findings_of
from auricle.gsrm.judge import SHIPPED, GsrmJudge, GsrmOptions, draw_seed
from auricle.gsrm.lessons import Record, record_from_line, record_line
from auricle.gsrm.method import Method, load_method
from auricle.gsrm.report import main
from auricle.gsrm.text_model import answer_states, lesson_tokens, make_tokenizer, new_model, save_judge
from auricle.gsrm.train import Recipe, pair, train
from auricle.judging.engine_options import EngineOptions
from auricle.judging.judge import JudgeClip
from auricle.judging.registry import check_options, find_judge
from auricle.judging.verdict import Failed, Scored
from auricle.scenes.synth.voice import speak

RATE_HZ = 16_000
# Of 16 prompts fewer fit into one step than are drawn at once: none may be cut in two.
SMALL = EngineOptions(max_model_len=512, max_num_seqs=16, max_num_batched_tokens=512, cache_mib=32)


def _clip(name="clip", noise=0.0, seconds=3.0):
    audio = speak("The boat is near the old bridge. They will meet again in seven days, and the weather is good.", "en-us+f2").audio
    audio = 0.1 * audio[: int(seconds * RATE_HZ)] / np.abs(audio).max()
    return JudgeClip(name, (audio + noise * np.random.default_rng(0).standard_normal(len(audio))).astype(np.float32), RATE_HZ)


@pytest.fixture(scope="module")
def records(measured):
    rng = np.random.default_rng(0)
    subjects = ("melody low", "clarity low", "duration")
    return [Record(clip, float(rng.uniform(1, 5)), float(rng.uniform(1, 5)), subjects, "test", None) for clip in measured]


def test_records_survive_the_disk(records):
    lines = [record_line(record) for record in records]
    assert [record_line(record_from_line(line)) for line in lines] == lines
    assert record_from_line(lines[0]).score == records[0].score


def test_the_states_of_answers_are_those_of_the_whole_model(records, norms):
    tokenizer = make_tokenizer(text for record in records for text in pair(record, Method(norms=norms)))
    model = new_model(tokenizer, width=32, layers=2, heads=2, seed=0)
    input_ids = torch.randint(len(tokenizer), (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = model.model(input_ids=input_ids).last_hidden_state
        torch.testing.assert_close(answer_states(model, input_ids, 25), whole[:, 25:], rtol=1e-4, atol=1e-4)


def test_training_lowers_the_loss_on_answers_alone(records, norms, tmp_path):
    method = Method(norms=norms, form="score")
    _, before = train(records, method, Recipe(steps=1, batch=8, width=32, heads=1))
    model, tokenizer = train(records, method, Recipe(steps=40, batch=8, width=32, heads=1))
    assert before.get_vocab() == tokenizer.get_vocab()
    asked, answer = pair(records[0], method)
    (lesson,) = lesson_tokens(tokenizer, [asked], [answer])
    assert tokenizer.decode(lesson.ids[lesson.asked :]).startswith("score: ")
    made = model.generate(input_ids=torch.tensor([lesson.ids[: lesson.asked]]), max_new_tokens=8, do_sample=False)
    assert tokenizer.decode(made[0, lesson.asked :]).startswith("score: ")
    save_judge(tmp_path, model, tokenizer, method)
    assert load_method(tmp_path) == method


def test_draws_go_by_what_was_measured_and_not_by_the_level(norms):
    clips = [gain * _clip().audio for gain in (1.0, 2.0)] + [_clip(noise=0.05).audio]
    quiet, loud, noisy = (draw_seed(findings_of(measure(audio, RATE_HZ), norms), Method(norms=norms)) for audio in clips)
    assert quiet == loud != noisy


def test_options_are_strict_and_a_missing_checkpoint_says_how_to_make_one(tmp_path):
    assert find_judge("gsrm") is GsrmJudge
    with pytest.raises(ConfigError, match="did you mean 'samples'"):
        check_options("gsrm", {"sample": 4})
    with pytest.raises(CheckpointError, match=r"auricle\.gsrm\.train"):
        GsrmJudge(GsrmOptions(model=str(tmp_path), method=str(tmp_path)))


def test_a_report_of_nothing_says_so_before_an_engine_starts(tmp_path):
    with pytest.raises(SystemExit, match=r"auricle\.gsrm\.report: .*no gsrm\.json there"):
        main([str(tmp_path)])


@pytest.mark.slow
def test_a_reader_that_has_learned_nothing_is_contradicted_unless_it_is_held_to_what_is_true(records, norms, tmp_path):
    method = Method(norms=norms)
    tokenizer = make_tokenizer(text for record in records for text in pair(record, method))
    save_judge(tmp_path, new_model(tokenizer, width=32, layers=1, heads=1, seed=0), tokenizer, method)
    judge = GsrmJudge(GsrmOptions(model=str(tmp_path), samples=4, top_p=1.0, engine=SMALL))
    held = judge.identity
    judge = judge.free()
    assert judge.identity.prompt_hash != held.prompt_hash
    findings = judge._findings(judge._split(0, _clip())[0])
    texts = judge.answers([judge.reading(findings)], [0], [findings])
    verdicts = judge.judge([_clip(), _clip("short", seconds=0.2)])
    # Decoding is held to the grammar, so that all it can do wrong is to make things up.
    assert all(not isinstance(parse_answer(text), Failed) for text in texts[0])
    assert isinstance(verdicts[0], Failed)
    assert verdicts[0].reason == "contradicts_evidence"
    assert isinstance(verdicts[1], Failed)
    assert verdicts[1].reason == "metric"
    # Held to what stands in the features it can claim nothing that is wrong, however little it knows.
    judge.options = judge.options.model_copy(update={"grounded": True, "samples": 16})
    (texts,) = judge.answers([judge.reading(findings)], [0], [findings])
    (verdict,) = judge.judge([_clip()])
    judge.close()
    # So a score says nothing by itself: this one is chance. The self-check's anchors are what tells.
    assert isinstance(verdict, Scored)
    assert verdict.dimensions["contradicted"] == 0
    answers = [parse_answer(text) for text in texts]
    assert sum(len(answer.claims) for answer in answers) > 16
    exact = CheckConfig(share_tolerance=0.0, decile_tolerance=0, count_tolerance=0.0)
    assert [check_answer(answer, findings, exact) for answer in answers] == [None] * 16
    assert {answer.vowels for answer in answers} == {findings.vowels}


@pytest.mark.slow
def test_the_shipped_reader_gives_the_same_verdict_again_and_alone():
    if not (SHIPPED / "config.json").exists():
        pytest.skip("no shipped reader")
    judge = GsrmJudge(GsrmOptions(samples=4, engine=SMALL))
    clips = [_clip("clean"), _clip("noisy", noise=0.05), _clip("long", seconds=5.0)]
    together, alone = judge.judge(clips), [judge.judge([clip])[0] for clip in clips]
    judge.close()
    for verdict, again in zip(together, alone, strict=True):
        assert isinstance(verdict, Scored)
        assert isinstance(again, Scored)
        assert 1.0 <= verdict.score <= 5.0
        assert verdict.score == pytest.approx(again.score, abs=0.6)  # sums in another order may tip a draw
        assert "issue:" in verdict.rationale
        assert verdict.dimensions["lower"] <= verdict.score
    assert together[0].score > together[1].score
    assert together[2].rationale.count("score:") == 2


@pytest.mark.slow
def test_a_listener_that_was_not_taught_to_reason_is_contradicted(norms, tmp_path):
    from auricle.judging.listener_judge import SHIPPED as LISTENER

    if not (LISTENER / "config.json").exists():
        pytest.skip("no shipped listener")
    with pytest.raises(JudgeError, match="was not taught evidence"):
        GsrmJudge(GsrmOptions(model=str(LISTENER), way="listen"))
    with pytest.raises(JudgeError, match="no such folder"):
        GsrmJudge(GsrmOptions(model=str(tmp_path / "none")))
    Method(norms=norms).save(tmp_path)
    judge = GsrmJudge(GsrmOptions(model=str(LISTENER), method=str(tmp_path), way="listen", samples=2, engine=SMALL))
    verdict = judge.free().judge([_clip()])[0]
    held = judge.judge([_clip()])[0]
    judge.close()
    # Held to what was measured it has a score, by chance.
    assert isinstance(held, Scored)
    assert held.dimensions["contradicted"] == 0
    assert isinstance(verdict, Failed)
    assert verdict.reason == "contradicts_evidence"
