"""The questions' texts: several wordings a task that listeners are trained on, and others that are held out, to see how much hangs on them.

The first wording of a task is the one that judges use. `{dimension}` is the dimension's name, `{meaning}` what 5 means on it.
"""

from typing import Literal, get_args

Task = Literal[
    "describe",
    "score",
    "dimension",
    "artefact",
    "compare",
    "reference",
    "mos_numeric",
    "dim_numeric",
    "dim_categ",
    "multi_dim",
    "explanatory",
]
TASKS: tuple[Task, ...] = get_args(Task)
"""describe: free words. score: overall, 1-5. dimension: one aspect, 1-5. artefact: the worst one and when. compare: which of two clips is
better. reference: overall, 1-5, of a clip with its clean original beside it.

The five of SpeechQualityLLM (arXiv 2512.08238), single-ended or with the clean reference as the first clip: mos_numeric: overall, 1.0-5.0.
dim_numeric: one dimension, 1.0-5.0. dim_categ: one dimension in a word and a number. multi_dim: all five. explanatory: what was done to the
clip and when, then the dimensions, then the overall score."""

RATED_TASKS: tuple[Task, ...] = ("mos_numeric", "dim_numeric", "dim_categ", "multi_dim", "explanatory")
CORE_TASKS: tuple[Task, ...] = tuple(task for task in TASKS if task not in RATED_TASKS)
ABOUT_ONE_DIMENSION: frozenset[Task] = frozenset({"dimension", "dim_numeric", "dim_categ"})

WORDINGS: dict[Task, tuple[str, ...]] = {
    "describe": (
        "Describe how this speech sounds.",
        "Give me an assessment of the quality of this speech sample.",
        "What do you hear? Describe the quality of the recording.",
        "Please describe noise, distortion and naturalness of this clip.",
        "How does this recording sound?",
        "Write a short report on the quality of this speech.",
    ),
    "score": (
        "Rate the overall quality of this speech from 1 to 5.",
        "How good is this recording overall, from 1 (bad) to 5 (excellent)?",
        "Give an overall quality score between 1 and 5.",
        "On a scale of 1 to 5, what is the quality of this clip?",
        "Score the speech quality: 1 to 5.",
        "What mean opinion score from 1 to 5 does this speech deserve?",
    ),
    "dimension": (
        "Rate the {dimension} of this speech from 1 to 5, 5 is best.",
        "From 1 (bad) to 5 (excellent), how is the {dimension}?",
        "Give a score between 1 and 5 for {dimension}.",
        "Score the aspect {dimension}: 1 to 5.",
    ),
    "artefact": (
        "Which artefact is the worst, and when?",
        "Name the main artefact and its time.",
        "What is wrong with this clip, and from when to when?",
        "Find the most severe damage and say where it is.",
        "Which damage do you hear, at which time?",
    ),
    "compare": (
        "Which clip sounds better, the first or the second?",
        "Of these two clips, which one has the better quality?",
        "First or second: which is better?",
        "Say which recording you prefer, first or second.",
    ),
    "reference": (
        "The first clip is the clean original. Rate the quality of the second from 1 to 5.",
        "Compared with the first clip, the reference, how good is the second from 1 to 5?",
        "The first clip is the reference. Score the second: 1 to 5.",
    ),
    "mos_numeric": (
        "Give the mean opinion score of this speech, 1.0 to 5.0.",
        "Rate the overall quality of this speech from 1.0 to 5.0.",
        "What is the overall quality, as a number from 1.0 to 5.0?",
        "How good is this recording overall, from 1.0 (bad) to 5.0 (excellent)?",
        "Which mean opinion score, to one decimal, does this clip deserve?",
        "Score the whole clip to one decimal, 5.0 is best.",
        "On the scale from 1.0 to 5.0, how good does this sound?",
        "Please rate this speech to one decimal: 1.0 to 5.0.",
    ),
    "dim_numeric": (
        "Rate the {dimension} of this speech, 1.0 to 5.0; 5.0 means {meaning}.",
        "What is the score for {dimension} from 1.0 to 5.0 (5.0: {meaning})?",
        "Give a number from 1.0 to 5.0 for {dimension}.",
        "How is this recording in {dimension}, from 1.0 to 5.0 (5.0: {meaning})?",
        "Score {dimension} to one decimal, 5.0 is best.",
        "On the scale from 1.0 to 5.0, where is the {dimension} of this clip?",
        "Please rate {dimension} ({meaning}) to one decimal: 1.0 to 5.0.",
    ),
    "dim_categ": (
        "Is the {dimension} very bad, poor, fair, good or excellent? Give the word and the score.",
        "Which word fits the {dimension}: very bad, poor, fair, good, excellent? Add the score.",
        "Judge {dimension} ({meaning}) in a word and a score: very bad, poor, fair, good or excellent.",
        "How would you call the {dimension}: excellent, good, fair, poor or very bad? Word and score.",
        "Name the category and the score for {dimension}, from very bad to excellent.",
        "Choose very bad, poor, fair, good or excellent for {dimension}, then the score.",
    ),
    "multi_dim": (
        "Rate mos, noisiness, coloration, discontinuity and loudness, 1.0 to 5.0, as JSON.",
        "Give the five scores mos, noisiness, coloration, discontinuity, loudness as JSON.",
        "Assess this speech in all five dimensions, 1.0 to 5.0. Answer in JSON.",
        "As JSON: overall quality and the four dimensions of this clip, 1.0 to 5.0.",
        "Fill in all scores of this recording from 1.0 to 5.0, in JSON.",
        "Write a JSON object with the overall and the four dimension scores of this speech.",
    ),
    "explanatory": (
        "Explain what harms this speech and when, then give the scores.",
        "What was done to this speech, and when? Explain, then score it.",
        "Why does this clip sound as it does? Name the causes with their times, then the scores.",
        "Explain the main causes of the quality of this recording, then rate it from 1.0 to 5.0.",
        "Name each damage and its time, then the dimensions and the overall score.",
        "Give your reasons first, with times, and then the scores.",
    ),
}

