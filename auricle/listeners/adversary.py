"""An optimiser that sees the listener's gradient: how far a mask can raise the score of a noisy clip, and what that does to PESQ."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy import signal
from torch import Tensor

from auricle.errors import MetricError
from auricle.levels import normalise_loudness
from auricle.listeners.asking import score_distribution, score_of_sound
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import LUFS
from auricle.listeners.degradations import scaled_to_ratio
from auricle.listeners.features import HOP_SAMPLES, POWER_FLOOR, log_mels, mel_centres_hz, scaled
from auricle.listeners.questions import question
from auricle.listeners.sources import Sources
from auricle.metrics.intrusive import pesq_wb

RATE_HZ = 16_000
FFT_SIZE = 512
DEEPEST_DB = 30.0
START_LOGIT = 2.0


@dataclass(frozen=True)
class WhiteBox:
    """Means over clips, of the 0 dB mixture and of what the optimiser made of it. The score after is measured on the sound itself."""

    clips: int
    score_before: float
    score_after: float
    pesq_before: float
    pesq_after: float


def white_box(listener: Listener, sources: Sources, clips: int = 6, steps: int = 30, seed: int = 0) -> WhiteBox:
    """The attack on `clips` mixtures of held-out speech and noise."""
    asked, table = question("score"), []
    for index in range(clips):
        rng = np.random.default_rng([seed, 2, index])
        speech = sources.speech_crop(int(listener.clip_s * RATE_HZ), rng)
        mix = speech + scaled_to_ratio(sources.noise_crop(len(speech), rng), speech, 0.0)
        mix = normalise_loudness(mix, RATE_HZ, LUFS)
        fooled = fool(listener, mix, steps)
        scores = [score_of_sound(listener, audio, RATE_HZ, asked) for audio in (mix, fooled)]
        try:
            table.append((*scores, pesq_wb(speech, mix, RATE_HZ), pesq_wb(speech, fooled, RATE_HZ)))
        except MetricError:
            continue
    means = np.mean(table, axis=0) if table else np.full(4, np.nan)
    return WhiteBox(len(table), *(float(value) for value in means))


def fool(
    listener: Listener, mix: Float32[np.ndarray, " samples"], steps: int, learning_rate: float = 0.3
) -> Float32[np.ndarray, " samples"]:
    """`mix` through the mel mask (at most 30 dB down) that so many steps of Adam find best for the listener's expected score."""
    mels = torch.from_numpy(log_mels(mix, listener.model.config.mels, RATE_HZ))[None]
    logits = torch.full_like(mels, START_LOGIT, requires_grad=True)
    lengths = torch.tensor([mels.shape[-1]])
    optimizer = torch.optim.Adam([logits], lr=learning_rate)
    for _ in range(steps):
        power = (torch.pow(10.0, mels) - POWER_FLOOR).clamp_min(0.0) * torch.pow(10.0, _gain_db(logits) / 10) + POWER_FLOOR
        masses = score_distribution(listener, question("score"), scaled(torch.log10(power)), lengths)[0].exp()
        loss = -(masses * torch.arange(1.0, 6.0)).sum() / masses.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _masked(mix, _gain_db(logits.detach())[0].numpy())


def _gain_db(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return DEEPEST_DB * (torch.sigmoid(logits) - 1.0)


def _masked(mix: Float32[np.ndarray, " samples"], gain_db: Float[np.ndarray, "mels frames"]) -> Float32[np.ndarray, " samples"]:
    """The mask of the mels on the sound: interpolated to the bins of an STFT with the features' hop."""
    spectrum = signal.stft(mix, RATE_HZ, nperseg=FFT_SIZE, noverlap=FFT_SIZE - HOP_SAMPLES)[2]
    bins_hz = np.fft.rfftfreq(FFT_SIZE, 1 / RATE_HZ)
    bins = np.stack([np.interp(bins_hz, mel_centres_hz(len(gain_db), RATE_HZ), frame) for frame in gain_db.T], axis=1)
    # Frame k of the features is centred half a hop after step k of the STFT.
    steps = np.clip(np.arange(spectrum.shape[1]), 0, bins.shape[1] - 1)
    masked = spectrum * 10 ** (bins[:, steps] / 20)
    audio = signal.istft(masked, RATE_HZ, nperseg=FFT_SIZE, noverlap=FFT_SIZE - HOP_SAMPLES)[1][: len(mix)]
    return np.pad(audio, (0, len(mix) - len(audio))).astype(np.float32)
