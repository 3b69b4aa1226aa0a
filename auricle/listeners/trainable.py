"""Which parts of a listener learn, and how what they learned becomes one checkpoint again.

    base_listener -> choose_trained (freezes, adds adapters) -> training -> assembled (the base again, trained values in, adapters merged)

A checkpoint never holds adapters: vLLM and transformers load one plain folder.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from auricle.errors import ConfigError, EnvironmentSetupError
from auricle.listeners.calibration import CalibrateConfig, TrainableConfig
from auricle.listeners.checkpoint import Listener, load_listener, new_listener

MODEL = "model."
"""The listener's prefix among the names of a `ListenerModule`'s parameters."""
QUERIES = (".query.", ".q_proj.", ".attention.q.")
"""How transformers' encoders name the queries of their attention."""


def base_listener(config: CalibrateConfig) -> Listener:
    """What training starts from: the listener of `start`, or a new one."""
    return load_listener(config.start) if config.start else new_listener(config.listener, config.training.seed)


def trainee(config: CalibrateConfig) -> Listener:
    """The base with only the configured parts requiring gradients. Raises ConfigError and EnvironmentSetupError."""
    chosen = config.trainable
    if chosen.four_bit:
        check_four_bit(config)
    listener = base_listener(config)
    extractor, data = listener.processor.feature_extractor, config.data
    if (extractor.clip_s, extractor.feature_size, extractor.sampling_rate) != (data.clip_s, data.mels, data.sample_rate_hz):
        raise ConfigError(
            f"{config.start or 'calibrate.listener'}: hears {extractor.clip_s:g} s, {extractor.feature_size} mels at "
            f"{extractor.sampling_rate} Hz, but calibrate.data has {data.clip_s:g}, {data.mels}, {data.sample_rate_hz}; set them alike"
        )
    if chosen.four_bit:
        listener.model.language_model = _in_four_bits(config, listener)
    choose_trained(listener, chosen)
    return listener


def choose_trained(listener: Listener, chosen: TrainableConfig) -> None:
    """Freezes what does not learn, and adds adapters where they were asked for."""
    encoder, decoder = listener.model.audio_tower.encoder, listener.model.language_model
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(chosen.encoder == "all" or (chosen.encoder == "queries" and any(part in f".{name}" for part in QUERIES)))
    if chosen.encoder == "queries" and not any(parameter.requires_grad for parameter in encoder.parameters()):
        raise ConfigError(
            "calibrate.trainable.encoder = 'queries': this encoder has no queries of its own; take encoder.kind 'ast' or 'whisper', or "
            "train 'all' of it"
        )
    if chosen.decoder == "lora":
        _add_adapters(decoder, chosen)
    elif chosen.decoder == "frozen":
        decoder.requires_grad_(False)


@torch.no_grad()
def assembled(config: CalibrateConfig, trained: Mapping[str, Any]) -> Listener:
    """The base listener with trained values (by their names in a `ListenerModule`) in place, adapters merged, in evaluation mode."""
    listener, chosen = base_listener(config), config.trainable
    tuner = _add_adapters(listener.model.language_model, chosen) if chosen.decoder == "lora" else None
    # Copies: what comes from another process is read-only.
    values = {name.removeprefix(MODEL): torch.from_numpy(np.array(value)) for name, value in trained.items() if name.startswith(MODEL)}
    found = listener.model.load_state_dict(values, strict=False)
    if found.unexpected_keys:
        raise ConfigError(f"calibrate: trained values that the listener lacks: {', '.join(found.unexpected_keys[:3])}")
    if tuner is not None:
        listener.model.language_model = tuner.merge_and_unload()
    listener.model.requires_grad_(True)
    listener.model.eval()
    return listener


def check_four_bit(config: CalibrateConfig) -> None:
    """Raises ConfigError or EnvironmentSetupError where 4-bit weights make no sense, or cannot be had."""
    if config.trainable.decoder == "all":
        raise ConfigError("calibrate.trainable.four_bit: weights in 4 bits cannot be trained; set calibrate.trainable.decoder = 'lora'")
    if config.start is None and not config.listener.text_model:
        raise ConfigError("calibrate.trainable.four_bit is for a pretrained decoder: name one in calibrate.listener.text_model")
    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        raise EnvironmentSetupError(
            "calibrate.trainable.four_bit needs a CUDA device and the package bitsandbytes (pip install bitsandbytes); without them set "
            "calibrate.trainable.four_bit = false"
        )


def _in_four_bits(config: CalibrateConfig, listener: Listener) -> PreTrainedModel:
    from transformers import BitsAndBytesConfig

    quantised = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    decoder = AutoModelForCausalLM.from_pretrained(config.listener.text_model, quantization_config=quantised, device_map={"": 0})
    decoder.resize_token_embeddings(len(listener.processor.tokenizer))
    return decoder


def _add_adapters(decoder: PreTrainedModel, chosen: TrainableConfig) -> Any:
    from peft import LoraConfig, LoraModel

    settings = LoraConfig(
        r=chosen.lora_rank, lora_alpha=chosen.lora_alpha, lora_dropout=0.0, target_modules=list(chosen.lora_targets), bias="none"
    )
    try:
        return LoraModel(decoder, settings, "default")
    except ValueError as error:
        raise ConfigError(f"calibrate.trainable.lora_targets = {list(chosen.lora_targets)}: {str(error).splitlines()[0]}") from error
