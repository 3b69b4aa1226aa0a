"""Text and audio to model inputs: the processor that transformers and vLLM share."""

import numpy as np
from transformers import BatchFeature, ProcessorMixin

from auricle.listeners.prompts import AUDIO


class AuricleListenerProcessor(ProcessorMixin):
    """Expands each audio placeholder of the text to `audio_tokens` and computes the features of the audios.

    `audio` is one clip or a flat list of clips, in the order of the placeholders over all texts.
    """

    def __init__(self, feature_extractor=None, tokenizer=None, chat_template=None, audio_token: str = AUDIO, audio_tokens: int = 30):
        self.audio_token = audio_token
        self.audio_token_id = tokenizer.convert_tokens_to_ids(audio_token)
        self.audio_tokens = audio_tokens
        super().__init__(feature_extractor, tokenizer, chat_template=chat_template or tokenizer.chat_template)

    def __call__(
        self,
        text: str | list[str] | None = None,
        audio: np.ndarray | list[np.ndarray] | None = None,
        sampling_rate: int | None = None,
        return_tensors: str | None = "pt",
        **kwargs,
    ) -> BatchFeature:
        """`input_ids`, `attention_mask` (padded on the left), `input_features`, `feature_lengths`; what was not given is left out.

        Raises ValueError where the texts' placeholders and the audios differ in number.
        """
        if text is None and audio is None:
            raise ValueError("AuricleListenerProcessor: give text, audio, or both")
        clips = [] if audio is None else [audio] if isinstance(audio, np.ndarray) and audio.ndim == 1 else list(audio)
        data: dict[str, object] = {}
        if clips:
            data |= self.feature_extractor(clips, sampling_rate=sampling_rate, return_tensors=return_tensors)
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            placeholders = sum(one.count(self.audio_token) for one in texts)
            if placeholders != len(clips):
                raise ValueError(f"the texts hold {placeholders} {self.audio_token} but {len(clips)} audios were given")
            expanded = [one.replace(self.audio_token, self.audio_token * self.audio_tokens) for one in texts]
            allowed = {key: value for key, value in kwargs.items() if key in ("padding", "add_special_tokens", "padding_side")}
            encoded = self.tokenizer(expanded, return_tensors=return_tensors, **({"padding": True} | allowed))
            data |= {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
        return BatchFeature(data)

    @property
    def model_input_names(self) -> list[str]:
        """What the model's forward takes."""
        return ["input_ids", "attention_mask", "input_features", "feature_lengths"]
