"""The panel's door for HTTP: one sound in, every judge's verdict out. It exists only where a Serve config asks for it.

Invariants:
- Nobody comes in without the bearer token; where the configuration says `bearer: false`, nobody from beyond this machine comes in.
- Nothing of a request is read here before that is clear; no more than `limits` allow is read, decoded or waited for. (Serve's proxy, in
  front, takes in whatever is sent: docs/security.md.)
- Answers say what was wrong with a request, and nothing of the token, of paths or of this machine.

    POST --> peer, Host, token --> media type, size --> body within max_mib and read_timeout_s --> decode_upload --> panel --> JSON
              401, 403              415, 413, 411        413, 408                                    422              200, 503, 504

    curl -H @<(echo "Authorization: Bearer $(cat FILE)") -H "Content-Type: audio/wav" --data-binary @clip.wav \\
        http://127.0.0.1:8000/judge?clip_id=clip    # the shell's own echo: the token stands in no command line that `ps` shows
"""

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import PositiveFloat, PositiveInt
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from actors.panel import build_panel
from auricle.bearer import Bearer, read_bearer
from auricle.config import Config, build
from auricle.errors import MediaError
from auricle.judging.panel import PanelConfig
from auricle.uploads import UploadLimits, decode_upload, plain_name

MEDIA_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/flac", "audio/x-flac", "audio/ogg", "application/octet-stream"})
"""None of them may be sent across sites by a browser without asking first, as forms' types may."""

Ask = Callable[[Sequence[Mapping[str, Any]]], Awaitable[list[dict[str, dict[str, Any]]]]]


class IngressConfig(Config):
    """A panel behind HTTP."""

    panel: PanelConfig = PanelConfig()
    """The judges."""
    bearer: bool = True
    """Whether callers need the token. False is for this machine alone: then callers from elsewhere are refused."""
    token_path: Path | None = Path("~/.auricle/token")
    """File with the token; $AURICLE_TOKEN goes first. The token itself never stands in a configuration."""
    limits: UploadLimits = UploadLimits()
    """The largest sound that comes in."""
    read_timeout_s: PositiveFloat = 30.0
    """Time in which a request's body has to be here, in seconds."""
    answer_timeout_s: PositiveFloat = 300.0
    """Time for the verdicts, in seconds."""
    at_once: PositiveInt = 16
    """Requests worked on at a time, by one process; as many again wait, and more are told to come again (503)."""


_log = logging.getLogger(__name__)


class Refusal(Exception):
    """A request that gets no verdicts: the status of the answer, and what is said."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Door:
    """What becomes of one request; `ask` is any panel. Knows nothing of Serve."""

    def __init__(self, config: IngressConfig, ask: Ask, bearer: Bearer | None) -> None:
        self._config, self._ask, self._bearer = config, ask, bearer

    async def answer(self, request: Request) -> Response:
        """Verdicts, or why there are none."""
        try:
            self._let_in(request)
            clip_id, data = self._clip_id(request), await self._body(request)
            audio, rate_hz = await asyncio.to_thread(decode_upload, data, self._config.limits)
            verdicts = await self._verdicts({"clip_id": clip_id, "audio": audio, "sample_rate_hz": rate_hz, "reference": None})
        except Refusal as refusal:
            headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {"Allow": "POST"} if refusal.status == 405 else None
            return JSONResponse({"error": refusal.detail}, refusal.status, headers)
        except MediaError as error:
            return JSONResponse({"error": str(error), "fault": error.fault}, 422)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:  # noqa: BLE001 - the named boundary between requests and this server: what is wrong inside is for our log
            _log.exception("a request failed")
            return JSONResponse({"error": "something went wrong here; the server's log has it"}, 500)
        return JSONResponse({"clip_id": clip_id, "sample_rate_hz": rate_hz, "samples": len(audio), "verdicts": verdicts})

    def _let_in(self, request: Request) -> None:
        if self._bearer is not None:
            if not self._bearer.allows(request.headers.get("authorization")):
                raise Refusal(401, "a bearer token is needed: Authorization: Bearer TOKEN")
        elif not (request.client and is_loopback(request.client.host) and is_loopback(request.url.hostname or "")):
            # The Host too: a page elsewhere can give its own name this machine's address, and lead a browser here.
            raise Refusal(403, "this server answers its own machine alone; others need a token (bearer: true)")
        if request.method != "POST":
            raise Refusal(405, "POST a sound")

    def _clip_id(self, request: Request) -> str:
        return plain_name(request.query_params.get("clip_id", "clip"), what="clip_id")

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in MEDIA_TYPES:
            raise Refusal(415, f"Content-Type is {kind[:80]!r}; expected one of {', '.join(sorted(MEDIA_TYPES))}")
        too_large = Refusal(413, f"at most {self._config.limits.max_mib:g} MiB come in")
        promised = request.headers.get("content-length", "0")
        if not promised.isdecimal() or len(promised) > 18:
            raise Refusal(411, "Content-Length is no number")
        if int(promised) > self._config.limits.max_bytes:
            raise too_large
        blocks, size = [], 0
        try:
            async with asyncio.timeout(self._config.read_timeout_s):
                async for block in request.stream():
                    size += len(block)
                    if size > self._config.limits.max_bytes:
                        raise too_large
                    blocks.append(block)
        except TimeoutError:
            raise Refusal(408, f"the sound was not here within {self._config.read_timeout_s:g} s") from None
        return b"".join(blocks)

    async def _verdicts(self, clip: dict[str, Any]) -> dict[str, dict[str, Any]]:
        try:
            async with asyncio.timeout(self._config.answer_timeout_s):
                answer = (await self._ask([clip]))[0]
        except TimeoutError:
            raise Refusal(504, f"no verdicts within {self._config.answer_timeout_s:g} s; the judges are busy, come again later") from None
        # The detail of a failure may name files and packages of this machine.
        return {judge: {key: value for key, value in verdict.items() if key != "detail"} for judge, verdict in answer.items()}


def is_loopback(host: str) -> bool:
    """Whether an address, or the name `localhost`, is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@serve.deployment(name="Ingress", health_check_period_s=5, health_check_timeout_s=30, graceful_shutdown_timeout_s=5)
class Ingress:
    """`Door` on Serve. Raises ConfigError at its start where a token is needed and there is none."""

    def __init__(self, config: dict[str, Any], panel: DeploymentHandle) -> None:
        settings = IngressConfig.model_validate(config)
        self._panel = panel
        self._door = Door(settings, self._ask, read_bearer(settings.token_path) if settings.bearer else None)

    async def _ask(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, dict[str, Any]]]:
        try:
            return await self._panel.judge.remote(requests)
        except (RayError, RayServeException) as error:
            _log.warning("the panel does not answer: %s", type(error).__name__)
            raise Refusal(503, "the judges cannot be reached at the moment; come again later") from error

    async def __call__(self, request: Request) -> Response:
        return await self._door.answer(request)


def build_ingress(args: dict[str, Any]) -> serve.Application:
    """The Serve application: what `import_path: actors.ingress:build_ingress` in a Serve config names. Raises ConfigError."""
    config = build(IngressConfig, args, source="args of actors.ingress:build_ingress")
    ingress = Ingress.options(  # type: ignore[attr-defined]
        num_replicas=1, ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=config.at_once, max_queued_requests=config.at_once
    )
    return ingress.bind(config.model_dump(mode="json"), build_panel(config.panel))