HELD_OUT_WORDINGS: dict[Task, tuple[str, ...]] = {
    "mos_numeric": (
        "From 1.0 to 5.0, which overall grade would you give what you hear?",
        "Tell me the quality of this audio as a decimal between 1.0 and 5.0.",
        "Your overall opinion of this sample in one decimal number, please.",
    ),
    "dim_numeric": (
        "As a decimal between 1.0 and 5.0, how would you grade the {dimension} (5.0: {meaning})?",
        "Considering nothing but {dimension}, which grade from 1.0 to 5.0 fits?",
        "Tell me the {dimension} score of this sample.",
    ),
    "dim_categ": (
        "In terms of {dimension}, would you say very bad, poor, fair, good or excellent? Also tell the score.",
        "Put the {dimension} of this sample into one of: excellent, good, fair, poor, very bad, with its score.",
    ),
    "multi_dim": (
        "Return a JSON object that grades this sample in every dimension.",
        "Which grades from 1.0 to 5.0 would you give in the five dimensions? JSON only.",
    ),
    "explanatory": (
        "Justify your grades: tell which problems there are and where, and then the grades.",
        "What is the matter with this sample, when, and how good is it therefore?",
    ),
}
"""Never trained on: `auricle evaluate --judge` asks them to tell how much of a score hangs on the wording."""

DOUBLE_ENDED = (
    "The first clip is the clean reference of the second. ",
    "Compare the second clip with the first, its clean original. ",
    "You hear the reference, then the clip to be judged. ",
)
"""What goes before a double-ended question."""
DOUBLE_ENDED_HELD_OUT = ("First comes the undamaged original, then the version to grade. ",)

INSTRUCTIONS: dict[Task, str] = {
    "mos_numeric": " Answer with one number from 1.0 to 5.0 and nothing else, such as 3.2.",
    "dim_numeric": " Answer with one number from 1.0 to 5.0 and nothing else, such as 3.2.",
    "dim_categ": " Answer with the word, a comma and the score, such as `fair, 3.2`: very bad 1.0-1.4, poor 1.5-2.4, fair 2.5-3.4, "
    "good 3.5-4.4, excellent 4.5-5.0.",
    "multi_dim": ' Answer exactly so: {"mos": 3.2, "noisiness": 4.1, "coloration": 3.0, "discontinuity": 2.4, "loudness": 4.5}. '
    "5.0 means that nothing is wrong.",
    "explanatory": " Name causes and times in one to six sentences, such as `There is strong noise from 0.4 to 1.2 seconds.` Then end with "
    "`Scores: noisiness 2.1, coloration 4.0, discontinuity 3.0, loudness 4.5, overall 2.4.`",
}
"""The form of an answer, for models that were not trained on it."""
