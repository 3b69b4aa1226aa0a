"""At the end of a run that had trouble, where the frameworks' log is."""

from pathlib import Path

import pytest

from pipelines.finetune import naming_the_log
from pipelines.run_folder import FRAMEWORKS_LOG, RunFolder


@pytest.mark.parametrize(("text", "well", "named"), [("a warning\n", True, False), ("a warning\n", False, True), ("", False, False)])
def test_the_log_is_named_where_something_broke_and_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, well: bool, named: bool
) -> None:
    (tmp_path / FRAMEWORKS_LOG).write_text(text)
    with naming_the_log(RunFolder(tmp_path)) as ended:
        ended.well = well
    assert (str(tmp_path / FRAMEWORKS_LOG) in capsys.readouterr().err) == named


def test_the_log_is_named_where_the_run_raises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / FRAMEWORKS_LOG).write_text("an error\n")
    with pytest.raises(KeyboardInterrupt), naming_the_log(RunFolder(tmp_path)):
        raise KeyboardInterrupt
    assert FRAMEWORKS_LOG in capsys.readouterr().err
