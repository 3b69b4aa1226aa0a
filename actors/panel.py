"""The panel on Ray Serve: an ingress that sits judges (auricle.judging.sitting), and how to start and stop it.

    RewardClient / GuardMeter / evaluate / judge --handle--> Panel --handles--> listener, sentiment, dnsmos... (actors.judges)

The main path is the handle: `serve.get_app_handle(app).judge.remote(requests)`. An HTTP route exists only where a Serve config asks for it.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from actors.judge_pool import shared_deployment
from actors.judges import ServeBench, SharedBench, judge_deployment, own_app
from actors.panel_pools import PanelPools
from actors.pulse import own_pulse
from auricle.errors import ConfigError, JudgeError
from auricle.judging.panel import PanelConfig
from auricle.judging.placement import check_judges
from auricle.judging.same_panel import differences
from auricle.judging.sitting import Sitting
from auricle.pulse import during
from auricle.usage import Usage

PANEL_APP = "panel"
POLL_S = 0.2
JOIN_TIMEOUT_S = 60.0


@serve.deployment(name="Panel", health_check_period_s=5, health_check_timeout_s=30, graceful_shutdown_timeout_s=5)
class Panel:
    """The ingress: holds no model, only handles and the cache of verdicts."""

    def __init__(self, config: dict[str, Any], judges: dict[str, DeploymentHandle]) -> None:
        self._config = PanelConfig.model_validate(config)
        own_pulse("panel", app=own_app())
        self._pools = PanelPools(self._config, own_app())
        self._pools.follow()
        queues = self._pools.queues
        self._benches = {
            judge.name: SharedBench(judges[judge.name], queues[judge.shared], judge.name)
            if judge.shared
            else ServeBench(judges[judge.name], queues[judge.name])
            for judge in self._config.judges
        }
        self._sitting = Sitting(self._config, self._benches)

    async def judge(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, dict[str, Any]]]:
        """One answer a request, in their order; see docs/design.md for both."""
        self._pools.follow()
        with during(f"{len(requests)} clips before the judges"):
            return await self._sitting.judge(requests)

    async def usage(self) -> list[Usage]:
        """What the judges' processes use and do, as each said with its last answer (actors.reward_client asks now and then)."""
        return [usage for name, bench in self._benches.items() for usage in bench.usages(name)]

    async def config(self) -> dict[str, Any]:
        """What this panel was built from."""
        return self._config.model_dump(mode="json")

    async def pools(self) -> dict[str, Any]:
        """Every pool's processes, queue age and depth, and what was scaled and why (`PanelPools.seen`)."""
        return self._pools.seen()


def build_panel(config: PanelConfig) -> serve.Application:
    """The Serve application of a panel: what `import_path: actors.panel:build_panel` in a Serve config names, with the panel as its `args`.

    Raises ConfigError where a judge or one of its options is unknown.
    """
    check_judges(config)
    shared = {pool.name: shared_deployment(pool, [judge for judge in config.judges if judge.shared == pool.name]) for pool in config.shared}
    judges = {judge.name: shared[judge.shared] if judge.shared else judge_deployment(judge) for judge in config.judges}
    panel = Panel.options(  # type: ignore[attr-defined]
        ray_actor_options={"num_cpus": config.num_cpus}, max_ongoing_requests=config.max_ongoing_requests, num_replicas=1
    )
    return panel.bind(config.model_dump(mode="json"), judges)


def start_panel(config: PanelConfig, *, app_name: str = PANEL_APP) -> DeploymentHandle:
    """Start the panel on the Ray cluster this process is connected to, and wait until every judge is ready. Raises JudgeError, ConfigError.

    There is no HTTP route; `serve` itself is started without a proxy where it does not run yet.
    """
    application = build_panel(config)
    serve.start(proxy_location=ProxyLocation.Disabled, http_options=HTTPOptions(host="127.0.0.1"))
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.run_many([serve.RunTarget(application, name=app_name, route_prefix=None)], wait_for_applications_running=False)
    deadline = time.monotonic() + config.start_timeout_s
    while (state := _state(app_name)) != ApplicationStatus.RUNNING:
        late = time.monotonic() > deadline
        if late or state in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            why = _why(app_name)
            serve.delete(app_name)
            raise JudgeError(f"the panel {app_name!r} did not start{f' within {config.start_timeout_s:g} s' if late else ''}: {why}")
        time.sleep(POLL_S)
    return serve.get_app_handle(app_name)


def join_panel(config: PanelConfig, *, app_name: str, timeout_s: float = JOIN_TIMEOUT_S) -> DeploymentHandle:
    """A panel that somebody else started and goes on running. Raises ConfigError where it is not up, or is another panel than `config`."""
    state = _state(app_name)
    if state != ApplicationStatus.RUNNING:
        running = [name for name, application in serve.status().applications.items() if application.status == ApplicationStatus.RUNNING]
        raise ConfigError(
            f"panel.app = {app_name!r}: no such application of Serve is up on this cluster (it is {state.value}; running: "
            f"{', '.join(running) or 'none'}). Deploy it (serve deploy serve_configs/judges-cpu.yaml), or leave panel.app empty"
        )
    handle = serve.get_app_handle(app_name)
    try:
        theirs = PanelConfig.model_validate(handle.config.remote().result(timeout_s=timeout_s))
    except TimeoutError:
        raise JudgeError(f"panel.app = {app_name!r}: the panel did not answer within {timeout_s:g} s") from None
    except (RayError, RayServeException, ValidationError) as error:
        fault = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"panel.app = {app_name!r}: that application is no panel of this version of Auricle ({fault})") from error
    if faults := differences(config, theirs):
        raise ConfigError(
            f"panel.app = {app_name!r}: the panel that is up differs from this run's panel settings: {'; '.join(faults)}. Deploy one with "
            "this run's judges, or give the run these settings (--preset FILE, --set panel....)"
        )
    return handle


def stop_panel(*, app_name: str = PANEL_APP) -> None:
    """Take the panel down, where there is one; the cluster and other applications stay."""
    with suppress(RayServeException):  # of a cluster on which Serve was never started
        serve.delete(app_name)


def _state(app_name: str) -> ApplicationStatus:
    application = serve.status().applications.get(app_name)
    return application.status if application else ApplicationStatus.NOT_STARTED


def _why(app_name: str) -> str:
    application = serve.status().applications.get(app_name)
    messages = [deployment.message for deployment in application.deployments.values() if deployment.message] if application else []
    lines = [message.strip().splitlines()[-1] for message in messages]
    return " ".join(dict.fromkeys(lines)) or "no judge said why; are there enough logical CPUs and GPUs?"
