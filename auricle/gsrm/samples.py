"""K sampled answers become one verdict: the mean of those that hold, and their spread as its uncertainty. Pure, without an engine.

A sample that does not parse, or whose evidence the measured features contradict, does not count: it is left out of the mean, and told in
`unparsed` and `contradicted`. Where fewer than `least_share` of the samples are left there is no verdict: Failed, with the commonest
reason.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from auricle.gsrm.answers import Answer, Form, answer_text, check_answer, parse_answer
from auricle.gsrm.evidence import CheckConfig
from auricle.gsrm.findings import Findings
from auricle.judging.verdict import Failed, Scored, Verdict


def judged(text: str, form: Form, findings: Findings, check: CheckConfig) -> Answer | Failed:
    """One sample: an answer that parses and holds, or why not."""
    answer = parse_answer(text, form)
    if isinstance(answer, Failed):
        return answer
    return check_answer(answer, findings, check) or answer


def verdict_of(texts: Sequence[str], form: Form, findings: Findings, check: CheckConfig, least_share: float) -> Verdict:
    """The verdict of all samples of one clip. The words are those of the sample whose score, and then grades, are nearest to the
    means.

    dimensions: spread (standard deviation of the scores), lower (mean minus spread), samples (how many count), contradicted and unparsed
    (shares of all samples), claims (mean number of different claims), and naturalness and sound, 1-5, where answers tell them.
    """
    results = [judged(text, form, findings, check) for text in texts]
    answers = [result for result in results if isinstance(result, Answer)]
    faults = [result for result in results if isinstance(result, Failed)]
    if not answers or len(answers) < least_share * len(texts):
        commonest = Counter(fault.reason for fault in faults).most_common(1)[0][0] if faults else "unparsable"
        example = next((fault.detail for fault in faults if fault.reason == commonest), "")
        return Failed(commonest, f"{len(answers)} of {len(texts)} samples hold (at least {least_share:.0%} wanted); for example: {example}")
    scores = np.array([answer.score for answer in answers])
    mean, spread = float(scores.mean()), float(scores.std())
    share = {reason: count / len(texts) for reason, count in Counter(fault.reason for fault in faults).items()}
    dimensions = {
        "spread": spread,
        "lower": mean - spread,
        "samples": float(len(answers)),
        "contradicted": share.get("contradicts_evidence", 0.0),
        "unparsed": share.get("unparsable", 0.0),
        "claims": float(np.mean([len(answer.claims) for answer in answers])),
    }
    for name in ("naturalness", "sound"):
        told = [value for answer in answers if (value := getattr(answer, name)) is not None]
        if told:
            dimensions[name] = float(np.mean(told))

    def apart(answer: Answer) -> tuple[float, float]:
        grades = ((answer.naturalness, "naturalness"), (answer.sound, "sound"))
        return abs(answer.score - mean), sum(abs(grade - dimensions[name]) for grade, name in grades if grade is not None)

    return Scored(mean, answer_text(min(answers, key=apart)), dimensions)
