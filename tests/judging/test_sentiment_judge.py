"""The classifier that comes with Auricle keeps the ranking that the words hold; any sequence classifier can stand in its place."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from auricle.errors import JudgeError
from auricle.judging.judge import JudgeClip, NoOptions
from auricle.judging.sentiment_judge import SHIPPED, SentimentJudge, SentimentOptions, VaderJudge, class_values
from auricle.judging.train_sentiment import Recipe, evaluate, fit, make_tokenizer, thinned, two_hot
from auricle.listeners.labels import Damage, make_labels
from auricle.metrics.agreement import spearman


def _clips(*texts):
    return [JudgeClip(str(index), np.zeros(1, np.float32), 16_000, text=text) for index, text in enumerate(texts)]


def _labels(count, seed=0):
    """Labels of clips in noise that were never made into sound: PESQ falls with the noise."""
    rng = np.random.default_rng(seed)
    severities = rng.uniform(0, 1, count)
    return [make_labels(4.5 - 3.3 * s, (Damage("noise", s, ((0.0, 3.0),)),), 3.0) for s in severities]


def test_better_words_get_better_scores():
    words = [
        f"Overall the quality is {grade}." for grade in ("terrible", "very bad", "bad", "poor", "fair", "good", "very good", "excellent")
    ]
    scores = [verdict.score for verdict in SentimentJudge(SentimentOptions()).judge(_clips(*words))]
    assert spearman(scores, range(len(words))) > 0.95
    assert all(1.0 <= score <= 5.0 for score in scores)


def test_it_hears_artefacts_also_without_a_verdict_word():
    judge = SentimentJudge(SentimentOptions())
    severe, slight = judge.judge(
        _clips("There is severe background noise. It takes great effort to follow.", "There is slight background noise.")
    )
    assert slight.score > severe.score + 0.5


def test_a_long_block_equals_its_texts_one_by_one():
    texts = [f"The voice drops out at {second}.{tenth} seconds." for second in range(3) for tenth in range(10)]
    judge = SentimentJudge(SentimentOptions(batch_size=7))
    together = [verdict.score for verdict in judge.judge(_clips(*texts))]
    alone = [judge.judge(_clips(text))[0].score for text in texts]
    assert together == pytest.approx(alone, abs=1e-5)


def test_values_and_class_counts_come_from_the_options(tmp_path):
    torch.manual_seed(0)
    tokenizer = make_tokenizer(_labels(20), 0)
    shape = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    model = BertForSequenceClassification(shape)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    two_classes = SentimentJudge(SentimentOptions(model=str(tmp_path), values=(2.0, 2.0)))
    assert two_classes.judge(_clips("Anything."))[0].score == pytest.approx(2.0)
    with pytest.raises(JudgeError, match="one value a class"):
        SentimentJudge(SentimentOptions(model=str(tmp_path), values=(1.0, 2.0, 3.0)))


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (["POSITIVE", "NEGATIVE"], (5.0, 1.0)),
        (["negative", "neutral", "positive"], (1.0, 3.0, 5.0)),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], (1.0, 2.0, 3.0, 4.0, 5.0)),
        (["5", "3", "1"], (5.0, 3.0, 1.0)),
        (["Very Positive", "very_negative", "Neutral"], (5.0, 1.0, 3.0)),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ()),
        (["joy", "anger"], ()),
        (["positive", "POSITIVE"], ()),
    ],
)
def test_classes_are_ranked_by_their_names_not_their_order(names, values):
    assert class_values(names) == values


def test_a_model_whose_class_names_say_nothing_needs_values(tmp_path):
    tokenizer = make_tokenizer(_labels(20), 0)
    shape = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertForSequenceClassification(shape).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(JudgeError, match=r"LABEL_0.*options\.values"):
        SentimentJudge(SentimentOptions(model=str(tmp_path)))


def test_a_missing_model_is_an_error_that_says_which(tmp_path):
    with pytest.raises(JudgeError, match="nowhere"):
        SentimentJudge(SentimentOptions(model=str(tmp_path / "nowhere")))


def test_identity_follows_the_models_files_and_the_options():
    one, same, other = (SentimentJudge(SentimentOptions(**o)).identity for o in ({}, {}, {"max_tokens": 9}))
    assert one == same
    assert (one.model_hash == other.model_hash, one.prompt_hash == other.prompt_hash) == (True, False)


def test_vader_is_a_judge_of_words_too():
    bad, good = VaderJudge(NoOptions()).judge(_clips("This is horrible.", "This is excellent."))
    assert 1.0 <= bad.score < good.score <= 5.0


def test_targets_have_the_quality_as_their_expectation():
    quality = torch.tensor([1.0, 1.25, 3.0, 4.9, 5.0])
    assert torch.allclose(two_hot(quality) @ torch.arange(1.0, 6.0), quality)


def test_thinning_leaves_out_sentences_and_never_all():
    rng = np.random.default_rng(0)
    found = {thinned("One. Two. Three.", Recipe(drop_verdict=0.9, drop_sentence=0.9), rng) for _ in range(200)}
    assert {"One", "Two", "Three.", "One. Two"} <= found
    assert "" not in found


def test_a_short_training_learns_the_ranking(tmp_path):
    labels = _labels(300)
    tokenizer = make_tokenizer(labels, 0)
    fit(tokenizer, labels, Recipe(steps=250, batch=32, drop_verdict=0.1)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    report = evaluate(tmp_path, _labels(100, seed=1))
    assert report["classifier_spearman_label"] > 0.7


def test_the_shipped_model_is_small():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 1_000_000
    assert (SHIPPED / "README.md").exists()
