"""GET /: what this server is, and its endpoints."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

import sidecar
from sidecar.models.reconciler import Reconciler
from sidecar.models.registry import ModelRegistry
from sidecar.routes.speech_models import speech_models, usable
from sidecar.schemas.core import Root, TtsSupport
from sidecar.settings import Settings
from sidecar.web.page import page
from sidecar.web.route import Route, now

MESSAGE = "PyTorch Inference Framework API - Enhanced with TTS Support"
ENDPOINTS = {
    "inference": {"predict": "/predict"},
    "audio": {
        "synthesize": "/synthesize",
        "transcribe": "/transcribe",
        "models": "/audio/models",
        "validate": "/audio/validate",
        "health": "/audio/health",
        "tts_health": "/tts/health",
    },
    "openai": {
        "models": "/v1/models",
        "embeddings": "/v1/embeddings",
        "rerank": "/v1/rerank",
        "chat": "/v1/chat/completions",
        "completions": "/v1/completions",
        "speech": "/v1/audio/speech",
        "voices": "/v1/audio/voices",
        "transcriptions": "/v1/audio/transcriptions",
        "translations": "/v1/audio/translations",
    },
    "open_inference": {
        "server": "/v2",
        "live": "/v2/health/live",
        "ready": "/v2/health/ready",
        "index": "/v2/repository/index",
    },
    "models": {
        "list": "/models",
        "download": "/models/download",
        "downloads": "/models/downloads",
        "available": "/models/available",
        "managed": "/models/managed",
        "cache": "/models/cache/info",
    },
    "autoscaler": {
        "stats": "/autoscaler/stats",
        "health": "/autoscaler/health",
        "history": "/autoscaler/history",
        "config": "/autoscaler/config",
        "scale": "/autoscaler/scale",
    },
    "system": {
        "health": "/health",
        "live": "/livez",
        "ready": "/readyz",
        "info": "/info",
        "stats": "/stats",
        "config": "/config",
        "metrics": "/metrics",
        "logs": "/logs",
    },
    "documents": {"swagger_ui": "/docs", "openapi": "/openapi.json"},
}


@dataclass(frozen=True, slots=True)
class RootParts:
    """The parts that the front page describes."""

    settings: Settings
    models: ModelRegistry
    reconciler: Reconciler
    draining: asyncio.Event


PARTS = web.AppKey("root", RootParts)


@page(PARTS)
async def root(parts: RootParts) -> Root:
    """Return the front page."""
    return Root(
        MESSAGE,
        sidecar.__version__,
        status_of(parts),
        now(),
        parts.settings.environment,
        _tts_support(parts.models),
        ENDPOINTS,
    )


def _tts_support(models: ModelRegistry) -> TtsSupport:
    """Return which models can speak, now or once woken, and what they can do."""
    speaking = usable(speech_models(models, "speech_synthesis"))
    features = ["Voice synthesis", "Multiple audio formats"] if speaking else []
    if any((model.device or "").startswith("cuda") for model in speaking):
        features.insert(0, "GPU acceleration")
    names = [model.spec.model_id or model.key for model in speaking]
    return TtsSupport(enabled=bool(speaking), supported_models=names, features=features)


def status_of(parts: RootParts) -> Literal["starting", "running", "degraded", "draining"]:
    """Return the program's state in one word."""
    if parts.draining.is_set():
        return "draining"
    if parts.reconciler.settled:
        return "running"
    return "degraded" if parts.reconciler.was_settled else "starting"


ROUTES = [
    Route("GET", "/", root, "What this server is, and its endpoints", response=Root, page=True)
]
