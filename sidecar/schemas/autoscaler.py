"""GET and POST /autoscaler/…: what the autoscaler does, has done, and may do."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.schemas.model_spec import Count, Name

Status = Literal["healthy", "degraded", "unhealthy", "disabled"]
Action = Literal["scale_up", "scale_down", "zero_scale", "load_model", "unload_model"]
EventType = Literal["scale_up", "scale_down", "scale_to_zero", "wake", "load", "unload", "failure"]
Seconds = Annotated[float, Meta(ge=0)]


class ScalingEvent(msgspec.Struct, frozen=True):
    """One change of a model's workers.  *timestamp*: epoch seconds; *seconds*: how long it took."""

    timestamp: float
    type: EventType
    model: str
    workers_before: int
    workers_after: int
    seconds: float
    reason: str


class AutoscalerSummary(msgspec.Struct):
    """*current_scale* counts READY workers, *target_scale* those that are to be."""

    enabled: bool
    status: Status
    zero_scaling_enabled: bool
    current_scale: int
    target_scale: int
    last_scale_event: ScalingEvent | None


class ModelCounts(msgspec.Struct):
    """Models by what the autoscaler does with them."""

    total: int
    loaded: int
    unloaded: int
    auto_managed_models: list[str]
    always_loaded_models: list[str]


class ScalingMetrics(msgspec.Struct):
    """Since start.  Times in seconds; null before the first."""

    scale_up_events: int
    scale_down_events: int
    zero_scale_events: int
    wake_events: int
    load_failures: int
    average_scale_up_time: float | None
    average_scale_down_time: float | None
    cold_start_time_seconds: float | None


class QueueMetrics(msgspec.Struct):
    """All models together."""

    pending_requests: int
    queue_length: int
    max_queue_length: int
    longest_wait_ms: float


class ResourceUsage(msgspec.Struct):
    """The machine, and the models in memory."""

    cpu_percent: float | None
    memory_percent: float
    models_memory_mb: float | None
    memory_budget_mb: float | None
    gpu_memory_budget_mb: list[float]  # of each GPU; empty: no limit, or no GPU


class AutoscalerStats(msgspec.Struct):
    """GET /autoscaler/stats"""

    success: bool
    timestamp: str
    autoscaler: AutoscalerSummary
    models: ModelCounts
    resource_usage: ResourceUsage
    scaling_metrics: ScalingMetrics
    queue_metrics: QueueMetrics
    thresholds: "Thresholds"


class ComponentHealth(msgspec.Struct):
    """One part: its *status*, and what it has done last."""

    status: Status
    last_activity: float | None


class LoaderHealth(msgspec.Struct):
    """*failing_models*: why, by key."""

    status: Status
    active_loads: int
    failing_models: dict[str, str]


class Components(msgspec.Struct):
    """The parts of the autoscaler."""

    zero_scaler: ComponentHealth
    model_loader: LoaderHealth


class SystemChecks(msgspec.Struct):
    """What scaling needs."""

    inference_engine: bool
    background_tasks: bool


class AutoscalerHealthReport(msgspec.Struct):
    """GET /autoscaler/health"""

    status: Status
    timestamp: str
    components: Components
    configuration: "AutoscalerConfigBody"
    recent_activity: list[ScalingEvent]
    system_checks: SystemChecks


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a worker is added: the first waits so long, or so many jobs wait for each worker."""

    queue_wait_seconds: Seconds = 0.5
    queue_jobs_per_worker: Annotated[float, Meta(gt=0)] = 4.0


class Cooldowns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between two changes; and how long fewer must have done before a worker goes."""

    scale_up_seconds: Seconds = 5.0
    scale_down_seconds: Seconds = 30.0
    quiet_seconds: Seconds = 60.0


class AutoscalerConfigBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be changed while the program runs; limits of one model are in models.json."""

    enabled: bool = True
    zero_scaling_enabled: bool = True
    scaling_strategy: Literal["reactive"] = "reactive"
    thresholds: Thresholds = Thresholds()
    cooldowns: Cooldowns = Cooldowns()


class ThresholdsPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some of the thresholds."""

    queue_wait_seconds: Seconds | UnsetType = UNSET
    queue_jobs_per_worker: Annotated[float, Meta(gt=0)] | UnsetType = UNSET


class CooldownsPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some of the cool-downs."""

    scale_up_seconds: Seconds | UnsetType = UNSET
    scale_down_seconds: Seconds | UnsetType = UNSET
    quiet_seconds: Seconds | UnsetType = UNSET


class AutoscalerConfigPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /autoscaler/config: fields that are left out stay as they are."""

    enabled: bool | UnsetType = UNSET
    zero_scaling_enabled: bool | UnsetType = UNSET
    scaling_strategy: Literal["reactive"] | UnsetType = UNSET
    thresholds: ThresholdsPatch | UnsetType = UNSET
    cooldowns: CooldownsPatch | UnsetType = UNSET
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None


class AutoscalerConfigAnswer(msgspec.Struct):
    """GET /autoscaler/config"""

    success: bool
    timestamp: str
    configuration: AutoscalerConfigBody


class AutoscalerConfigChanged(msgspec.Struct):
    """POST /autoscaler/config"""

    success: bool
    updated_fields: list[str]
    configuration: AutoscalerConfigBody
    effective_timestamp: str
    restart_required: bool


class ScaleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /autoscaler/scale.  *target_replicas* is for scale_up and scale_down."""

    action: Action
    models: Annotated[list[Name], Meta(min_length=1, max_length=64)]
    target_replicas: Annotated[int, Meta(ge=1, le=64)] | None = None
    reason: Annotated[str, Meta(max_length=200)] = "asked by an operator"
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None


class ScaleStep(msgspec.Struct):
    """One model's workers before and after, and the state it is in now."""

    model: str
    workers_before: int
    workers_after: int
    state: str
    seconds: float


class ScaleAnswer(msgspec.Struct):
    """The outcome: the change is complete when this is sent."""

    success: bool
    scaling_id: str
    action: Action
    previous_scale: int
    target_scale: int
    affected_models: list[str]
    status: Literal["completed", "failed"]
    steps: list[ScaleStep]


class HistoryPeriod(msgspec.Struct):
    """Epoch seconds."""

    start: float
    end: float
    hours: float


class AutoscalerHistory(msgspec.Struct):
    """GET /autoscaler/history: newest first; *summary* counts by type."""

    success: bool
    period: HistoryPeriod
    summary: dict[str, int]
    events: list[ScalingEvent]


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of GET /autoscaler/history; *event_types* are separated by commas."""

    hours: Annotated[float, Meta(gt=0, le=24 * 366)] = 24.0
    limit: Count = 100
    event_types: str = ""
