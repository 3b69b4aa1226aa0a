"""Imports point one way: pipelines -> actors -> auricle; and `auricle` knows no Ray, DeepSpeed or MLflow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "auricle": {"ray", "deepspeed", "mlflow", "actors", "pipelines", "benchmarks"},
    "actors": {"pipelines", "mlflow", "benchmarks"},
    "pipelines": {"benchmarks", "tests"},
}


def imported_packages(source: str) -> set[str]:
    """The top-level packages that a module imports anywhere, also inside functions and by `importlib.import_module("...")`."""
    packages: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            packages.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func) and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                packages.add(name.value.split(".")[0])
    return packages


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imported_packages(path.read_text(encoding="utf-8")) & FORBIDDEN[package]
    }
    assert not wrong


def test_the_check_sees_hidden_imports() -> None:
    source = "def f():\n    import ray.data\n    importlib.import_module('mlflow.tracking')\n    from deepspeed import zero\n"
    assert imported_packages(source) == {"ray", "mlflow", "deepspeed"}


def test_processes_that_only_pass_clips_on_load_neither_torch_nor_scipy() -> None:
    """A run starts some ten processes, and imports are most of what its start costs; so these pay for what they use only."""
    modules = "actors.panel, actors.judges, actors.reward_client, actors.coordinator, actors.weights"
    told = (
        f"import sys, {modules}; print([name for name in ('torch', 'scipy.signal', 'scipy.stats', 'transformers') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert loaded.stdout.strip() == "[]"
