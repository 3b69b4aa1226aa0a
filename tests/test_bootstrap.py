"""The set-up: what it refuses and why, when it does nothing, and what it makes anew."""

import importlib
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield importlib.import_module("bootstrap")


@pytest.fixture(scope="module")
def machine(bootstrap: ModuleType) -> ModuleType:
    return importlib.import_module("machine")


def good_machine(module: ModuleType, **changes: object):
    python = module.Python(version=(3, 11, 7), path="/usr/bin/python3.11", venv=True, headers=True)
    machine = module.Machine("Linux", "x86_64", python, compiler=True, free_gib=50.0, memory_gib=16.0, extra="cpu")
    return machine._replace(**changes)


def test_a_good_machine_has_no_faults(machine: ModuleType) -> None:
    assert machine.faults(good_machine(machine)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"system": "Darwin"}, "runs on Linux"),
        ({"architecture": "aarch64"}, "AURICLE_ANY_ARCHITECTURE=1"),
        ({"python": None}, "apt install python3.11 python3.11-venv"),
        ({"compiler": False}, "apt install gcc libc6-dev"),
        ({"free_gib": 1.5}, "1.5 GiB of disk are free here; the cpu environment needs 7"),
        ({"free_gib": 15.0, "extra": "gpu"}, "the gpu environment needs 20"),
        ({"memory_gib": 3.9}, "3.9 GiB of memory"),
    ],
)
def test_each_fault_is_one_line_with_the_cure(machine: ModuleType, changes: dict[str, object], expected: str) -> None:
    (line,) = machine.faults(good_machine(machine, **changes))
    assert expected in line
    assert "\n" not in line


def test_python_without_venv_or_headers_names_the_packages(machine: ModuleType) -> None:
    bare = machine.Python(version=(3, 12, 1), path="/usr/bin/python3.12", venv=False, headers=False)
    lines = machine.faults(good_machine(machine, python=bare))
    assert ["python3.12-venv" in lines[0], "python3.12-dev" in lines[1]] == [True, True]


def test_several_faults_are_told_at_once(machine: ModuleType) -> None:
    assert len(machine.faults(good_machine(machine, compiler=False, memory_gib=1.0))) == 2


def test_untried_architecture_may_be_tried(machine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURICLE_ANY_ARCHITECTURE", "1")
    assert machine.faults(good_machine(machine, architecture="aarch64")) == []


def test_a_wish_for_a_python_that_does_not_run_is_not_overruled(machine: ModuleType, tmp_path: Path) -> None:
    assert machine.find_python(str(tmp_path / "python3.11")) is None
    assert machine.find_python(None) is not None


def checkout(tmp_path: Path) -> Path:
    """A folder with a project file and a finished-looking environment."""
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["a==1"]\n[tool.ruff]\nline-length = 140\n')
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def test_stamp_fits_until_something_that_matters_changes(bootstrap: ModuleType, tmp_path: Path) -> None:
    root = checkout(tmp_path)
    assert not bootstrap.stamp_fits(root, None)
    bootstrap.write_stamp(root, "cpu")
    assert bootstrap.stamp_fits(root, None)
    assert bootstrap.stamp_fits(root, "cpu")
    assert not bootstrap.stamp_fits(root, "gpu")
    project = root / "pyproject.toml"
    project.write_text(project.read_text().replace("140", "100"))
    assert bootstrap.stamp_fits(root, None), "lint rules must not reinstall anything"
    project.write_text(project.read_text().replace("a==1", "a==2"))
    assert not bootstrap.stamp_fits(root, None)


def test_a_moved_checkout_is_noticed(bootstrap: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    root = checkout(tmp_path / "old")
    bootstrap.write_stamp(root, "cpu")
    moved = root.rename(tmp_path / "new")
    assert not bootstrap.stamp_fits(moved, None)


def test_a_vanished_python_is_noticed(bootstrap: ModuleType, tmp_path: Path) -> None:
    root = checkout(tmp_path)
    bootstrap.write_stamp(root, "cpu")
    (root / ".venv" / "bin" / "python").unlink()
    assert not bootstrap.stamp_fits(root, None)


def test_an_interrupted_environment_is_gone_on_with_and_a_moved_one_is_not(
    bootstrap: ModuleType, machine: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / ".venv"
    base = machine.probe(getattr(sys, "_base_executable", sys.executable))
    bootstrap.make_venv(folder, base)
    assert bootstrap.belongs_here(folder)
    assert not bootstrap.belongs_here(folder.rename(tmp_path / "moved"))


def test_a_folder_that_is_no_environment_is_left_alone(bootstrap: ModuleType, machine: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "precious").write_text("x")
    with pytest.raises(bootstrap.SetupFault, match="is no virtual environment"):
        bootstrap.make_venv(tmp_path / ".venv", machine.probe(sys.executable))
    assert (tmp_path / ".venv" / "precious").exists()


def test_a_build_that_does_not_import_is_removed_and_a_sound_one_stays(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    packages = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    for name, body in {"torchvision": "raise RuntimeError('operator torchvision::nms does not exist')", "torchaudio": ""}.items():
        (packages / f"{name}.py").write_text(body)
        info = packages / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "INSTALLER").write_text("pip\n")
        (info / "RECORD").write_text(f"{name}.py,,\n{info.name}/METADATA,,\n{info.name}/INSTALLER,,\n{info.name}/RECORD,,\n")
    bootstrap.remove_broken_builds(python)
    assert not (packages / "torchvision.py").exists()
    assert (packages / "torchaudio.py").exists()
    assert capsys.readouterr().out.count("removed torchvision") == 1


def test_faults_stop_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "tools/bootstrap.py", "tools/machine.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    environment = {**os.environ, "AURICLE_PYTHON": str(tmp_path / "no-such-python"), "AURICLE_EXTRA": "cpu"}
    command = [sys.executable, str(tmp_path / "tools" / "bootstrap.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "environment: Python 3.11 or 3.12 is needed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()
