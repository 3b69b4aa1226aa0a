"""The listener's model class for vLLM, and how vLLM prepares its audio.

One module of ours (the audio tower) is shared with transformers; the decoder is vLLM's. Parameter names are equal, so that a checkpoint
loads as it is.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn
from transformers import BatchFeature
from vllm.config import VllmConfig
from vllm.config.multimodal import MultiModalDummyOptions
from vllm.inputs import MultiModalDataDict
from vllm.model_executor.models.interfaces import MultiModalEmbeddings, SupportsLoRA, SupportsMultiModal
from vllm.model_executor.models.utils import AutoWeightsLoader, init_vllm_registered_model, maybe_prefix
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import DictEmbeddingItems, ModalityDataItems, MultiModalDataItems, MultiModalDataParser
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdate,
)
from vllm.multimodal.processing.processor import HFMultiModalInputs

from auricle.listeners.configuration import AuricleListenerConfig
from auricle.listeners.encoders import AudioTower
from auricle.listeners.features import AuricleFeatureExtractor
from auricle.listeners.processing import AuricleListenerProcessor
from auricle.listeners.prompts import AUDIO

FIELDS = {"input_features": MultiModalFieldConfig.batched("audio"), "feature_lengths": MultiModalFieldConfig.batched("audio")}
"""What the model is given for each audio."""


class ListenerDataParser(MultiModalDataParser):
    """Takes ready features too, `{"audio": {"input_features": [audios, mels, frames], "feature_lengths": [audios]}}`: prepared clips are
    kept as such, and nothing has to be computed for the other answers to one clip."""

    def _parse_audio_data(self, data: object) -> ModalityDataItems | None:  # type: ignore[override]
        if isinstance(data, dict):
            return DictEmbeddingItems(data, "audio", required_fields=set(FIELDS), fields_factory=lambda _: FIELDS)
        return super()._parse_audio_data(data)  # type: ignore[arg-type]


class ListenerInfo(BaseProcessingInfo):
    """What vLLM has to know to prepare prompts."""

    def get_hf_config(self) -> AuricleListenerConfig:
        """The checkpoint's configuration."""
        return self.ctx.get_hf_config(AuricleListenerConfig)

    def get_hf_processor(self, **kwargs: object) -> AuricleListenerProcessor:
        """The checkpoint's processor."""
        return self.ctx.get_hf_processor(AuricleListenerProcessor, **kwargs)

    def feature_extractor(self) -> AuricleFeatureExtractor:
        """The checkpoint's feature extractor."""
        return self.get_hf_processor().feature_extractor

    def get_data_parser(self) -> MultiModalDataParser:
        """Audio of any rate is resampled to the listener's, channels are averaged."""
        return ListenerDataParser(target_sr=self.feature_extractor().sampling_rate, target_channels=1)

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """Two audios: a clip, or a clip and its reference or rival."""
        return {"audio": 2}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int] | None = None) -> Mapping[str, int]:
        """Every audio becomes the same number of tokens."""
        return {"audio": self.get_hf_config().audio_tokens}


class ListenerDummyInputs(BaseDummyInputsBuilder[ListenerInfo]):
    """Inputs for vLLM's memory profiling."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        """One placeholder an audio."""
        return AUDIO * mm_counts.get("audio", 0)

    def get_dummy_mm_data(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: MultiModalDummyOptions) -> MultiModalDataDict:
        """Silent clips of a whole window."""
        extractor = self.info.feature_extractor()
        length = int(extractor.clip_s * extractor.sampling_rate)
        return {"audio": self._get_dummy_audios(length=length, num_audios=mm_counts.get("audio", 0), overrides=mm_options.get("audio"))}


class ListenerMultiModalProcessor(BaseMultiModalProcessor[ListenerInfo]):
    """Audio to features by our own processor; placeholders to `audio_tokens` each."""

    def _get_hf_mm_inputs(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, object]) -> HFMultiModalInputs:
        inputs = super()._get_hf_mm_inputs(mm_items, hf_kwargs)
        rate_hz = self.info.feature_extractor().sampling_rate
        return inputs._replace(hf_kwargs=dict(inputs.hf_kwargs, sampling_rate=rate_hz))

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return FIELDS

    def _get_prompt_updates(
        self, mm_items: MultiModalDataItems, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: MultiModalKwargsItems
    ) -> Sequence[PromptUpdate]:
        config = self.info.get_hf_config()
        token = config.audio_token_id
        return [PromptReplacement(modality="audio", target=[token], replacement=[token] * config.audio_tokens)]


@MULTIMODAL_REGISTRY.register_processor(ListenerMultiModalProcessor, info=ListenerInfo, dummy_inputs=ListenerDummyInputs)
class AuricleListenerForConditionalGeneration(nn.Module, SupportsMultiModal, SupportsLoRA):
    """As `auricle.listeners.modeling`, with vLLM's decoder. LoRA adapters act on the decoder."""

    packed_modules_mapping = {"qkv_proj": ["q_proj", "k_proj", "v_proj"], "gate_up_proj": ["gate_proj", "up_proj"]}

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """The placeholder of the i-th audio in chat messages."""
        if modality == "audio":
            return AUDIO
        raise ValueError(f"modality {modality!r}: the listener takes audio only")

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = ""):
        super().__init__()
        config: AuricleListenerConfig = vllm_config.model_config.hf_config
        self.config = config
        with self._mark_tower_model(vllm_config, "audio"):  # type: ignore[operator]
            self.audio_tower = AudioTower(config.encoder, config.mels, config.frames, config.audio_tokens, config.text_config.hidden_size)
        with self._mark_language_model(vllm_config):  # type: ignore[operator]
            self.language_model = init_vllm_registered_model(
                vllm_config=vllm_config, hf_config=config.text_config, prefix=maybe_prefix(prefix, "language_model")
            )
        self.make_empty_intermediate_tensors = self.language_model.make_empty_intermediate_tensors

    def embed_multimodal(self, **kwargs: object) -> MultiModalEmbeddings:
        """One [audio_tokens, hidden] tensor an audio."""
        features, lengths = kwargs.get("input_features"), kwargs.get("feature_lengths")
        if not isinstance(features, torch.Tensor) or not isinstance(lengths, torch.Tensor):
            return []
        return tuple(self.audio_tower(features, lengths.reshape(-1)))

    def forward(self, input_ids, positions, intermediate_tensors=None, inputs_embeds=None, **kwargs: object):
        """The decoder's hidden states."""
        return self.language_model.model(input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds)

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        """The decoder's logits."""
        return self.language_model.compute_logits(hidden_states)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """The checkpoint's tensors, by name."""
        return AutoWeightsLoader(self).load_weights(weights)
