"""The listener as a learner's engine hosts it: sounds and turns in, log-probabilities of the answers' tokens out.

Supervised calibration and GRPO share it. One call is one forward pass through the engine, whatever is asked about the sounds. What comes
out are named tuples, because ZeRO 3 looks for tensors in tuples, lists and dicts only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from auricle.listeners.auxiliary import AuxiliaryHead, AuxiliaryOutput
from auricle.listeners.modeling import AuricleListenerForConditionalGeneration
from auricle.listeners.turns import Turns


class Heard(NamedTuple):
    """What one pass gives. log_probs, other_log_probs: for each of the turns, one value for each answer token, row after row
    (`Turns.by_row` makes a table of them); of `labels` and of `others`. auxiliary: the regression head's view, where there is one.
    """

    log_probs: list[Float[Tensor, " answer_tokens"]]
    other_log_probs: list[Float[Tensor, " answer_tokens"]]
    auxiliary: AuxiliaryOutput | None


class ListenerModule(nn.Module):
    """A listener's model and, for calibration, the regression head beside it."""

    def __init__(self, model: AuricleListenerForConditionalGeneration, head: AuxiliaryHead | None = None, *, precision: str = "fp32"):
        """precision: `fp32`, or `bf16` for torch's autocast."""
        super().__init__()
        self.model = model
        if head is not None:
            self.head = head
        self.has_head = head is not None
        self.precision = precision

    def forward(
        self,
        features: Float[Tensor, "sounds mels frames"],
        lengths: Int64[Tensor, " sounds"],
        turns: Sequence[Turns] = (),
        *,
        temperature: float | Sequence[float] = 1.0,
    ) -> Heard:
        """features, lengths: the sounds that `turns` are about, scaled as the feature extractor scales them. temperature: of the answers'
        distribution, for policies that were sampled at another one than 1; or one for each of `turns`.
        """
        temperatures = [temperature] * len(turns) if isinstance(temperature, int | float) else temperature
        with torch.autocast(features.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            tokens = self.model.audio_tower(features, lengths)
            ones, others = [], []
            for batch, own in zip(turns, temperatures, strict=True):
                one, other = self._log_probs(tokens, batch, own)
                ones.append(one)
                others.append(other)
            return Heard(ones, others, self.head(tokens.float()) if self.has_head else None)

    def _log_probs(
        self, tokens: Float[Tensor, "sounds tokens hidden"], turns: Turns, temperature: float
    ) -> tuple[Float[Tensor, " answer_tokens"], Float[Tensor, " answer_tokens"]]:
        model = self.model
        embeds = model.place_audio(turns.input_ids, model.get_input_embeddings()(turns.input_ids), tokens[turns.audios])
        # Padding is on the right and attention is causal: no answer token sees any of it, so no mask is needed.
        hidden = model.language_model.model(inputs_embeds=embeds, use_cache=False).last_hidden_state
        answered = turns.answered
        # The output layer is a third of the work: only where there is an answer.
        logits = model.language_model.lm_head(hidden[:, :-1][answered]).float() / temperature
        logarithms = torch.log_softmax(logits, dim=-1)
        one, other = (logarithms.gather(1, ids[:, 1:][answered][:, None])[:, 0] for ids in (turns.labels, turns.others))
        return one, other
