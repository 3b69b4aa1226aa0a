"""Whether the pools of a preset find places on a cluster's kinds of nodes."""

from collections.abc import Mapping

from pipelines.command import load_settings


def check_fit(preset: str, kinds: Mapping[str, tuple[Mapping[str, float], int]]) -> None:
    """kinds: for each kind of worker, what one node of it offers and how many there may be. Fails naming the pool without places."""
    settings = load_settings(preset)
    pools = [("rollout", settings.rollout, settings.rollout.actors), ("learner_pool", settings.learner_pool, settings.learner_pool.ranks)]
    pools += [(judge.name, judge, judge.max_replicas) for judge in settings.panel.judges if judge.resources]
    for pool_name, pool, size in pools:
        need = {**pool.resources, "CPU": pool.num_cpus, "GPU": pool.num_gpus}
        places = sum(
            most * int(min(offer.get(resource, 0) / amount for resource, amount in need.items() if amount))
            for offer, most in kinds.values()
        )
        assert places >= size, f"{pool_name}: {need} has {places} places on this cluster, and asks for {size}"
