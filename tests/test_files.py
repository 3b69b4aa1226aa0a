"""A full disk is said, whoever met it, and leaves nothing half-written: /dev/full is one for everybody."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from auricle.errors import DiskFullError
from auricle.files import on_disk
from auricle.ledger import LedgerEntry, parts, record_issued, write_part
from pipelines.run_folder import RunFolder

FULL = Path("/dev/full")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("x"),
        lambda path: torch.save({"a": torch.zeros(100_000)}, path, _use_new_zipfile_serialization=False),
    ],
)
def test_a_full_disk_is_named_with_the_file_and_what_is_free(write, tmp_path):
    with pytest.raises(DiskFullError, match=r"step-3 could not be written.*MiB free there"), on_disk(tmp_path / "step-3"):
        write(FULL)


def test_another_error_passes_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), on_disk(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b").write_text("x")
    with pytest.raises(RuntimeError, match="nothing to do with disks"), on_disk(tmp_path):
        raise RuntimeError("nothing to do with disks")
    assert not list(tmp_path.iterdir())


def test_a_part_of_the_ledger_that_found_no_room_does_not_count(run_folder):
    folder = run_folder / "ledger"
    record_issued(folder, 4)
    (folder / "steps-000000-000001.parquet.tmp").symlink_to(FULL)
    (folder / "issued.json.tmp").symlink_to(FULL)
    with pytest.raises(DiskFullError, match=r"steps-000000-000001\.parquet could not be written"):
        write_part(folder, 0, 1, [LedgerEntry(0, 0, "S", 0, 0, "trained", reward=1.0)])
    with pytest.raises(DiskFullError, match=r"issued\.json could not be written"):
        record_issued(folder, 8)
    assert parts(folder) == []
    assert json.loads((folder / "issued.json").read_text())["issued"] == 4


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB; only root may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or os.system(f"mount -t tmpfs -o size=1m tmpfs {disk} 2>/dev/null"):
        pytest.skip("no disk of one's own on this machine")
    yield disk
    os.system(f"umount {disk}")


def test_weights_that_fill_a_disk_are_told_apart_from_other_faults(small_disk):
    many = np.random.default_rng(0).standard_normal(1 << 18)
    for name, write in (("a.pt", lambda path: torch.save(torch.from_numpy(many), path)), ("b", lambda path: save_file({"w": many}, path))):
        with pytest.raises(DiskFullError, match=r"0\.0 MiB free" if name == "a.pt" else "could not be written"), on_disk(small_disk / name):
            write(small_disk / name)
        (small_disk / name).unlink(missing_ok=True)


def test_a_line_that_found_no_room_is_not_there_and_the_next_one_is_whole(small_disk):
    run = RunFolder(small_disk)
    run.append("metrics.jsonl", {"step": 0})
    block = small_disk / "block"
    with pytest.raises(OSError, match="No space"):
        block.write_bytes(bytes(1 << 21))
    with pytest.raises(DiskFullError, match=r"metrics\.jsonl could not be written"):
        run.append("metrics.jsonl", {"step": 1, "text": "x" * 10_000})
    block.unlink()
    run.append("metrics.jsonl", {"step": 1})
    assert list(run.lines("metrics.jsonl")) == [{"step": 0}, {"step": 1}]
