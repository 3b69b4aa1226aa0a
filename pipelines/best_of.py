"""Best of N: a judge as a verifier. The plain enhancement and N - 1 explored ones are judged, and the best is kept.

    mix --> plain, explored 1 .. N-1 (knots, as rollouts draw them) --> panel of one judge --> the highest score

A candidate whose judgement failed cannot be picked; where all failed there is no pick, but an error that says why.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from auricle.enhancers.chunks import ChunkConfig, enhance_long
from auricle.enhancers.exploration import Explorer
from auricle.enhancers.interface import Enhancer
from auricle.errors import ConfigError, JudgeError
from auricle.judging.local import LocalPanel
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.placement import judge_of_kind
from auricle.judging.registry import check_options, find_judge
from pipelines.settings import Settings


class BestOf:
    """Stands in for `enhance_long`, and tells afterwards what it picked from. scores: of every candidate, NaN where it failed."""

    def __init__(self, settings: Settings, judge: str, count: int) -> None:
        """judge: a name of the panel, or a kind. Raises ConfigError where it cannot judge an enhancement alone."""
        self._panel = judge_alone(settings.panel, judge)
        self._judge = self._panel.judges[-1].name
        self._exploration, self._seed, self._count = settings.exploration, settings.run.seed, count
        self.scores: list[float] = []
        self.picked = 0

    def __call__(
        self,
        enhancer: Enhancer,
        audio: Float[Tensor, "channels samples"],
        frames: UInt8[Tensor, "frames height width"] | None,
        config: ChunkConfig,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Float[Tensor, "channels samples"]:
        """The best of the candidates; see `enhance_long`. Raises JudgeError where none could be judged."""
        candidates = self.candidates(enhancer, audio, frames, config, on_progress)
        heard = [candidate.mean(dim=0).cpu().numpy().astype(np.float32) for candidate in candidates]
        with LocalPanel(self._panel) as panel:
            answers = panel.judge(
                [
                    {"clip_id": f"candidate {number}", "audio": clip, "sample_rate_hz": enhancer.sample_rate_hz, "reference": None}
                    for number, clip in enumerate(heard)
                ]
            )
        verdicts = [answer[self._judge] for answer in answers]
        self.scores = [float("nan") if verdict.get("score") is None else float(verdict["score"]) for verdict in verdicts]
        if np.isnan(self.scores).all():
            fault = verdicts[0]
            raise JudgeError(
                f"--judge {self._judge}: no score for any of {self._count} candidates ({fault.get('reason', 'it only describes')}: "
                f"{fault.get('detail', '')}); name another judge, or leave --best-of out"
            )
        self.picked = int(np.nanargmax(self.scores))
        return candidates[self.picked]

    def candidates(
        self,
        enhancer: Enhancer,
        audio: Float[Tensor, "channels samples"],
        frames: UInt8[Tensor, "frames height width"] | None,
        config: ChunkConfig,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Float[Tensor, "channels samples"]]:
        """The plain enhancement, and the explored ones."""
        explorer, made = Explorer.of(enhancer, self._exploration), []
        for number in range(self._count):
            move = self._explored(explorer, number) if number else _unmoved
            made.append(enhance_long(enhancer, audio, frames, config, move=move))
            on_progress(number + 1, self._count)
        return made

    def told(self) -> str:
        """One line: every candidate's score, and which one it became."""
        scores = " ".join("failed" if np.isnan(score) else f"{score:.2f}" for score in self.scores)
        which = "the plain enhancement" if self.picked == 0 else f"candidate {self.picked}"
        return f"{self._judge}: {scores} (plain first); kept {which}, {self.scores[self.picked]:.2f}"

    def _explored(self, explorer: Explorer, number: int) -> Callable[[Tensor, int], Tensor]:
        def move(logits: Tensor, first: int) -> Tensor:
            mean = explorer.mean(logits)
            chunks = range(first, first + len(logits))
            seeds = [int(np.random.SeedSequence([self._seed, number, chunk]).generate_state(1)[0]) for chunk in chunks]
            return explorer.apply(logits, mean, explorer.sample(mean, seeds))

        return move


def judge_alone(panel: PanelConfig, name: str) -> PanelConfig:
    """A panel of this judge, last, and where it reads, of the one whose words it reads. Raises ConfigError where it needs a reference."""
    own = {judge.name: judge for judge in panel.judges}
    judge = own.get(name) or judge_of_kind(name)
    if find_judge(judge.kind_or_name).needs_reference:
        raise ConfigError(f"--judge {name}: it compares with a clean reference, which a recording to be enhanced does not have")
    check_options(judge.kind_or_name, judge.options, source=f"panel judge {name!r}, options")
    read = [own.get(judge.reads) or JudgeConfig(name=judge.reads, kind="listener")] if judge.reads else []
    return panel.model_copy(update={"judges": (*read, judge)})


def _unmoved(logits: Tensor, first: int) -> Tensor:
    return logits
