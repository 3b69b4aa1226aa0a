"""The whole configuration tree: each section is declared beside the component it configures, and composed here."""

from pathlib import Path

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from actors.settings import ClusterSettings, RewardConfig, RolloutConfig
from auricle.checking.config import CheckConfig
from auricle.config import Config
from auricle.enhancers.chunks import ChunkConfig
from auricle.enhancers.exploration import ExplorationConfig
from auricle.files import is_plain_name, is_uri
from auricle.judging.panel import PanelConfig
from auricle.learning.budget import FailureBudgetConfig
from auricle.learning.config import LearnerConfig, LearnerPoolConfig
from auricle.learning.guard import GuardConfig
from auricle.learning.pretraining import PretrainConfig
from auricle.learning.quarantine import QuarantineConfig
from auricle.learning.staleness import StalenessConfig
from auricle.listeners.calibration import CalibrateConfig
from auricle.reasoning.config import ReasonDomain
from auricle.scenes.remix import RemixConfig
from auricle.scenes.scene import Split
from auricle.scenes.synth.staging import SynthConfig
from pipelines.reporting.config import EvaluateConfig


class RunSettings(Config):
    """One job: where it writes, and what makes it reproducible."""

    name: str = "run"
    """The run's name; its folder is `folder/name`."""
    folder: Path = Path("runs")
    """Where run folders live: a path. A job works here, on the machine of its driver."""
    store: str = ""
    """A URI that fsspec knows, such as s3://BUCKET/runs, below which the run is kept, too: `--resume URI/NAME` goes on. Empty: none."""
    store_timeout_s: PositiveFloat = 240.0
    """Longest wait for the store when a run ends, in seconds; `ray job stop` has to wait longer (RAY_JOB_STOP_WAIT_TIME_S)."""
    seed: int = 0
    """Every random draw of the run comes from this number."""
    experiment: str = "auricle"
    """MLflow experiment."""
    tracking_uri: str = ""
    """MLflow tracking URI; empty: `sqlite:///FOLDER/mlflow.db`."""

    @field_validator("folder")
    @classmethod
    def _is_a_path(cls, folder: Path) -> Path:
        if ":/" in str(folder):
            raise ValueError("a run works in a folder of its own machine; name the object store in run.store")
        return folder

    @field_validator("store")
    @classmethod
    def _is_a_uri(cls, store: str) -> str:
        if store and not is_uri(store):
            raise ValueError("give a URI, such as s3://BUCKET/runs or file:///FOLDER; a path belongs into run.folder")
        return store

    @field_validator("name")
    @classmethod
    def _stays_in_its_folder(cls, name: str) -> str:
        if not is_plain_name(name):
            raise ValueError("a run's name is one plain name, without folders; say where runs live with run.folder")
        return name


class ScenesSettings(Config):
    """Where scenes come from."""

    folder: Path = Path("corpus/tiny-A")
    """A corpus in AVSEC-1/2/3/4 layout, or a plain folder of clips."""
    train_split: Split = "train"
    """Split learned from."""
    dev_split: Split = "dev"
    """Held-out split that the guard watches."""
    train_targets: bool = True
    """Whether training may use clean targets; false treats the training scenes as unlabelled recordings."""
    dev_targets: bool = True
    """Whether the guard may use clean targets; without them it watches non-intrusive metrics only."""
    limit: NonNegativeInt = 0
    """Use at most this many training scenes; 0: all."""
    labelled: Path | None = None
    """A labelled corpus, learned from beside `folder`: what the anchor (learner.anchor_gamma) of a run on unlabelled clips holds on to."""


class StreamSettings(Config):
    """How long a policy learns from the stream, and how the job goes on when something breaks."""

    steps: PositiveInt = 60
    """Learner steps."""
    max_minutes: NonNegativeFloat = 0.0
    """Stop, with a checkpoint, after this many minutes; 0: no limit."""
    blocks_per_rank: PositiveInt = 1
    """Blocks into which a rank's share of a step is divided: more let several rollout actors work on one step."""
    keep_checkpoints: PositiveInt = 2
    """Newest checkpoints kept, beside the best one."""
    restarts: NonNegativeInt = 3
    """How often a broken phase is begun again at the last checkpoint."""
    step_timeout_s: PositiveFloat = 300.0
    """A phase in which no step ends for this long is broken, in seconds."""
    call_timeout_s: PositiveFloat = 120.0
    """Deadline of the small remote calls between driver, learners, store and coordinator, in seconds."""


class FinetuneSettings(StreamSettings):
    """The main job's size."""

    enhancer: Path | None = None
    """Checkpoint folder of the pretrained enhancer; unset: the small one that comes with Auricle."""
    scenes_per_step: PositiveInt = 8
    """Scenes in a learner step."""
    samples_per_scene: PositiveInt = 4
    """Rollouts of each scene in a step."""
    samples: NonNegativeInt = 4
    """Held-out scenes whose audio, before and after, goes into the report."""


class ReasonSettings(StreamSettings, ReasonDomain):
    """GRPO on a listener (`auricle reason`)."""

    steps: PositiveInt = 200
    """Learner steps; the paper's number too."""
    clips_per_step: PositiveInt = 16
    """Clips in a learner step, a question each."""
    answers_per_clip: PositiveInt = 6
    """Answers to each question: the group."""
    deadline_s: PositiveFloat = 300.0
    """Longest time for a measurement on the dev clips, in seconds: then it is lost, and made again by a new meter."""


class Settings(Config):
    """All sections. Presets in `pipelines/configs/` set them; `--set section.key=value` goes on top."""

    run: RunSettings = RunSettings()
    cluster: ClusterSettings = ClusterSettings()
    scenes: ScenesSettings = ScenesSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    reason: ReasonSettings = ReasonSettings()
    exploration: ExplorationConfig = ExplorationConfig()
    rollout: RolloutConfig = RolloutConfig()
    staleness: StalenessConfig = StalenessConfig()
    reward: RewardConfig = RewardConfig()
    panel: PanelConfig = PanelConfig()
    check: CheckConfig = CheckConfig()
    learner: LearnerConfig = LearnerConfig()
    learner_pool: LearnerPoolConfig = LearnerPoolConfig()
    guard: GuardConfig = GuardConfig()
    failure_budget: FailureBudgetConfig = FailureBudgetConfig()
    quarantine: QuarantineConfig = QuarantineConfig()
    pretrain: PretrainConfig = PretrainConfig()
    corpus_synth: SynthConfig = SynthConfig()
    corpus_mix: RemixConfig = RemixConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    calibrate: CalibrateConfig = CalibrateConfig()
    enhance: ChunkConfig = ChunkConfig()
