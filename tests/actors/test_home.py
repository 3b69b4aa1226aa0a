"""Files that go from folder to folder in pieces."""

import os
import subprocess
from pathlib import Path

import pytest

from actors import home
from actors.home import mark, passing_folder, pieces_of, put_piece, sees
from auricle.errors import CheckpointError


def test_a_folder_arrives_as_it_was_whatever_the_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "PIECE_BYTES", 4)
    there, here = tmp_path / "there", tmp_path / "here"
    content = {"engine/rank0.pt": b"0123456789", "engine/exact.pt": b"01234567", "empty": b"", "universal/x": b"derived"}
    for name, written in content.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(written)
    mark(there)
    (here / "engine").mkdir(parents=True)
    (here / "engine" / "rank0.pt").write_bytes(b"longer than what comes")
    pieces = list(pieces_of(there, leave_out=lambda name: name.startswith("universal")))
    for piece in pieces:
        put_piece(here, piece)
    found = {path.relative_to(here).as_posix(): path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert found == {name: written for name, written in content.items() if name != "universal/x"}


def test_a_folder_is_seen_by_its_token_not_by_its_path(tmp_path: Path) -> None:
    token = mark(tmp_path)
    assert sees(tmp_path, token)
    assert not sees(tmp_path, mark(tmp_path.parent))
    assert not sees(tmp_path / "nowhere", token)


def test_what_a_killed_process_left_on_a_node_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home.tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    others = [tmp_path / name for name in (f"auricle-checkpoint-{os.getppid()}-x", "auricle-checkpoint-notes", "another")]
    for folder in (tmp_path / f"auricle-checkpoint-{gone.pid}-x", *others):
        folder.mkdir()
    with passing_folder() as mine:
        assert sorted(tmp_path.iterdir()) == sorted([mine, *others])
    assert sorted(tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize("name", ["../stray", "/etc/stray", "", "a/../../stray"])
def test_a_piece_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="no file below"):
        put_piece(tmp_path / "folder", (name, 0, b"x"))
