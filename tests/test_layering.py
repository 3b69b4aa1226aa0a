"""Imports point one way: pipelines -> actors -> auricle; and `auricle` knows no Ray, DeepSpeed or MLflow."""

import ast
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
