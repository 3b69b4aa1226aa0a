"""The listener as a transformers model: audio tokens take the place of placeholders in the prompt of a causal language model."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from auricle.listeners.configuration import AuricleListenerConfig
from auricle.listeners.encoders import AudioTower


class AuricleListenerForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """The SpeechQualityLLM architecture (arXiv 2512.08238) at any size: features -> encoder -> audio tokens -> decoder."""

    config_class = AuricleListenerConfig
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: AuricleListenerConfig):
        super().__init__(config)
        self.audio_tower = AudioTower(config.encoder, config.mels, config.frames, config.audio_tokens, config.text_config.hidden_size)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """The tower's modules keep torch's own initialisation; transformers' would shrink the convolutions tenfold."""

    def get_input_embeddings(self) -> torch.nn.Module:
        """The decoder's token embedding."""
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> torch.nn.Module:
        """The decoder's head."""
        return self.language_model.get_output_embeddings()

    def forward(
        self,
        input_ids: Int64[Tensor, "batch sequence"] | None = None,
        input_features: Float[Tensor, "audios mels frames"] | None = None,
        feature_lengths: Int64[Tensor, " audios"] | None = None,
        audio_embeds: Float[Tensor, "audios tokens hidden"] | None = None,
        inputs_embeds: Float[Tensor, "batch sequence hidden"] | None = None,
        attention_mask: Int64[Tensor, "batch sequence"] | None = None,
        labels: Int64[Tensor, "batch sequence"] | None = None,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Logits, and with `labels` (-100: not learned) the mean cross entropy.

        Audios are those of the whole batch in the order of their placeholders, `audio_tokens` each; `audio_embeds` are their tokens where
        the tower has run already. Raises ValueError where placeholders and audios do not match.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("AuricleListenerForConditionalGeneration.forward: give input_ids or inputs_embeds")
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if audio_embeds is None and input_features is not None:
                audio_embeds = self.audio_tower(input_features, feature_lengths)
            if audio_embeds is not None:
                inputs_embeds = self.place_audio(input_ids, inputs_embeds, audio_embeds)
        return self.language_model(inputs_embeds=inputs_embeds, attention_mask=attention_mask, labels=labels, **kwargs)

    def prepare_inputs_for_generation(self, input_ids, is_first_iteration=False, input_features=None, feature_lengths=None, **kwargs):
        """Audio is placed once, with the prompt; later steps find it in the key-value cache."""
        inputs = super().prepare_inputs_for_generation(input_ids, is_first_iteration=is_first_iteration, **kwargs)
        if is_first_iteration or not kwargs.get("use_cache", True):
            inputs |= {"input_features": input_features, "feature_lengths": feature_lengths}
        return inputs

    def place_audio(
        self,
        input_ids: Int64[Tensor, "batch sequence"],
        inputs_embeds: Float[Tensor, "batch sequence hidden"],
        audio_embeds: Float[Tensor, "audios tokens hidden"],
    ) -> Float[Tensor, "batch sequence hidden"]:
        """The prompts' embeddings with the audio tokens in the place of the placeholders, in order."""
        placeholders = input_ids == self.config.audio_token_id
        wanted, given = int(placeholders.sum()), audio_embeds.shape[0] * audio_embeds.shape[1]
        if wanted != given:
            raise ValueError(
                f"the prompts hold {wanted} audio placeholders, but {audio_embeds.shape[0]} audios make {given}; "
                f"write one audio token for each audio and let AuricleListenerProcessor expand it to {self.config.audio_tokens}"
            )
        return inputs_embeds.masked_scatter(placeholders[..., None], audio_embeds.to(inputs_embeds.dtype))
