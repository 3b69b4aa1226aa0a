"""What all tests share: the environment of the libraries, real recordings, one small Ray, and run folders."""

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before torch, Ray, vLLM or transformers are imported anywhere: they read these once.
os.environ.update(
    {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "DS_ACCELERATOR": os.environ.get("DS_ACCELERATOR", "cpu"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "MPLBACKEND": "Agg",
        "COLUMNS": "140",
    }
)
os.environ.pop("RAY_ADDRESS", None)
# One token for all processes of the tests: two that each begin a Ray at once would write each its own into the user's folder.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import hypothesis
import jaxtyping
import pytest
from beartype import BeartypeConf, beartype

# No example is judged by its time: on a busy machine a quick one may take long.
hypothesis.settings.register_profile("auricle", deadline=None)
hypothesis.settings.load_profile("auricle")

# Shapes and types of these are checked at every call of the tests. (Not everywhere: beartype cannot see through `Self` and Ray's wrappers.)
SHAPE_CHECKED = ["auricle.learning", "auricle.spectrum", "auricle.levels", "auricle.enhancers.tf_fusion", "auricle.enhancers.interface"]


def check_types(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype, with an int accepted where a float is asked for, as type checkers do."""
    return beartype(function, conf=BeartypeConf(is_pep484_tower=True))


jaxtyping.install_import_hook(SHAPE_CHECKED, "tests.conftest.check_types")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests first, so that at the end of `make test` no process works alone on a long one."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the checkout; the test is skipped where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no recordings in ../shared/data")
    return SHARED_DATA


@pytest.fixture(scope="session")
def _ray_starter() -> Iterator[Callable[[], Any]]:
    import ray

    def start() -> Any:
        if not ray.is_initialized():
            # 8 logical CPUs on any machine: the tests' actors are many and idle. One Ray for the session; a test that needs its own
            # cluster shuts this one down, and the next user of the fixture starts it again.
            ray.init(address="local", num_cpus=8, object_store_memory=256 << 20, include_dashboard=False, log_to_driver=False)
        return ray

    yield start
    ray.shutdown()


@pytest.fixture
def ray_local(_ray_starter: Callable[[], Any]) -> Any:
    """The `ray` module, connected to a small Ray of this test session's own."""
    return _ray_starter()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """An empty folder for one run."""
    folder = tmp_path / "runs" / "test"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Mouth crops and passed checks of this session alone: nothing from, and nothing into, the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURICLE_CACHE", str(tmp_path_factory.mktemp("auricle-cache")))
        yield
