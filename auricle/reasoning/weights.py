"""A listener's weights as a checkpoint names them, whatever adapters it is trained through."""

from typing import Any, Protocol

import numpy as np

from auricle.listeners.trainable import MODEL

BASE, ADAPTER = ".base_layer.", ".lora_"


class WeightSource(Protocol):
    """What `actors.engine.Engine` offers."""

    @property
    def unwrapped(self) -> Any: ...

    def weights(self) -> dict[str, np.ndarray]: ...


def whole_weights(engine: WeightSource) -> dict[str, np.ndarray]:
    """All weights by the checkpoint's names, adapters added to what they adapt. Collective."""
    found = {name.removeprefix(MODEL): value for name, value in engine.weights().items() if name.startswith(MODEL)}
    whole = {name.replace(BASE, "."): value for name, value in found.items() if ADAPTER not in name}
    for name, module in engine.unwrapped.named_modules():
        if hasattr(module, "lora_A") and hasattr(module, "scaling"):
            path = name.removeprefix(MODEL)
            down, up = (found[f"{path}.lora_{side}.default.weight"] for side in ("A", "B"))
            whole[f"{path}.weight"] = whole[f"{path}.weight"] + np.float32(module.scaling["default"]) * (up @ down)
    return whole
