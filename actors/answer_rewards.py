"""The reward stage of `auricle reason`: answers against what was really done to the clips. No panel: the labels are the judge.

Invariants: every row that comes in goes out with its parts; an answer that does not parse earns 0 and is trained on, because that is how
the format is learned. A block scored again gives the same numbers.
"""

import json
import time

import numpy as np

from auricle.judging.hashing import content_hash
from auricle.listeners.dataset import labels_from_dict
from auricle.listeners.questions import Question
from auricle.reasoning.config import AnswerRewardConfig
from auricle.reasoning.rewards import Reward, reward_of
from auricle.reasoning.similarity import similarity_of
from auricle.usage import UsageMeter, from_texts, usage_column

JUDGE = "labels"
"""The name under which the ledger keeps what the labels made of an answer."""


class AnswerRewardStage:
    """A `map_batches` callable: adds `parts` [rows, parts], `failure`, `verdicts` (JSON) and `reward_s`."""

    def __init__(self, config: AnswerRewardConfig) -> None:
        self._config, self._similarity = config, similarity_of(config.similarity)
        self._hash = content_hash([config.model_dump(mode="json")])
        self._usage = UsageMeter("reward")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See the class."""
        began = time.monotonic()
        rows = len(batch["rollout_id"])
        batch["reward_wait_s"] = np.maximum(time.time() - batch["made_at_s"], 0.0)
        rewards = [self._reward(batch, row) for row in range(rows)]
        batch["parts"] = np.stack([reward.row for reward in rewards])
        batch["failure"] = np.array([reward.failure for reward in rewards], dtype=object)
        batch["verdicts"] = np.array(
            [json.dumps({JUDGE: self._verdict(batch, row, reward)}) for row, reward in enumerate(rewards)], dtype=object
        )
        batch["usage"] = usage_column([*from_texts(batch["usage"]), self._usage.sample()], rows)
        batch["retries"] = np.zeros(rows)
        batch["reward_s"] = np.full(rows, (time.monotonic() - began) / rows)
        batch["judged_at_s"] = np.full(rows, time.time())
        return batch

    def _reward(self, batch: dict[str, np.ndarray], row: int) -> Reward:
        asked = Question(str(batch["task"][row]), str(batch["question"][row]), str(batch["dimension"][row]) or None)  # type: ignore[arg-type]
        return reward_of(
            asked, str(batch["answer"][row]), labels_from_dict(json.loads(batch["labels"][row])), self._config, self._similarity
        )

    def _verdict(self, batch: dict[str, np.ndarray], row: int, reward: Reward) -> dict[str, object]:
        """What the ledger keeps: the answer itself, what it earned part by part, and where it says that something is."""
        return {
            "state": "scored",
            "score": float(np.mean(list(reward.parts.values()))),
            "rationale": str(batch["answer"][row]),
            "dimensions": reward.parts,
            "spans": [{"artefact": span.artefact, "start_s": span.start_s, "end_s": span.end_s} for span in reward.spans],
            "detail": reward.failure,
            "prompt_hash": content_hash([str(batch["question"][row])]),
            "model_hash": self._hash,
            "attempts": 1,
        }
