"""The panel's door: who comes in, what is read of a request, and what is said. With a real panel, and once on a real Serve."""

import asyncio
import io
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from starlette.requests import Request

from actors.ingress import Door, IngressConfig, is_loopback
from auricle.bearer import TOKEN_VARIABLE, Bearer
from auricle.judging.local import LocalBench
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.sitting import Sitting
from auricle.uploads import UploadLimits

TOKEN = "fedcba9876543210" * 2
KEY = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "audio/wav"}
ODD = "tests.judging.odd_judges:LevelJudge"
PANEL = PanelConfig(judges=(JudgeConfig(name="level", kind=ODD, num_cpus=0.05, options={"sleep_s": 5.0}, deadline_s=10.0),), num_cpus=0.05)
LIMITS = UploadLimits(max_mib=0.25, max_s=5.0)


def wav() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.random.default_rng(0).standard_normal(8_000), 16_000, format="WAV")
    return buffer.getvalue()


WAV = wav()


def asked(config: IngressConfig, story: Callable[[httpx.AsyncClient], Any], *, peer: str = "192.0.2.7") -> Any:
    """What `story` finds out as a client of a door with a real panel behind it."""
    bench = LocalBench(config.panel.judges[0])
    door = Door(config, Sitting(config.panel, {"level": bench}).judge, Bearer(TOKEN, source="test") if config.bearer else None)

    async def application(scope: dict, receive: Any, send: Any) -> None:
        response = await door.answer(Request(scope, receive, send))
        await response(scope, receive, send)

    async def told() -> Any:
        transport = httpx.ASGITransport(app=application, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await story(client)

    try:
        return asyncio.run(told())
    finally:
        bench.close()


def post(config: IngressConfig, *, peer: str = "192.0.2.7", url: str = "/judge", **how: Any) -> httpx.Response:
    return asked(config, lambda client: client.post(url, **how), peer=peer)


CLOSED = IngressConfig(panel=PANEL, limits=LIMITS)
OPEN = IngressConfig(panel=PANEL, limits=LIMITS, bearer=False)


def test_a_sound_with_the_token_gets_verdicts() -> None:
    response = post(CLOSED, url="/judge?clip_id=one", content=WAV, headers=KEY)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["clip_id"], answer["samples"], answer["verdicts"]["level"]["state"]) == ("one", 8_000, "scored")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}])
def test_nobody_comes_in_without_it_and_nothing_is_read_before(header: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def sound() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    response = post(CLOSED, content=sound(), headers={"Content-Type": "audio/wav", **header})
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in response.text + caplog.text


def test_without_a_token_it_answers_this_machine_alone() -> None:
    kind = {"Content-Type": "audio/wav"}
    assert post(OPEN, peer="127.0.0.1", content=WAV, headers=kind).status_code == 200
    assert post(OPEN, peer="192.0.2.7", content=WAV, headers=kind).status_code == 403
    # A page elsewhere whose name was given this machine's address.
    assert post(OPEN, peer="127.0.0.1", content=WAV, headers={**kind, "Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("how", "status", "says"),
    [
        ({"headers": {**KEY, "Content-Type": "text/plain"}}, 415, "Content-Type"),
        ({"headers": {**KEY, "Content-Type": "multipart/form-data"}}, 415, "Content-Type"),
        ({"content": b"x" * (1 << 20)}, 413, "0.25 MiB"),
        ({"headers": {**KEY, "Content-Length": "-5"}}, 411, "Content-Length"),
        ({"headers": {**KEY, "Content-Length": "9" * 30}}, 411, "Content-Length"),
        ({"content": b""}, 422, "empty"),
        ({"content": b"not a sound"}, 422, "no wav"),
        ({"content": WAV[:1000]}, 422, "cut short"),
        ({"url": "/judge?clip_id=../../etc/passwd"}, 422, "plain name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_requests_are_told_what_is_wrong(how: dict[str, Any], status: int, says: str) -> None:
    response = post(CLOSED, **({"content": WAV, "headers": KEY} | how))
    assert response.status_code == status
    assert says in response.json()["error"]


def test_a_body_without_a_length_is_cut_off_at_the_limit() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield bytes(1 << 16)
        pytest.fail("it was read to the end")

    assert post(CLOSED, content=endless(), headers=KEY).status_code == 413


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield WAV[:100]
        await asyncio.sleep(60)
        yield WAV[100:]

    hasty = CLOSED.model_copy(update={"read_timeout_s": 0.2})
    assert post(hasty, content=slow(), headers=KEY).status_code == 408


def test_verdicts_that_never_come_are_not_waited_for() -> None:
    hasty = CLOSED.model_copy(update={"answer_timeout_s": 0.2})
    assert post(hasty, url="/judge?clip_id=slow", content=WAV, headers=KEY).status_code == 504


def test_other_methods_are_refused() -> None:
    assert asked(CLOSED, lambda client: client.get("/judge", headers=KEY)).status_code == 405


def test_a_failed_verdict_tells_its_reason_and_nothing_of_this_machine() -> None:
    verdict = post(CLOSED, url="/judge?clip_id=raise", content=WAV, headers=KEY).json()["verdicts"]["level"]
    assert (verdict["state"], verdict["reason"]) == ("failed", "error")
    assert "detail" not in verdict


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("", False)],
)
def test_loopback_is_told_from_everywhere(host: str, own: bool) -> None:
    assert is_loopback(host) == own


@pytest.mark.slow
def test_on_a_real_serve(ray_local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    from actors.ingress import build_ingress

    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    token_path = tmp_path / "token"
    token_path.write_text(TOKEN)
    token_path.chmod(0o600)
    serve.shutdown()  # whoever started it before may have done so without HTTP
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    try:
        serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=HTTPOptions(host="127.0.0.1", port=port, request_timeout_s=120))
        arguments = {"panel": PANEL.model_dump(mode="json"), "token_path": str(token_path), "limits": LIMITS.model_dump()}
        serve.run(build_ingress(arguments), name="judge", route_prefix="/judge")
        url = f"http://127.0.0.1:{port}/judge"
        assert httpx.post(url, content=WAV, headers={"Content-Type": "audio/wav"}, timeout=120).status_code == 401
        response = httpx.post(f"{url}?clip_id=served", content=WAV, headers=KEY, timeout=120)
        assert response.status_code == 200
        assert response.json()["verdicts"]["level"]["rationale"] == "served sounds odd"
        wrong = {**KEY, "Authorization": f"Bearer {TOKEN[::-1]}"}
        assert httpx.post(url, content=WAV, headers=wrong, timeout=120).status_code == 401
        assert httpx.post(url, content=b"RIFF", headers=KEY, timeout=120).status_code == 422
        logs = Path(ray_local._private.worker._global_node.get_logs_dir_path())
        assert any("/judge" in path.read_text(errors="replace") for path in logs.rglob("replica_judge_Ingress*"))  # its access log
        assert not [path for path in logs.rglob("*") if path.is_file() and shows(path)]
        assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if shows(path)]  # what `ps` shows
    finally:
        serve.shutdown()


def shows(path: Path) -> bool:
    """Whether a token, the right one or a wrong one, can be read there."""
    with suppress(OSError):
        return any(token.encode() in path.read_bytes() for token in (TOKEN, TOKEN[::-1]))
    return False
