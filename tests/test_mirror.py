"""A run in an object store: whatever point a job is killed at, what comes back is the run as of a whole checkpoint."""

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from auricle.errors import ConfigError, StoreError, TakenOverError
from auricle.ledger import LedgerEntry, account, record_issued, write_part
from auricle.object_store import ObjectStore
from pipelines import ledger, mirror, report, status
from pipelines.mirror import RunMirror, mirrored
from pipelines.run_folder import RunFolder
from pipelines.run_store import INDEX, fetch, run_at
from pipelines.settings import RunSettings, Settings
from tests.bucket import FOLDER, BucketFileSystem
from tests.runs import write_run

URI = "bucket://b/runs/one"


class Killed(BaseException):
    """No error: nothing catches it, and nothing is done after it."""


@pytest.fixture(autouse=True)
def buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "buckets"))
    return tmp_path / "buckets"


def new_run(folder: Path) -> RunFolder:
    return RunFolder.create(Settings(run=RunSettings(folder=folder, name="one", store="bucket://b/runs")))


def go_on(run: RunFolder, step: int, says: str) -> None:
    """Five steps more, to the checkpoint of `step`: as a job writes them."""
    for number in range(step - 5, step):
        run.append("metrics.jsonl", {"step": number, "time_s": 0.0, "metrics": {"reward/mean": float(number)}})
    write_part(run.path / "ledger", step - 5, step, [LedgerEntry(i, i, says, 0, i, "trained", reward=1.0) for i in range(step - 5, step)])
    record_issued(run.path / "ledger", step + 3)
    checkpoint = run.path / "checkpoints" / f"step-{step:06d}"
    for name in ("engine/rank0.pt", "engine/rank1.pt", "enhancer/model.safetensors", "enhancer/config.json"):
        (checkpoint / name).parent.mkdir(parents=True, exist_ok=True)
        (checkpoint / name).write_text(f"{says} {step} {name}")
    (checkpoint.parent / "last.json").write_text(json.dumps({"step": step, "folder": checkpoint.name}))


def contents(run: RunFolder) -> dict[str, str]:
    """The last checkpoint, and the ledger up to it, as they can be read."""
    step, checkpoint = run.last_checkpoint() or (0, run.path / "none")
    found = {str(path.relative_to(checkpoint)): path.read_text() for path in checkpoint.rglob("*") if path.is_file()}
    sums = account(run.path / "ledger")
    assert sums.balanced, sums
    metrics = [record["step"] for record in run.lines("metrics.jsonl")]
    assert metrics[:step] == list(range(step))  # lines beyond it are cut back when the run goes on
    return found | {"step": str(step), "trained": str(sums.trained)}


def keys_of(buckets: Path) -> set[str]:
    return {name.removeprefix("runs/one/") for name in (path.split("/", 1)[1] for path in BucketFileSystem().find("b/runs/one"))}


def put(run: RunFolder, step: int) -> None:
    RunMirror(run.path, URI, step, close_timeout_s=5).put()


