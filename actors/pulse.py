"""An actor's pulse (auricle.pulse), marked as its run's."""

from auricle.pulse import start_pulse


def own_pulse(who: str, *, app: str = "") -> None:
    """Give an actor's process its pulse; nothing elsewhere. app: its Serve application, whose processes may be another job's."""
    import ray  # the coordinator's module, which imports this one, is also read by verbs that need no Ray

    if ray.is_initialized() and (context := ray.get_runtime_context()).get_actor_id():
        start_pulse(who, {"session": context.get_session_name(), "job": context.get_job_id(), "app": app})
