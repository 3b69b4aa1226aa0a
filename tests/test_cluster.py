"""cluster.yaml, and what else a cluster and its jobs are described by, is what Ray accepts; checked without a cloud."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.runtime_env import RuntimeEnv

from actors.cluster import worker_environment
from pipelines.command import load_settings
from tests.pools import check_fit

ROOT = Path(__file__).resolve().parents[1]
ON_PREMISES = ROOT / "clusters" / "on-premises.yaml"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def validate(config: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(config))


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    validate(cluster)


def test_ray_would_refuse_a_misspelt_key(cluster: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="max_workrs"):
        validate({**cluster, "max_workrs": 3})


def test_every_pool_scales_apart_from_the_others(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    for pool in ("rollout", "reward", "learner"):
        assert [name for name, kind in types.items() if pool in kind["resources"]] == [pool]
    assert types["reward"]["min_workers"] == 0
    assert types["reward"]["resources"]["GPU"] >= 1


def test_the_workers_fit_under_the_clusters_limit(cluster: dict[str, Any]) -> None:
    workers = sum(kind.get("max_workers", 0) for name, kind in cluster["available_node_types"].items() if name != cluster["head_node_type"])
    assert workers <= cluster["max_workers"]


def test_nodes_are_set_up_as_a_laptop_is(cluster: dict[str, Any]) -> None:
    assert any(command.endswith("make -C ~/auricle venv") for command in cluster["setup_commands"])
    assert ".venv" in cluster["rsync_exclude"]


def test_the_avsec4_preset_fits_this_cluster(cluster: dict[str, Any]) -> None:
    kinds = cluster["available_node_types"]
    check_fit(
        "avsec4", {name: (kind["resources"], kind["max_workers"]) for name, kind in kinds.items() if name != cluster["head_node_type"]}
    )


def test_the_command_in_its_head_is_one_that_runs() -> None:
    text = "".join(
        line.removeprefix("#") for line in (ROOT / "cluster.yaml").read_text(encoding="utf-8").splitlines(True) if line[0] == "#"
    )
    words = shlex.split(text[text.index("python -m pipelines.finetune") : text.index(".venv/bin/ray down")].replace("\\\n", " "))
    settings = load_settings(words[words.index("--preset") + 1], [words[place + 1] for place, word in enumerate(words) if word == "--set"])
    assert all(str(path).startswith("/shared/") for path in (settings.run.folder, settings.scenes.folder, settings.finetune.enhancer))


def test_ray_accepts_the_on_premises_variant() -> None:
    config = yaml.safe_load(ON_PREMISES.read_text(encoding="utf-8"))
    validate(config)
    assert config["min_workers"] == config["max_workers"] == len(config["provider"]["worker_ips"])
    with pytest.raises(Exception, match="idle_timeout_minuts"):
        validate({**config, "idle_timeout_minuts": 3})


@pytest.mark.parametrize("path", [ROOT / "cluster.yaml", ON_PREMISES], ids=lambda path: path.name)
def test_ray_starts_with_a_token_and_the_environment_first(path: Path) -> None:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    for which in ("head", "worker"):
        command = config[f"{which}_start_ray_commands"][-1]
        assert "RAY_AUTH_MODE=token" in command
        assert "PATH=$HOME/auricle/.venv/bin:$PATH" in command
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    assert config["file_mounts"]["~/.ray/auth_token"]


def test_a_host_on_premises_says_its_resources_itself(tmp_path: Path) -> None:
    command = yaml.safe_load(ON_PREMISES.read_text(encoding="utf-8"))["worker_start_ray_commands"][-1]
    resources = command[command.index("--resources=") :].replace("/etc/auricle-resources", str(tmp_path / "resources"))

    def said() -> str:
        return subprocess.run(["sh", "-c", f"echo {resources}"], capture_output=True, text=True, check=True).stdout.strip()

    assert said() == "--resources={}"
    (tmp_path / "resources").write_text('{"reward": 2}')
    assert json.loads(said().removeprefix("--resources=")) == {"reward": 2}


def test_a_jobs_environment_is_one_that_ray_takes_beside_a_runs_own() -> None:
    values = yaml.safe_load((ROOT / "clusters" / "job.yaml").read_text(encoding="utf-8"))
    RuntimeEnv(**values)
    # Ray refuses a driver whose own variables are also the job's.
    assert not set(values["env_vars"]) & set(worker_environment())


def test_a_jobs_copy_of_the_code_is_small() -> None:
    from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

    excluded = get_excludes_from_ignore_files(ROOT, include_gitignore=True)
    for folder in (".git", ".venv", "runs", "corpus", "build"):
        assert any(exclude(ROOT / folder / "large.bin") for exclude in excluded), folder
    assert not any(exclude(ROOT / "pipelines" / "finetune.py") for exclude in excluded)
