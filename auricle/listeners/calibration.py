"""The settings of `auricle calibrate`: network, clips, training, and what the report measures.

Apart from the modules that they configure, so that the command line can print them without importing any of those.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from auricle.config import Config
from auricle.judging.engine_options import EngineOptions
from auricle.listeners.pairs_config import PairsConfig
from auricle.scenes.scene import Split

CourseName = Literal["calibration", "questions", "dimensions", "artefacts", "evidence"]


class ListenerConfig(Config):
    """The network."""

    encoder: dict[str, Any] = {"kind": "conv"}
    """`kind` "conv" (a convolutional stem, a small transformer), "ast" or "whisper"; more keys override its sizes (configuration.py)."""
    audio_encoder: str = ""
    """Pretrained weights of that kind: a folder or a hub id such as MIT/ast-finetuned-audioset-10-10-0.4593 or openai/whisper-base; empty:
    random."""
    text_model: str = ""
    """Pretrained decoder: a folder or a hub id such as meta-llama/Llama-3.1-8B-Instruct; empty: a tiny random Llama, our own vocabulary."""
    clip_s: float = 3.0
    """The window in seconds; the large form hears 10.24."""
    mels: int = 80
    """Mel bands; AST has 128."""
    audio_tokens: int = 30
    """Tokens an audio becomes: in the tiny form one a tenth of a second, so that times can be read off."""
    sample_rate_hz: int = 16_000
    """Rate of the audio."""


class DatasetConfig(Config):
    """What a listener is calibrated on."""

    speech: tuple[Path, ...] = ()
    """Folders of clean speech; none: espeak-ng voices only."""
    noise: tuple[Path, ...] = ()
    """Folders of recorded noise; none: synthetic noise, music, babble and competing talkers only."""
    synthetic_share: float = 0.35
    """Share of clips spoken by espeak-ng voices, 0-1."""
    clips: NonNegativeInt = 10_500
    """Damaged clips to train on; 0: none, where there are rated ones."""
    first_clip: NonNegativeInt = 0
    """Number of the first clip to train on; clip k is the same in every set. From `clips` of another set on: clips like its own that it
    does not have, of the same speakers and noises."""
    held_out_clips: PositiveInt = 500
    """Clips of speakers and noises that training never hears, for the report."""
    clip_s: float = 3.0
    """The listener's window in seconds; two clips in five are shorter, down to two thirds of it."""
    sample_rate_hz: int = 16_000
    """Rate of all audio; PESQ-wb wants 16 kHz."""
    mels: int = 80
    """Mel bands of the features."""
    seed: int = 0
    """Every draw comes from it."""


class EnhancedConfig(Config):
    """Further clips, from scenes and an enhancer: what a judge in the main job will hear."""

    scenes: Path | None = None
    """A corpus with clean targets, reverberant and anechoic; None: no such clips."""
    split: Split = "train"
    """The split that is listened to."""
    enhancer: Path | None = None
    """Checkpoint folder of the enhancer; None: the small one that comes with Auricle."""
    clips: PositiveInt = 3_000
    """Clips, shared evenly among the scenes."""
    seed: int = 0
    """Every draw comes from it."""


class TrainableConfig(Config):
    """Which parts of the listener learn. The bridge between encoder and decoder always does."""

    encoder: Literal["all", "queries", "frozen"] = "all"
    """The audio encoder: all of it, the queries of its attention only (as SpeechQualityLLM, arXiv 2512.08238, for AST), or nothing."""
    decoder: Literal["all", "lora", "frozen"] = "all"
    """The language model: all of it, low-rank adapters that are merged into it in the end, or nothing."""
    lora_rank: PositiveInt = 16
    """Rank of the adapters."""
    lora_alpha: PositiveInt = 32
    """The adapters' scale, times the rank."""
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj")
    """Names of the decoder's linear layers that get adapters."""
    four_bit: bool = False
    """Whether a pretrained decoder is held in 4 bits (nf4) beside its adapters; needs a CUDA device and the package bitsandbytes."""


class TrainingConfig(Config):
    """The training loop."""

    steps: int = 5_800
    """Learner steps."""
    batch: int = 32
    """Clips a step."""
    learning_rate: float = 1e-3
    """AdamW's peak learning rate."""
    weight_decay: float = 0.02
    """AdamW's decay of matrices."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises."""
    decay_share: float = 0.3
    """Last part of the steps over which the learning rate falls to zero, 0-1."""
    hearing_share: float = 0.22
    """First part of the steps in which only the audio tower learns, by regression, 0-1; where `start` is given, 0 unless set."""
    auxiliary_weight: float = 0.5
    """Weight of the regression loss once the decoder learns too."""
    pairs: int = 4
    """Questions about two clips a step."""
    average_decay: float = 0.995
    """Decay of the exponential average of the weights, which is what is kept in the end; 0: the weights themselves."""
    gradient_norm: float = 1.0
    """Longest gradient; longer ones are scaled down."""
    checkpoint_steps: int = 500
    """Steps between two checkpoints to resume from."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed spreads over the learner's ranks: 0 nothing, 1 optimiser state, 2 gradients too, 3 parameters too."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the layers; bf16 is torch's autocast, parameters stay fp32."""
    seed: int = 0
    """Weights, order of clips, questions, wording and augmentation come from it."""


class CalibrateConfig(Config):
    """One calibration."""

    output: Path = Path("runs/listener")
    """Folder of the run: `listener/` (the checkpoint), the report, and what a stopped training goes on from."""
    cache: Path = Path("corpus/listener")
    """Labelled clips are kept here, by the content of their settings."""
    ratings: tuple[Path, ...] = ()
    """Tables of human ratings (CSV with `file` and `mos_ovrl` or `mos`) for the report."""
    rated: tuple[Path, ...] = ()
    """Tables of rated clips to learn from (NISQA, QualiSpeech, or any rated folder); a part of them is held out for the report."""
    probe_clips: PositiveInt = 16
    """Sounds of each kind in the report's probes."""
    processes: PositiveInt = 2
    """Processes that make labelled clips."""
    half: bool = True
    """Whether weights are stored as float16, which is half the size; they are computed with as float32."""
    start: Path | None = None
    """Checkpoint folder of a listener to go on from; its network is used, whatever `listener` says. None: a new one."""
    listener: ListenerConfig = ListenerConfig()
    data: DatasetConfig = DatasetConfig()
    enhanced: EnhancedConfig = EnhancedConfig()
    sets: tuple[Path, ...] = ()
    """Folders of further prepared clips (`labels.jsonl` and arrays, as `cache` holds them) to learn from."""
    courses: dict[CourseName, NonNegativeFloat] = {"calibration": 1.0}
    """What is taught, with the weight of each in the loss. calibration: describe, rate, name and place artefacts, compare. questions: the
    five tasks of SpeechQualityLLM (arXiv 2512.08238), which the judge `questions` asks. dimensions: a score from 1 to 5 on each of
    QualiSpeech's numeric aspects, as in the first stage of Calibration-Reasoning (arXiv 2603.10175). artefacts: the worst artefact and its
    times, of every clip. evidence: an evidence log, a judgement and a score (GSRM, arXiv 2602.13891), which the judge `gsrm` asks for with
    `way = "listen"`; from clips of its own, as many as `data.clips`."""
    questions: PairsConfig = PairsConfig()
    """Which questions that course asks."""
    trainable: TrainableConfig = TrainableConfig()
    training: TrainingConfig = TrainingConfig()
    engine: EngineOptions = EngineOptions()
    """The vLLM engine of the report on the course evidence."""
