"""Makes transformers' Auto classes know the listener, so that its checkpoint folders load by path."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForCausalLM, AutoProcessor

from auricle.listeners.configuration import AuricleListenerConfig
from auricle.listeners.features import AuricleFeatureExtractor
from auricle.listeners.modeling import AuricleListenerForConditionalGeneration
from auricle.listeners.processing import AuricleListenerProcessor

ARCHITECTURE = "AuricleListenerForConditionalGeneration"


def register() -> None:
    """Safe to call any number of times."""
    AutoConfig.register(AuricleListenerConfig.model_type, AuricleListenerConfig, exist_ok=True)
    AutoFeatureExtractor.register(AuricleListenerConfig, AuricleFeatureExtractor, exist_ok=True)
    AutoProcessor.register(AuricleListenerConfig, AuricleListenerProcessor, exist_ok=True)
    AutoModelForCausalLM.register(AuricleListenerConfig, AuricleListenerForConditionalGeneration, exist_ok=True)
