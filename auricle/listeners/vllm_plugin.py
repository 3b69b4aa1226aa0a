"""The listener in vLLM: the same checkpoint folder, the same tower module, vLLM's own Llama. Named as a `vllm.general_plugins` entry point.

vLLM calls `register` in every process of an engine, before it looks at the model.
"""


def register() -> None:
    """Makes transformers and vLLM know the listener. Safe to call any number of times; imports no model code."""
    from vllm import ModelRegistry

    from auricle.listeners.registration import ARCHITECTURE
    from auricle.listeners.registration import register as register_transformers

    register_transformers()
    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, f"auricle.listeners.vllm_model:{ARCHITECTURE}")
