"""The budget that the settings give: None, where they give none."""

from sidecar.autoscaling.eviction import Budget
from sidecar.settings import Settings
from sidecar.telemetry.gpus import Gpus


def memory_budget(settings: Settings, gpus: Gpus) -> Budget:
    """Of a GPU nobody gets more than it has."""
    most = settings.gpu_memory_budget_mb
    return Budget(
        memory_mb=settings.memory_budget_mb,
        models=settings.max_loaded_models,
        gpu_memory_mb=[] if most is None else [min(most, size) for size in gpus.sizes_mb()],
    )
