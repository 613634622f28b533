"""/autoscaler/…: reading is open, changes need the scope `admin`."""

import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from sidecar.background import BackgroundTasks
from sidecar.errors import InvalidFields
from sidecar.models.autoscaler import Autoscaler
from sidecar.models.history import History
from sidecar.models.model import Model
from sidecar.models.operator_changes import OperatorChanges
from sidecar.models.registry import ModelRegistry
from sidecar.models.room import MemoryRoom
from sidecar.schemas.autoscaler import (
    AutoscalerConfigAnswer,
    AutoscalerConfigChanged,
    AutoscalerConfigPatch,
    AutoscalerHealthReport,
    AutoscalerHistory,
    AutoscalerStats,
    AutoscalerSummary,
    ComponentHealth,
    Components,
    HistoryPeriod,
    HistoryQuery,
    LoaderHealth,
    ModelCounts,
    QueueMetrics,
    ResourceUsage,
    ScaleAnswer,
    ScaleRequest,
    ScaleStep,
    ScalingMetrics,
    Status,
    SystemChecks,
)
from sidecar.telemetry.statistics import Statistics
from sidecar.telemetry.system import SystemSampler
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.web.admission import ADMISSION
from sidecar.web.body import read_change, read_query
from sidecar.web.route import Route, json_response, now

RECENT = 10
Configuration = TypeVar("Configuration", bound=msgspec.Struct)
_scale = msgspec.json.Decoder(ScaleRequest)
_patch = msgspec.json.Decoder(AutoscalerConfigPatch)


@dataclass(frozen=True, slots=True)
class AutoscalerParts:
    """The parts that scale models, and what they go by."""

    autoscaler: Autoscaler
    models: ModelRegistry
    operator_changes: OperatorChanges
    history: History
    room: MemoryRoom
    engine: EngineWatch
    background: BackgroundTasks
    system: SystemSampler
    statistics: Statistics


PARTS = web.AppKey("autoscaler", AutoscalerParts)


async def autoscaler_stats(request: web.Request) -> web.Response:
    """Answer with the models, what waits for them, and what the autoscaler has done."""
    parts = request.app[PARTS]
    return json_response(
        AutoscalerStats(
            success=True,
            timestamp=now(),
            autoscaler=_summary(parts),
            models=_counts(parts),
            resource_usage=_usage(parts),
            scaling_metrics=_metrics(parts),
            queue_metrics=_queues(parts),
            thresholds=parts.autoscaler.config.thresholds,
        )
    )


async def autoscaler_health(request: web.Request) -> web.Response:
    """Answer with the state of the autoscaler's parts."""
    parts = request.app[PARTS]
    config = parts.autoscaler.config
    last = parts.history.last
    zero: Status = "healthy" if config.enabled and config.zero_scaling_enabled else "disabled"
    troubles = parts.models.troubles()
    return json_response(
        AutoscalerHealthReport(
            status=status_of(parts),
            timestamp=now(),
            components=Components(
                ComponentHealth(
                    "unhealthy" if parts.background.down else zero,
                    last.timestamp if last else None,
                ),
                LoaderHealth(
                    "degraded" if troubles else "healthy", parts.models.active_loads, troubles
                ),
            ),
            configuration=config,
            recent_activity=parts.history.since(24.0)[:RECENT],
            system_checks=SystemChecks(parts.engine.up, not parts.background.down),
        )
    )


def status_of(parts: AutoscalerParts) -> Status:
    """Return the state of the whole autoscaler."""
    if parts.background.down:
        return "unhealthy"
    if not parts.autoscaler.config.enabled:
        return "disabled"
    return "degraded" if parts.models.troubles() else "healthy"


async def scale(request: web.Request) -> web.Response:
    """Scale, load or unload models, and answer when that is done."""
    asked = await read_change(request[ADMISSION], _scale)
    parts = request.app[PARTS]
    models = [parts.models.require(name) for name in asked.models]
    if asked.target_replicas is not None and asked.action not in ("scale_up", "scale_down"):
        raise InvalidFields("applies to scale_up and scale_down only", field="target_replicas")
    changes = parts.operator_changes
    before = sum(len(model.workers) for model in models)
    steps = [await _step(changes, model, asked) for model in models]
    return json_response(
        ScaleAnswer(
            success=True,
            scaling_id=uuid.uuid4().hex,
            action=asked.action,
            previous_scale=before,
            target_scale=sum(step.workers_after for step in steps),
            affected_models=[model.key for model in models],
            status="failed" if any(step.state == "failed" for step in steps) else "completed",
            steps=steps,
        )
    )


async def _step(changes: OperatorChanges, model: Model, asked: ScaleRequest) -> ScaleStep:
    before, began = len(model.workers), time.monotonic()
    match asked.action:
        case "scale_up" | "scale_down" if asked.target_replicas is not None:
            await changes.scale(model, asked.target_replicas, asked.reason)
        case "scale_up":
            await changes.grow(model, asked.reason)
        case "scale_down":
            await changes.shrink(model, asked.reason)
        case "zero_scale":
            await changes.put_to_sleep(model, asked.reason)
        case "load_model":
            await changes.load(model, asked.reason)
        case "unload_model":
            await changes.unload(model, asked.reason)
    taken = time.monotonic() - began
    return ScaleStep(model.key, before, len(model.workers), model.state.shown, round(taken, 3))


async def autoscaler_config(request: web.Request) -> web.Response:
    """Answer with the autoscaler's settings in force."""
    parts = request.app[PARTS]
    return json_response(AutoscalerConfigAnswer(True, now(), parts.autoscaler.config))


