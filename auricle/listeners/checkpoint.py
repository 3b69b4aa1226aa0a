"""Listener checkpoint folders: made anew, assembled from pretrained parts, written and read. The same folder loads in vLLM."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import ASTModel, AutoConfig, AutoModelForCausalLM, AutoTokenizer, WhisperModel

from auricle.errors import CheckpointError, ConfigError
from auricle.listeners.calibration import ListenerConfig
from auricle.listeners.configuration import AuricleListenerConfig, tiny_text_config
from auricle.listeners.encoders import AstEncoder, WhisperEncoder
from auricle.listeners.features import AuricleFeatureExtractor
from auricle.listeners.modeling import AuricleListenerForConditionalGeneration
from auricle.listeners.processing import AuricleListenerProcessor
from auricle.listeners.prompts import ANSWER, AUDIO, BOS, CHAT_TEMPLATE
from auricle.listeners.registration import register
from auricle.listeners.vocabulary import make_tokenizer


@dataclass(frozen=True)
class Listener:
    """A listener in memory."""

    model: AuricleListenerForConditionalGeneration
    processor: AuricleListenerProcessor

    @property
    def clip_s(self) -> float:
        """The longest clip it hears at once, in seconds."""
        return self.processor.feature_extractor.clip_s


def new_listener(config: ListenerConfig, seed: int = 0) -> Listener:
    """A listener with random weights where no pretrained part is named. Equal seeds give equal weights."""
    register()
    extractor = AuricleFeatureExtractor(config.mels, config.sample_rate_hz, clip_s=config.clip_s)
    tokenizer, text_config = _language(config)
    template = CHAT_TEMPLATE.replace(BOS, tokenizer.bos_token or "")
    processor = AuricleListenerProcessor(extractor, tokenizer, template, audio_tokens=config.audio_tokens)
    model_config = AuricleListenerConfig(
        encoder=dict(config.encoder),
        text_config=text_config,
        mels=config.mels,
        frames=extractor.frames,
        audio_tokens=config.audio_tokens,
        audio_token_id=processor.audio_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AuricleListenerForConditionalGeneration(model_config)
    if config.text_model:
        model.language_model = AutoModelForCausalLM.from_pretrained(config.text_model, dtype=torch.float32)
        model.language_model.resize_token_embeddings(len(tokenizer))
    if config.audio_encoder:
        _load_encoder(model.audio_tower.encoder, config.audio_encoder)
    return Listener(model, processor)


def _load_encoder(encoder: torch.nn.Module, source: str) -> None:
    """Pretrained weights of the encoder's kind, from a folder or the hub."""
    if isinstance(encoder, WhisperEncoder):
        encoder.load_pretrained(WhisperModel.from_pretrained(source, dtype=torch.float32).encoder)
    elif isinstance(encoder, AstEncoder):
        encoder.model = ASTModel.from_pretrained(source, dtype=torch.float32)
    else:
        raise ConfigError(f"calibrate.listener.audio_encoder = {source!r}: for encoder.kind 'ast' or 'whisper', not 'conv'")


def save_listener(listener: Listener, folder: Path, *, half: bool = False) -> None:
    """`config.json`, `model.safetensors`, tokenizer and processor files. half: tensors are stored as float16, and read back as float32."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.half() if half else tensor for name, tensor in listener.model.state_dict().items()}
    listener.model.save_pretrained(folder, state_dict=state, save_original_format=False)
    # The stored precision is no hint how to compute: both engines read "dtype" from here.
    listener.model.config.dtype = "float32"
    listener.model.config.save_pretrained(folder)
    listener.processor.save_pretrained(folder)


def load_listener(folder: Path | str) -> Listener:
    """The listener of a checkpoint folder, in float32 and evaluation mode. Raises CheckpointError."""
    register()
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: no listener checkpoint (no config.json); make one with `auricle calibrate`")
    try:
        model, report = AuricleListenerForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        processor = AuricleListenerProcessor.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder}: not a complete listener checkpoint: {error}") from error
    if report["missing_keys"] or report["unexpected_keys"]:
        raise CheckpointError(
            f"{folder}: tensors missing: {sorted(report['missing_keys'])[:5]}, unknown: {sorted(report['unexpected_keys'])[:5]}; "
            "the folder belongs to another version of the listener"
        )
    return Listener(model.eval(), processor)


def _language(config: ListenerConfig) -> tuple[Any, Any]:
    """The tokenizer and the decoder's configuration."""
    if not config.text_model:
        tokenizer = make_tokenizer()
        return tokenizer, tiny_text_config(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    tokenizer = AutoTokenizer.from_pretrained(config.text_model)
    tokenizer.add_special_tokens({"additional_special_tokens": [AUDIO, ANSWER]})
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    text_config = AutoConfig.from_pretrained(config.text_model)
    text_config.vocab_size = len(tokenizer)
    return tokenizer, text_config