def test_killed_at_any_put_the_store_holds_a_whole_checkpoint(tmp_path: Path, buckets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run goes on elsewhere from what is left, makes other things of the same steps, and nothing of the first is mixed in."""
    ends = set()
    for deaths in itertools.count():
        here = new_run(tmp_path / f"here-{deaths}")
        go_on(here, 5, "first")
        put(here, 5)
        before = contents(here)
        go_on(here, 10, "first")
        left = itertools.count()

        def die(left: "itertools.count[int]" = left, deaths: int = deaths) -> None:
            if next(left) == deaths:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(BucketFileSystem, "before_put", staticmethod(die))
            try:
                put(here, 10)
                killed = False
            except Killed:
                killed = True

        there = RunFolder.open(fetch_to(tmp_path / f"there-{deaths}"))
        assert contents(there) in (before, contents(here))
        step = int(contents(there)["step"])
        ends.add(step)
        there.rewind(step)
        go_on(there, step + 5, "second")
        put(there, step + 5)
        assert contents(RunFolder.open(fetch_to(tmp_path / f"third-{deaths}"))) == contents(there)
        index = json.loads(BucketFileSystem().cat_file(f"b/runs/one/{INDEX}"))
        assert keys_of(buckets) == {one["key"] for one in index["objects"].values()} | {INDEX}
        for key in keys_of(buckets):
            BucketFileSystem().rm_file(f"b/runs/one/{key}")
        if not killed:
            break
    assert ends == {5, 10}
    assert deaths > 6


def fetch_to(folder: Path) -> Path:
    return fetch(ObjectStore(URI), folder / "one")


def test_a_job_keeps_its_run_there_and_tidies_up(tmp_path: Path, buckets: Path) -> None:
    run = new_run(tmp_path / "here")
    with mirrored(run, run.settings().run):
        for step in (5, 10, 15):
            go_on(run, step, "first")
            run.publish(step)
            run.prune_checkpoints(1, set())
        (run.path / "report.html").write_text("a page")
    assert {key.split("/")[1][:11] for key in keys_of(buckets) if key.startswith("checkpoints/")} == {"step-000015"}
    copy = RunFolder.open(fetch_to(tmp_path / "there"))
    assert contents(copy) == contents(run)
    assert (copy.path / "report.html").read_text() == "a page"
    assert run.mirror is None


def test_a_store_that_fails_for_a_while_is_told_once_and_gets_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, faults = new_run(tmp_path / "here"), itertools.count()

    def fail() -> None:
        if next(faults) < 3:
            raise OSError("slow down")

    monkeypatch.setattr(mirror, "RETRY_S", 0.01)
    go_on(run, 5, "first")
    kept = RunMirror(run.path, URI, 0, close_timeout_s=60)
    monkeypatch.setattr(BucketFileSystem, "before_put", staticmethod(fail))
    with caplog.at_level(logging.WARNING, "auricle.mirror"), kept:
        kept.publish(5)
    assert [record.getMessage().count("slow down") for record in caplog.records] == [1]
    assert contents(RunFolder.open(fetch_to(tmp_path / "there"))) == contents(run)


def test_a_try_that_broke_off_is_gone_on_with_and_not_begun_anew(tmp_path: Path, buckets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, sent, upload = new_run(tmp_path / "here"), [], ObjectStore.upload
    go_on(run, 5, "first")
    kept = RunMirror(run.path, URI, 5, close_timeout_s=5)

    def fail_once(store: ObjectStore, path: Path, key: str) -> None:
        sent.append(path.name)
        if len(sent) == 4:
            raise StoreError("slow down")
        upload(store, path, key)

    monkeypatch.setattr(ObjectStore, "upload", fail_once)
    with pytest.raises(StoreError, match="slow down"):
        kept.put()
    kept.put()
    assert len(sent) == len(json.loads(ObjectStore(URI).read(INDEX) or b"")["objects"]) + 1  # each once, and the one that failed
    assert keys_of(buckets) == {one.key for one in kept._known.values()} | {INDEX}
    assert contents(RunFolder.open(fetch_to(tmp_path / "there"))) == contents(run)


def test_a_store_that_never_answers_costs_no_run_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = new_run(tmp_path / "here")

    def fail() -> None:
        raise OSError("no such bucket")

    monkeypatch.setattr(mirror, "RETRY_S", 0.01)
    go_on(run, 5, "first")
    kept = RunMirror(run.path, URI, 5, close_timeout_s=0.2)
    monkeypatch.setattr(BucketFileSystem, "before_put", staticmethod(fail))
    with kept:
        pass
    kept._thread.join(30)
    assert any("Go on from the folder" in record.getMessage() for record in caplog.records)
    with pytest.raises(StoreError, match="no such bucket"):  # before a job begins it is an error
        RunMirror(run.path, URI, 5, close_timeout_s=0.2)


def test_runs_are_never_overwritten_nor_set_back(tmp_path: Path) -> None:
    here = new_run(tmp_path / "here")
    go_on(here, 5, "first")
    put(here, 5)
    with pytest.raises(ConfigError, match="a run stands there already"):
        new_run(tmp_path / "another")
    there = RunFolder.open(fetch_to(tmp_path / "there"))
    go_on(there, 10, "second")
    put(there, 10)
    with pytest.raises(StoreError, match=r"as of step 10, .* is at step 5"):
        put(here, 5)
    plain = RunFolder.create(Settings(run=RunSettings(folder=tmp_path / "plain", name="one")))
    with pytest.raises(StoreError, match="not the one in"):
        put(plain, 0)
    with pytest.raises(ConfigError, match="is not the one at"):
        fetch(ObjectStore(URI), plain.path)


def resumed_elsewhere(folder: Path) -> tuple[RunFolder, RunMirror]:
    """Another machine goes on with what the store has."""
    other = RunFolder(fetch(ObjectStore(URI), folder / "one"))
    step, _ = other.last_checkpoint() or (0, None)
    return other, RunMirror(other.path, URI, step, close_timeout_s=5)


def told_by(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "auricle.mirror"]


def test_a_run_that_was_resumed_elsewhere_is_left_to_the_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first job was cut off, not dead: it comes back when the second one has the run, which had put nothing of its own then."""
    run = new_run(tmp_path / "here")
    first = RunMirror(run.path, URI, 0, close_timeout_s=5)
    go_on(run, 5, "first")
    first.publish(5)
    first.put()
    other, second = resumed_elsewhere(tmp_path / "there")
    go_on(run, 10, "first")
    first.publish(10)
    with pytest.raises(TakenOverError, match="another process writes this run now"):
        first.put()
    go_on(other, 10, "second")
    second.publish(10)
    second.put()
    with first:
        pass
    told = told_by(caplog)
    assert len(told) == 2  # when it is found, and when the job ends
    assert "where that is not wanted, stop it" in told[0] == told[1]
    again = RunFolder(fetch(ObjectStore(URI), tmp_path / "again" / "one"))
    assert contents(again) == contents(other)
    assert any(line.startswith("second 10") for line in contents(again).values())
    with pytest.raises(
        StoreError, match=r"has gone on with it\. Go on with that one \(--resume"
    ):  # not even where a supervisor starts it again
        RunMirror(run.path, URI, 10, close_timeout_s=5)
    go_on(other, 15, "second")
    second.publish(15)
    second.put()


def test_taken_over_in_the_middle_of_an_upload_nothing_of_the_others_is_overwritten(
    tmp_path: Path, buckets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path / "here")
    first = RunMirror(run.path, URI, 0, close_timeout_s=5)
    go_on(run, 5, "first")
    first.publish(5)
    first.put()
    go_on(run, 10, "first")
    first.publish(10)
    there: list[RunFolder] = []

    def once() -> None:
        monkeypatch.setattr(BucketFileSystem, "before_put", staticmethod(lambda: None))
        other, second = resumed_elsewhere(tmp_path / "there")
        go_on(other, 10, "second")
        go_on(other, 15, "second")
        second.publish(15)
        second.put()
        there.append(other)

    monkeypatch.setattr(BucketFileSystem, "before_put", staticmethod(once))
    with pytest.raises(TakenOverError):
        first.put()
    again = RunFolder(fetch(ObjectStore(URI), tmp_path / "again" / "one"))
    assert contents(again) == contents(there[0])
    assert contents(again)["step"] == "15"


def test_a_job_that_is_killed_while_it_takes_a_run_over_can_be_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(tmp_path / "here")
    go_on(run, 5, "first")
    put(run, 5)
    puts = itertools.count()

    def kill() -> None:
        if next(puts) == at:
            raise Killed

    for at in range(3):  # the probe, the signature; the third one is never made
        puts = itertools.count()
        monkeypatch.setattr(BucketFileSystem, "before_put", staticmethod(kill))
        try:
            RunMirror(run.path, URI, 5, close_timeout_s=5)
        except Killed:
            assert at < 2
        else:
            assert at == 2
    monkeypatch.setattr(BucketFileSystem, "before_put", staticmethod(lambda: None))
    go_on(run, 10, "first")
    put(run, 10)
    assert contents(RunFolder(fetch(ObjectStore(URI), tmp_path / "again" / "one"))) == contents(run)


def test_what_a_machine_has_already_is_not_fetched_again_and_what_is_not_the_runs_goes(tmp_path: Path) -> None:
    here = new_run(tmp_path / "here")
    go_on(here, 5, "first")
    put(here, 5)
    there = RunFolder.open(fetch_to(tmp_path / "there"))
    weights = there.path / "checkpoints" / "step-000005" / "engine" / "rank0.pt"
    assert weights.exists()
    go_on(there, 10, "lost when its machine died")
    go_on(here, 10, "first")
    put(here, 10)
    fetch_to(tmp_path / "there")
    assert contents(there) == contents(here)
    assert not weights.exists()  # as in the store: one checkpoint, and the best
    here.event("something", 10)
    put(here, 10)
    before = (there.path / "checkpoints" / "step-000010" / "engine" / "rank0.pt").stat().st_ino
    fetch_to(tmp_path / "there")
    assert (there.path / "checkpoints" / "step-000010" / "engine" / "rank0.pt").stat().st_ino == before
    assert [record["event"] for record in there.lines("events.jsonl")] == ["something"]  # a book, under the key it always had


def test_an_index_leads_nowhere_else(tmp_path: Path) -> None:
    here = new_run(tmp_path / "here")
    go_on(here, 5, "first")
    put(here, 5)
    good = (ObjectStore(URI).read(INDEX) or b"").decode()
    stray = ('"checkpoints/last.json": {', '"../last.json": {'), ('"folder": "step-000005"', '"folder": "../../step"')
    for before, after in (*stray, ('"config.toml": {', '"/etc/config.toml": {'), ('"config.toml": {', '"../../config.toml": {')):
        assert before in good
        ObjectStore(URI).write(INDEX, good.replace(before, after).encode())
        with pytest.raises(StoreError, match="leads out of"):
            fetch_to(tmp_path / "there")
    for content in ("[", "[]", "{}", good.replace('"size": ', '"sise": '), good.replace('"config.toml"', '"another.toml"')):
        ObjectStore(URI).write(INDEX, content.encode())
        with pytest.raises(StoreError, match=f"{INDEX}: "):
            fetch_to(tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("scheme", ["bucket://b/runs", "file://{folder}/shared"])
def test_a_run_is_resumed_and_looked_at_by_its_uri(tmp_path: Path, capsys: pytest.CaptureFixture[str], scheme: str) -> None:
    place = scheme.format(folder=tmp_path)
    path = write_run(tmp_path / "here", name="one")
    for checkpoint in (path / "checkpoints").glob("step-*"):
        (checkpoint / "enhancer" / "config.json").write_text("{}")
    with mirrored(RunFolder(path), RunSettings(store=place)):
        pass
    uri = f"{place}/one"
    assert status.main([uri]) == 0
    assert "30 of 60 steps, checkpoint at 30" in capsys.readouterr().out
    assert ledger.main([uri, "--check"]) == 0
    assert "issued 240 = trained 239 + dropped 1 + in flight 0" in capsys.readouterr().out
    assert report.main([uri]) == 0
    assert capsys.readouterr().out.strip() == f"{uri}/report.html"
    assert len(ObjectStore(uri).read("report.html") or b"") > 10_000
    run, settings = RunFolder.resume(uri, [f"run.folder={tmp_path / 'there'}"])
    assert (run.path, settings.run.store) == (tmp_path / "there" / "one", place)
    assert run.last_checkpoint() == (30, run.path / "checkpoints" / "step-000030")


def test_steps_that_the_store_has_not_are_not_thrown_away(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    go_on(run, 5, "first")
    put(run, 5)
    go_on(run, 10, "first")
    with pytest.raises(ConfigError, match=rf"as of step 10, {URI} as of step 5. Go on from the folder \(--resume {run.path}\)"):
        RunFolder.resume(URI, [])
    put(run, 10)
    assert RunFolder.resume(URI, [])[0].last_checkpoint() == (10, run.path / "checkpoints" / "step-000010")


def test_a_fetch_that_broke_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = new_run(tmp_path / "here")
    for step in (5, 10):
        go_on(here, step, "first")
    put(here, 10)
    there = [f"run.folder={tmp_path / 'there'}"]
    RunFolder.resume(URI, there)
    go_on(here, 15, "first")
    put(here, 15)
    download = ObjectStore.download

    def fail(store: ObjectStore, key: str, *more: Any) -> None:
        if "step-000015" in key:
            raise StoreError("the network is down")
        download(store, key, *more)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "download", fail)
        with pytest.raises(StoreError, match="the network is down"):
            RunFolder.resume(URI, there)
    assert contents(RunFolder.resume(URI, there)[0]) == contents(here)


def test_where_no_run_is_and_what_is_no_uri_are_said_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no run there \(no index.json\)"), run_at("bucket://b/nowhere"):
        pass
    with pytest.raises(StoreError, match="give a URI such as"):
        ObjectStore("nonsense://b/x")
    with pytest.raises(ValidationError, match=r"name the object store in run\.store"):
        RunSettings(folder=Path("s3://b/runs"))
    with pytest.raises(ValidationError, match=r"a path belongs into run\.folder"):
        RunSettings(store="/shared/runs")