async def change_autoscaler_config(request: web.Request) -> web.Response:
    """Change the settings that the body names, at once and until the program ends."""
    patch = await read_change(request[ADMISSION], _patch)
    autoscaler = request.app[PARTS].autoscaler
    autoscaler.config, changed = _apply_patch(autoscaler.config, patch)
    return json_response(
        AutoscalerConfigChanged(
            success=True,
            updated_fields=changed,
            configuration=autoscaler.config,
            effective_timestamp=now(),
            restart_required=False,
        )
    )


def _apply_patch(now: Configuration, patch: msgspec.Struct) -> tuple[Configuration, list[str]]:
    """Return *now* changed by *patch*, and which fields differ, as ``cooldowns.quiet_seconds``.

    *patch* has the same fields, each UNSET or a value; those that are structs, patches again.
    Fields that only *patch* has are ignored.
    """
    changes: dict[str, Any] = {}
    names: list[str] = []
    for field in now.__struct_fields__:
        if field not in patch.__struct_fields__:
            continue
        value, known = getattr(patch, field), getattr(now, field)
        if value is msgspec.UNSET:
            continue
        if isinstance(value, msgspec.Struct):
            value, inner = _apply_patch(known, value)
            names += [f"{field}.{name}" for name in inner]
        elif value != known:
            names.append(field)
        changes[field] = value
    return msgspec.structs.replace(now, **changes), names


async def autoscaler_history(request: web.Request) -> web.Response:
    """Answer with the latest changes, newest first."""
    parts = request.app[PARTS]
    asked = read_query(request, HistoryQuery)
    kinds = [kind for kind in asked.event_types.split(",") if kind]
    events = parts.history.since(asked.hours, kinds)
    end = time.time()
    return json_response(
        AutoscalerHistory(
            success=True,
            period=HistoryPeriod(end - 3600 * asked.hours, end, asked.hours),
            summary=dict(Counter(event.type for event in events)),
            events=events[: asked.limit],
        )
    )


def _summary(parts: AutoscalerParts) -> AutoscalerSummary:
    models = parts.models.values()
    config = parts.autoscaler.config
    return AutoscalerSummary(
        enabled=config.enabled,
        status=status_of(parts),
        zero_scaling_enabled=config.zero_scaling_enabled,
        current_scale=sum(len(model.workers) for model in models),
        target_scale=sum(model.target_workers for model in models if model.in_memory),
        last_scale_event=parts.history.last,
    )


def _counts(parts: AutoscalerParts) -> ModelCounts:
    enabled = parts.models.enabled
    loaded = sum(model.loaded for model in enabled)
    always = [
        model.key for model in enabled if model.spec.pinned or model.spec.idle_seconds is None
    ]
    return ModelCounts(
        total=len(enabled),
        loaded=loaded,
        unloaded=len(enabled) - loaded,
        auto_managed_models=[model.key for model in enabled if model.key not in always],
        always_loaded_models=always,
    )


def _usage(parts: AutoscalerParts) -> ResourceUsage:
    figures, room = parts.system.figures, parts.room
    return ResourceUsage(
        cpu_percent=figures.cpu_percent,
        memory_percent=figures.memory_percent,
        models_memory_mb=None if (held := room.measured_mb()) is None else round(held, 1),
        memory_budget_mb=room.budget.memory_mb,
        gpu_memory_budget_mb=list(room.budget.gpu_memory_mb),
    )


def _metrics(parts: AutoscalerParts) -> ScalingMetrics:
    history = parts.history
    return ScalingMetrics(
        scale_up_events=history.counts["scale_up"],
        scale_down_events=history.counts["scale_down"],
        zero_scale_events=history.counts["scale_to_zero"],
        wake_events=history.counts["wake"],
        load_failures=history.counts["failure"],
        average_scale_up_time=history.mean_seconds("scale_up"),
        average_scale_down_time=history.mean_seconds("scale_down"),
        cold_start_time_seconds=history.mean_seconds("wake"),
    )


def _queues(parts: AutoscalerParts) -> QueueMetrics:
    models = parts.models.enabled
    return QueueMetrics(
        pending_requests=parts.statistics.active,
        queue_length=parts.models.queued,
        max_queue_length=sum(model.spec.inference.queue_size for model in models),
        longest_wait_ms=round(
            1000 * max((model.dispatcher.first_waits for model in models), default=0.0), 3
        ),
    )


ROUTES = [
    Route(
        "GET",
        "/autoscaler/stats",
        autoscaler_stats,
        "What the autoscaler has done",
        response=AutoscalerStats,
    ),
    Route(
        "GET",
        "/autoscaler/health",
        autoscaler_health,
        "The state of the autoscaler",
        response=AutoscalerHealthReport,
    ),
    Route(
        "GET",
        "/autoscaler/config",
        autoscaler_config,
        "The settings of the autoscaler",
        response=AutoscalerConfigAnswer,
    ),
    Route(
        "GET",
        "/autoscaler/history",
        autoscaler_history,
        "The latest changes of workers",
        response=AutoscalerHistory,
        query=HistoryQuery,
        statuses=(422,),
    ),
    Route(
        "POST",
        "/autoscaler/config",
        change_autoscaler_config,
        "Change the autoscaler",
        request=AutoscalerConfigPatch,
        example={"enabled": True, "zero_scaling_enabled": False},
        response=AutoscalerConfigChanged,
        statuses=(400, 401, 413, 422),
        credential="admin",
    ),
    Route(
        "POST",
        "/autoscaler/scale",
        scale,
        "Scale, load or unload models",
        request=ScaleRequest,
        response=ScaleAnswer,
        statuses=(400, 401, 404, 413, 422, 503),
        example={"action": "load_model", "models": ["example"]},
        credential="admin",
    ),
]
