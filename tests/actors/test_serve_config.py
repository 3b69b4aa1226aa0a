"""serve_configs/ are what Serve and our own options know, and what would go wrong on a cluster is found before anything starts."""

from pathlib import Path

import pytest

from actors.serve_config import panel_of, read_serve_config
from auricle.errors import ConfigError
from auricle.judging.panel import JudgeConfig, PanelConfig, part_names

CONFIGS = Path(__file__).resolve().parents[2] / "serve_configs"
NAMES = sorted(path.name for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_serve_configs_hold_no_unknown_key(name: str) -> None:
    panels = [panel_of(application, source=name) for application in read_serve_config(CONFIGS / name).applications]
    assert all(panel is not None and part_names(panel)[0] == "listener" for panel in panels)


@pytest.mark.parametrize("name", [name for name in NAMES if "gpu" in name])
def test_judges_on_gpus_are_pinned_to_reward_nodes(name: str) -> None:
    panel = panel_of(read_serve_config(CONFIGS / name).applications[0], source=name)
    assert panel is not None
    pools: list = [*panel.shared, *(judge for judge in panel.judges if "engine" in judge.options and not judge.shared)]
    assert pools
    assert all(pool.num_gpus > 0 and pool.resources["reward"] == pool.num_gpus for pool in pools)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("cpu", "route_prefix:", "route_prefx:", r"unknown key 'applications\[0\]\.route_prefx'; did you mean 'route_prefix'"),
        ("cpu", "proxy_location:", "proxy_lokation:", "unknown key 'proxy_lokation'"),
        ("cpu", "max_replicas: 4", "max_replica: 4", "unknown key 'judges.0.max_replica'"),
        ("cpu", "max_replicas: 4", "max_replicas: 0", "max_replicas"),
        ("cpu", "{fast: true}", "{fats: true}", "judge 'dnsmos', options: unknown key 'fats'; did you mean 'fast'"),
        ("gpu", "max_num_seqs: 64", "max_num_seq: 64", "unknown key 'engine.max_num_seq'; did you mean 'max_num_seqs'"),
        ("gpu", "dtype: bfloat16", "extra: {dtypes: bfloat16}", "no engine argument 'dtypes'; did you mean 'dtype'"),
        ("gpu-parallel", "num_gpus: 4.0", "num_gpus: 2.0", "num_gpus = 2, but options.engine.tensor_parallel = 4"),
        ("gpu-parallel", "tensor_parallel: 4", "extra: {tensor_parallel_size: 4}", "has a key of its own: tensor_parallel"),
        ("gpu-fractional", "gpu_memory_share: 0.4", "gpu_memory_share: 0.8", "0.8 is more than the 0.45 of a GPU that is its own"),
        (
            "gpu-multiplexed",
            "num_cpus: 4.0\n          num_gpus: 1.0\n          resources: {reward: 1.0}\n        - name: sentiment",
            "shared: readers\n        - name: sentiment",
            "judge 'listener' in the shared pool 'readers': engines of vLLM cannot live in one process",
        ),
        ("gpu-multiplexed", "name: readers", "name: writers", "shares 'readers', which is none of the panel's shared pools"),
        (
            "gpu-multiplexed",
            "shared: readers",
            "num_gpus: 1.0\n          shared: readers",
            "num_gpus of judge 'sentiment': say it of",
        ),
        ("http", "bearer: true\n", "bearer: false\n      limit: 3\n", "unknown key 'limit'; did you mean 'limits'"),
        ("http", "max_s: 120.0", "max_seconds: 120.0", "unknown key 'limits.max_seconds'"),
        ("http", "request_timeout_s: 400.0", "port: 8001", "request_timeout_s is not set"),
        ("http", 'OMP_NUM_THREADS: "1"', 'AURICLE_TOKEN: "0123456789abcdef0123456789abcdef"', "holds AURICLE_TOKEN, which Ray shows"),
        ("http", "http_options:", "grpc_options: {grpc_servicer_functions: [a.b]}\nhttp_options:", "opens a port on all interfaces"),
    ],
)
def test_what_would_go_wrong_is_an_error_that_names_file_key_and_cure(tmp_path: Path, name: str, old: str, new: str, says: str) -> None:
    path = tmp_path / "config.yaml"
    text = (CONFIGS / f"judges-{name}.yaml").read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=says) as caught:
        read_serve_config(path)
    assert str(path) in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_nothing_answers_the_network_without_a_token(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = (CONFIGS / "judges-http.yaml").read_text()
    path.write_text(text.replace("host: 127.0.0.1", "host: 0.0.0.0"))
    read_serve_config(path)
    path.write_text(text.replace("  host: 127.0.0.1\n", "").replace("bearer: true", "bearer: false"))  # Serve's own default: all
    with pytest.raises(ConfigError, match="would answer the whole network"):
        read_serve_config(path)
    path.write_text(text.replace("host: 127.0.0.1", "host: 0.0.0.0").replace("bearer: true", "bearer: false"))
    with pytest.raises(ConfigError, match="would answer the whole network"):
        read_serve_config(path)
    path.write_text(text.replace("bearer: true", "bearer: false"))
    read_serve_config(path)
    path.write_text(text.replace("actors.ingress:build_ingress", "somebody.else:app").replace("host: 127.0.0.1", "host: 0.0.0.0"))
    with pytest.raises(ConfigError, match="would answer the whole network"):
        read_serve_config(path)


def test_a_panel_with_a_route_is_an_error_as_it_has_no_http_form(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = (CONFIGS / "judges-cpu.yaml").read_text()
    path.write_text(
        text.replace("proxy_location: Disabled", "proxy_location: HeadOnly").replace("route_prefix: null", "route_prefix: /judge")
    )
    with pytest.raises(ConfigError, match="a panel has no HTTP form"):
        read_serve_config(path)


@pytest.mark.parametrize("text", ["", "- a\n", "applications: [", "applications: {a: 1}\n", "\x00", "a: !!python/object:os.system x\n"])
def test_what_is_no_serve_config_at_all_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_serve_config(path)


def test_a_pool_that_nobody_lives_in_is_an_error() -> None:
    with pytest.raises(ValueError, match="no judge lives in the shared pool 'ears'"):
        PanelConfig(judges=(JudgeConfig(name="dnsmos"),), shared=({"name": "ears"},))  # type: ignore[arg-type]
