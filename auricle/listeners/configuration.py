"""The configuration of a listener checkpoint (`config.json`)."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

CONV_ENCODER: dict[str, Any] = {
    "kind": "conv",
    "channels": [16, 32, 32],
    "hidden_size": 128,
    "layers": 3,
    "heads": 4,
    "intermediate_size": 512,
}
"""A stem of stride-2 convolutions and a few transformer blocks: learns on little data."""

AST_ENCODER: dict[str, Any] = {"kind": "ast", "hidden_size": 768, "layers": 12, "heads": 12, "intermediate_size": 3072}
"""The Audio Spectrogram Transformer (Gong 2021), for its pretrained weights."""

WHISPER_ENCODER: dict[str, Any] = {"kind": "whisper", "hidden_size": 512, "layers": 6, "heads": 8, "intermediate_size": 2048}
"""The encoder of Whisper (Radford 2022), for its pretrained weights; these are the sizes of whisper-base."""

ENCODERS = {"conv": CONV_ENCODER, "ast": AST_ENCODER, "whisper": WHISPER_ENCODER}


@strict
class AuricleListenerConfig(PreTrainedConfig):
    """encoder: one of ENCODERS, or a variant of one. mels, frames: the shape of the features. audio_tokens: tokens an audio
    becomes. text_config: any decoder-only language model of transformers (Llama by default). audio_token_id: the placeholder's id."""

    model_type = "auricle_listener"
    sub_configs = {"text_config": AutoConfig}

    encoder: Any = None
    text_config: Any = None
    mels: int = 80
    frames: int = 300
    audio_tokens: int = 30
    audio_token_id: int = 3
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        self.encoder = {**ENCODERS.get((self.encoder or {}).get("kind", "conv"), CONV_ENCODER), **(self.encoder or {})}
        if not isinstance(self.text_config, PreTrainedConfig):
            values = dict(self.text_config or {})
            self.text_config = CONFIG_MAPPING[values.pop("model_type", "llama")](**values)
        super().__post_init__(**kwargs)


def tiny_text_config(vocabulary: int, bos_token_id: int, eos_token_id: int, pad_token_id: int) -> dict[str, Any]:
    """The Llama decoder of the `tiny` listener: 2 layers of 128."""
    return {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 1024,
        "bos_token_id": bos_token_id,
        "eos_token_id": eos_token_id,
        "pad_token_id": pad_token_id,
        "tie_word_embeddings": False,
    }
