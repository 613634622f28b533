"""The settings: one frozen value, read once.

Precedence: command line, then environment (`SIDECAR_<NAME>`), then the defaults below.
A value that cannot be right stops the start with a sentence that names the variable.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

ENVIRONMENT_PREFIX = "SIDECAR_"
MIN_SECRET_BYTES = 32

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Secret(str):
    """A string that does not show itself in logs, reprs and tracebacks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


class SettingsError(ValueError):
    """A setting is wrong; the message names the variable and the rule."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an operator can set.  Units are in the names."""

    environment: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: Port = 8000

    # Files and folders
    models_file: Path = Path("models.json")
    model_store: Path = Path("model_store")
    state_dir: Path = Path("var")
    log_dir: Path | None = None  # None: <state_dir>/logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_max_mb: Positive = 20.0
    log_backups: Annotated[int, Meta(ge=0)] = 5

    # TorchServe
    torchserve: Literal["managed", "external"] = "external"
    torchserve_config: Path = Path("config.properties")
    inference_url: str = "http://127.0.0.1:8080"
    management_url: str = "http://127.0.0.1:8081"
    metrics_url: str = "http://127.0.0.1:8082"
    torchserve_key_file: Path | None = Path("key_file.json")  # unused when managed
    poll_seconds: Positive = 2.0

    # Downloads
    hub_endpoint: str | None = None  # None: the public hub
    hub_token: Secret | None = None
    download_hosts: tuple[str, ...] = ()  # also by http, also with private addresses
    local_models_dir: Path | None = None  # None: source "local" is off
    auto_download: Literal["off", "tts", "catalog"] | None = None  # None: by environment
    auto_download_max_mb: Positive = 2048.0
    min_free_disk_mb: NotNegative = 1024.0
    max_downloads: Count = 2  # at once

    # Credentials
    jwt_secret: Secret | None = None
    jwt_public_key_file: Path | None = None
    jwt_jwks_url: str | None = None
    jwt_algorithm: Literal["HS256", "RS256", "ES256"] | None = None  # None: by what is set above
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    jwt_leeway_seconds: NotNegative = 10.0
    api_keys_file: Path | None = None  # None: <state_dir>/api_keys.json
    require_authentication: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()

    # Requests
    max_body_mb: Positive = 64.0
    max_timeout_seconds: Positive = 300.0
    max_inputs: Count = 1024
    max_queued_mb: Positive = 512.0
    max_job_mb: Positive = 4.0
    ageing_seconds: Positive = 2.0  # a wait of this long is worth one step of priority
    drain_seconds: NotNegative = 20.0

    # Speech
    default_tts_model: str = "hibari_tts"
    default_asr_model: str = "whisper_tiny_en"
    max_upload_mb: Positive = 200.0  # of an audio file in a multipart body
    max_audio_seconds: Positive = 7200.0
    audio_threads: Count = 2  # that encode and decode

    def __post_init__(self) -> None:
        secret = self.jwt_secret
        if secret is not None and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"SIDECAR_JWT_SECRET must be at least {MIN_SECRET_BYTES} bytes")
        sources = [
            f"{ENVIRONMENT_PREFIX}{name.upper()}"
            for name in ("jwt_secret", "jwt_public_key_file", "jwt_jwks_url")
            if getattr(self, name) is not None
        ]
        if len(sources) > 1:
            raise ValueError(f"set only one of {', '.join(sources)}")
        if self.hub_endpoint and not self.hub_endpoint.startswith(("https://", "http://")):
            raise ValueError("SIDECAR_HUB_ENDPOINT must begin with https:// or http://")
        algorithm, by_secret = self.jwt_algorithm, secret is not None
        if algorithm == "HS256" and sources and not by_secret:
            raise ValueError(f"SIDECAR_JWT_ALGORITHM: HS256 needs a secret, not {sources[0]}")
        if algorithm in ("RS256", "ES256") and by_secret:
            raise ValueError(f"SIDECAR_JWT_ALGORITHM: {algorithm} needs a public key or a JWKS URL")

    @property
    def logs(self) -> Path:
        """The folder of server.log and of TorchServe's logs."""
        return self.log_dir or self.state_dir / "logs"

    @property
    def api_keys(self) -> Path:
        """The file of hashed API keys."""
        return self.api_keys_file or self.state_dir / "api_keys.json"

    @property
    def auto_downloads(self) -> Literal["off", "tts", "catalog"]:
        """Which models the first request for them downloads."""
        return self.auto_download or ("tts" if self.environment == "development" else "off")

    @property
    def secret_file(self) -> Path:
        """Where development keeps the secret it made for itself."""
        return self.state_dir / "jwt_secret"


_TYPES = get_type_hints(Settings, include_extras=True)


def load_settings(
    environ: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from *environ*, with *overrides* (the command line) on top.

    Raises SettingsError naming the variable that is unknown or wrong.
    """
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if name not in _TYPES:
                raise SettingsError(f"{variable} is not a setting")
            values[name] = _parse(variable, _TYPES[name], text)
    values.update({name: value for name, value in (overrides or {}).items() if value is not None})
    try:
        return Settings(**values)
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def _parse(variable: str, kind: Any, text: str) -> Any:
    value: Any = text
    if kind == tuple[str, ...]:
        value = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_construct)
    except msgspec.ValidationError as exc:
        secret = "SECRET" in variable or "TOKEN" in variable
        shown = "" if secret else f" (it is {text!r})"
        raise SettingsError(f"{variable}: {exc}{shown}") from exc


def _construct(kind: type, value: Any) -> Any:
    return kind(value)
