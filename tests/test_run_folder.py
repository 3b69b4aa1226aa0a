"""A run's folder: what a resumed run may change, and what it refuses to lose."""

import pytest

from auricle.errors import CheckpointError, ConfigError
from auricle.ledger import LedgerEntry, parts, write_part
from pipelines.run_folder import RunFolder
from pipelines.settings import FinetuneSettings, RunSettings, Settings


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(Settings(run=RunSettings(folder=tmp_path, name="one"), finetune=FinetuneSettings(steps=10)))


def test_settings_come_back_and_more_steps_are_allowed(run):
    assert run.settings().finetune.steps == 10
    assert run.resumed_settings(["finetune.steps=20", "learner.lr=1e-5"]).finetune.steps == 20


@pytest.mark.parametrize("assignment", ["finetune.scenes_per_step=3", "run.seed=5", "scenes.folder=elsewhere", "guard.scenes=3"])
def test_what_a_rollout_id_means_cannot_change(run, assignment):
    with pytest.raises(ConfigError, match="start a new one"):
        run.resumed_settings([assignment])


def test_a_corpus_that_changed_is_refused(run):
    run.keep_scenes(["S1", "S2"])
    run.keep_scenes(["S1", "S2"])
    with pytest.raises(ConfigError, match="corpus has changed"):
        run.keep_scenes(["S1", "S3"])
    run.keep_scenes(["D1"], "guard_scenes.json")
    with pytest.raises(ConfigError, match=r"guard_scenes\.json"):
        run.keep_scenes(["D2"], "guard_scenes.json")


def test_a_second_run_of_that_name_is_refused(run):
    with pytest.raises(ConfigError, match="a run stands there already"):
        RunFolder.create(run.settings())


def test_lost_checkpoints_do_not_wipe_the_books(run):
    write_part(run.path / "ledger", 0, 1, [LedgerEntry(0, 0, "S", 0, 0, "trained", reward=1.0)])
    with pytest.raises(CheckpointError, match="no checkpoint is left"):
        run.last_checkpoint()


@pytest.mark.parametrize(("folder", "found"), [(".partial-step-000002", None), ("step-000002", 2)])
def test_a_kill_while_the_first_checkpoint_is_made_final_can_be_resumed(run, folder, found):
    write_part(run.path / "ledger", 0, 2, [LedgerEntry(0, 0, "S", 0, 0, "trained", reward=1.0)])
    (run.path / "checkpoints" / folder).mkdir(parents=True)
    checkpoint = run.last_checkpoint()
    assert (checkpoint and checkpoint[0]) == found


def test_resuming_forgets_what_lies_beyond_the_checkpoint(run):
    for step in range(4):
        run.append("metrics.jsonl", {"step": step})
    for folder in (".partial-step-000004", "step-000002", "step-000004"):  # the last one was renamed, and nothing points at it
        (run.path / "checkpoints" / folder).mkdir(parents=True)
    write_part(run.path / "ledger", 0, 2, [LedgerEntry(0, 0, "S", 0, 0, "trained", reward=1.0)])
    write_part(run.path / "ledger", 2, 4, [LedgerEntry(1, 2, "S", 0, 0, "trained", reward=1.0)])
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "cut of')
    run.rewind(2)
    assert [line["step"] for line in run.lines("metrics.jsonl")] == [0, 1]
    assert sorted(path.name for path in (run.path / "checkpoints").iterdir()) == ["last.json", "step-000002"]
    assert run.last_checkpoint() == (2, run.path / "checkpoints" / "step-000002")
    assert [path.name for path in parts(run.path / "ledger")] == ["steps-000000-000002.parquet"]


def test_a_run_of_another_version_can_be_looked_at_but_not_gone_on_with(run, caplog):
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace("[finetune]\n", "[finetune]\nwarp_factor = 9\n") + "\n[teleport]\nrange_m = 3\n")
    assert run.settings().finetune.steps == 10
    assert run.settings(["evaluate.scenes=3"]).evaluate.scenes == 3
    assert "unknown key 'finetune.warp_factor'" in caplog.text
    with pytest.raises(ConfigError, match=r"teleport.*remove these keys"):
        run.resumed_settings([])
    with pytest.raises(ConfigError, match=r"evaluate\.scens"):
        run.settings(["evaluate.scens=3"])


def test_deadlines_are_checked_when_a_resumed_run_changes_them(run):
    with pytest.raises(ConfigError, match=r"reward.timeout_s = 30 must be larger"):
        run.resumed_settings(["reward.timeout_s=30"])


def test_a_run_from_before_dnsmos_was_renamed_is_not_gone_on_with(run):
    path = run.path / "config.toml"
    text = path.read_text().replace('"dnsmos_fast_ovrl"', '"dnsmos_ovrl"')
    path.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("timeout_s = 900.0")))
    with pytest.raises(ConfigError, match="write dnsmos_fast_ovrl for dnsmos_ovrl"):
        run.resumed_settings([])
    assert run.settings().guard.metrics[-1] == "dnsmos_ovrl"  # to be looked at as it is
    path.write_text(text)  # of today, with the official windows
    assert run.resumed_settings([]).guard.metrics[-1] == "dnsmos_ovrl"


@pytest.mark.parametrize("name", ["", "..", "../elsewhere", "a/b", "/tmp/x", ".hidden", "--resume", "a\nb", "x" * 200])
def test_a_runs_name_cannot_leave_the_folder_of_runs(name):
    with pytest.raises(ValueError, match="one plain name"):
        RunSettings(name=name)


@pytest.mark.parametrize(
    "record",
    ['{"step": 3, "folder": "../../elsewhere"}', '{"step": 3, "folder": "/"}', '{"step": 3}', '{"step": "x", "folder": "y"}', "[1]", "{"],
)
def test_a_pointer_that_leads_elsewhere_or_is_cut_short_is_refused(run, record):
    (run.path / "checkpoints").mkdir(exist_ok=True)
    (run.path / "checkpoints" / "last.json").write_text(record)
    with pytest.raises(CheckpointError, match=r"last\.json"):
        run.last_checkpoint()


def test_a_line_that_a_kill_cut_off_does_not_swallow_the_next_one(run):
    run.append("events.jsonl", {"event": "one"})
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"event": "half')
    run.append("events.jsonl", {"event": "two"})
    assert [record["event"] for record in run.lines("events.jsonl")] == ["one", "two"]
    (run.path / "metrics.jsonl").touch()
    run.append("metrics.jsonl", {"step": 0})
    assert list(run.lines("metrics.jsonl")) == [{"step": 0}]
