"""The settings: one frozen value, read once.

Precedence: command line, then environment (`SIDECAR_<NAME>`), then the file that `--config`
or `SIDECAR_CONFIG` names (TOML), then the defaults below.  A value that cannot be right stops
the start with a sentence that names the variable, or the file and the key.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import Meta

from sidecar.validation import explain_misfit, nearest

ENVIRONMENT_PREFIX = "SIDECAR_"
CONFIG_VARIABLE = "SIDECAR_CONFIG"  # names a file; not a setting itself
OTHERS = 0o077  # who may not read a file with a secret
MIN_SECRET_BYTES = 32
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+/?", re.IGNORECASE)
HOST = re.compile(r"\*|[\w.-]+|[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*", re.IGNORECASE)
MB = 2**20  # bytes: what `_mb` in a name means

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Percent = Annotated[float, Meta(gt=0, le=100)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Source = Literal["file", "environment", "command line", "ts-config"]


class Secret(str):
    """A string that never shows in logs, reprs and tracebacks."""

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

    # Connections
    max_connections: Count | None = None  # None: by the limit of file descriptors
    header_timeout_seconds: Positive = 10.0  # from the first byte, or the connection, to the last
    body_idle_timeout_seconds: Positive = 20.0  # without a byte of an unfinished body
    min_body_bytes_per_second: NotNegative = 500.0  # on average
    keep_alive_seconds: Positive = 75.0  # between two requests
    write_timeout_seconds: Positive = 30.0  # in which a client reads nothing of its answer

    # Files and folders
    models_file: Path = Path("models.json")
    model_store: Path = Path("model_store")
    require_all_models: bool | None = None  # to be ready; None: in production
    state_dir: Path = Path("var")
    log_dir: Path | None = None  # None: <state_dir>/logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    access_log: bool = True  # one line per request, in api_requests.log
    log_max_mb: Positive = 20.0
    log_backups: Annotated[int, Meta(ge=0)] = 5

    # TorchServe
    torchserve: Literal["managed", "external"] = "external"
    torchserve_config: Path = Path("config.properties")
    inference_url: str = "http://127.0.0.1:8080"
    management_url: str = "http://127.0.0.1:8081"
    metrics_url: str = "http://127.0.0.1:8082"
    torchserve_key_file: Path | None = Path("key_file.json")  # unused when managed
    torchserve_worker_log: Path | None = None  # of an external one: what its workers print
    poll_seconds: Positive = 2.0
    torchserve_management_port: Port | None = None  # of its management API; None: off
    serve_archives: bool | None = None  # None: where TorchServe is managed
    torchserve_metrics: bool = False  # /metrics has TorchServe's own too, under their old names

    # Downloads
    hub_endpoint: str | None = None  # None: the public hub
    hub_token: Secret | None = None
    download_hosts: tuple[str, ...] = ()  # also by http, also with private addresses
    local_models_dir: Path | None = None  # None: source "local" is off
    auto_download: Literal["off", "tts", "catalog"] | None = None  # None: by environment
    auto_download_max_mb: Positive = 2048.0
    max_download_mb: Positive = 20480.0  # of one model, as it arrives and unpacked
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
    max_received_mb: Positive = 512.0  # of all bodies being received; half of it for one client
    max_json_values: Count = 5_000_000  # in one body
    max_timeout_seconds: Positive = 300.0
    max_inputs: Count = 1024
    max_rerank_mb: Positive = 16.0  # of one request's documents, the query counted with each
    max_queued_mb: Positive = 512.0
    max_job_mb: Positive = 4.0
    # Limits: none unless set
    rate_limit_requests_per_second: Positive | None = None  # of one client
    rate_limit_burst: Count | None = None  # None: what one second allows
    rate_limit_concurrent_requests: Count | None = None  # of one client
    rate_limit_storage: Secret | None = None  # redis://…, shared by several sidecars
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For is trusted
    throttle_memory_percent: Percent | None = None
    throttle_gpu_memory_percent: Percent | None = None
    throttle_queue_depth: Count | None = None  # inputs that wait, of all models

    # Caches
    page_cache_seconds: NotNegative = 1.0  # 0: every page is computed anew
    result_cache_mb: NotNegative = 256.0  # of models that say cache
    result_cache_seconds: Positive = 3600.0

    # Autoscaling
    zero_scaling: bool = True  # idle models are put to sleep
    autoscale_seconds: Positive = 1.0  # how often the number of workers is reconsidered
    loads_at_once: Count = 2
    memory_budget_mb: Positive | None = None  # of all workers together
    gpu_memory_budget_mb: Positive | None = None  # the same of each GPU
    max_loaded_models: Count | None = None
    watch_model_store: bool = False  # an archive that is written anew replaces what is loaded

    # Scheduling
    ageing_seconds: Positive = 2.0  # a wait of this long is worth one step of priority
    drain_seconds: NotNegative = 20.0

    # Speech
    default_tts_model: str = "hibari_tts"
    default_asr_model: str = "whisper_tiny_en"
    max_speech_seconds: Positive = 900.0  # that one text may become
    max_upload_mb: Positive = 200.0  # of an audio file in a multipart body
    max_audio_seconds: Positive = 7200.0
    max_audio_megasamples: Positive = 3000.0  # of one file: seconds × rate × channels
    audio_threads: Count = 2  # that encode and decode

    def __post_init__(self) -> None:
        self._check_credentials()
        self._check_limits()
        self._check_addresses()

    def _check_credentials(self) -> None:
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

    def _check_limits(self) -> None:
        if self.rate_limit_burst is not None and self.rate_limit_requests_per_second is None:
            raise ValueError(
                "SIDECAR_RATE_LIMIT_BURST needs SIDECAR_RATE_LIMIT_REQUESTS_PER_SECOND"
            )
        storage = self.rate_limit_storage
        if storage is not None and not storage.startswith(("redis://", "rediss://")):
            raise ValueError("SIDECAR_RATE_LIMIT_STORAGE must be redis://host:port/database")
        for text in self.trusted_proxies:
            try:
                ip_network(text, strict=False)
            except ValueError as exc:
                raise ValueError(f"SIDECAR_TRUSTED_PROXIES: {exc}") from exc

    def _check_addresses(self) -> None:
        for origin in self.allowed_origins:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"SIDECAR_ALLOWED_ORIGINS: {origin!r} must be a scheme and a host, such as "
                    "https://app.example or http://localhost:3000"
                )
        for host in self.allowed_hosts:
            if not HOST.fullmatch(host):
                raise ValueError(
                    f"SIDECAR_ALLOWED_HOSTS: {host!r} must be a name alone, such as api.example, "
                    "without scheme, port or path; * allows all"
                )
        for name in ("inference_url", "management_url", "metrics_url"):
            if not getattr(self, name).startswith(("http://", "https://", "unix:")):
                raise ValueError(
                    f"{ENVIRONMENT_PREFIX}{name.upper()} must begin with http://, https:// or unix:"
                )

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
    def requires_all_models(self) -> bool:
        """Whether an auto_load model that cannot be loaded, or a wrong entry, means not ready."""
        if self.require_all_models is None:
            return self.environment == "production"
        return self.require_all_models

    @property
    def offers_archives(self) -> bool:
        """Whether archives of the model store without an entry in the catalog are models too."""
        managed = self.torchserve == "managed"
        return managed if self.serve_archives is None else self.serve_archives

    @property
    def builds_archives(self) -> bool:
        """Whether a missing archive means that it is still to be built.

        A TorchServe that somebody else runs may have archives that are not visible from here.
        """
        return self.torchserve == "managed"

    @property
    def secret_file(self) -> Path:
        """Where development keeps the secret it made for itself."""
        return self.state_dir / "jwt_secret"


_TYPES = get_type_hints(Settings, include_extras=True)


class Effective(NamedTuple):
    """The settings, and where each that is not the default came from."""

    settings: Settings
    sources: Mapping[str, Source]


def load_settings(
    environ: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Return the settings from the file, *environ*, and *overrides* (the command line) on top.

    Raises SettingsError naming what is unknown or wrong.
    """
    return load_effective(environ, overrides).settings


def load_effective(
    environ: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Effective:
    """Return the settings with their sources.

    The file is `config` of *overrides*, else that of SIDECAR_CONFIG.
    """
    flags = {name: value for name, value in (overrides or {}).items() if value is not None}
    file = flags.pop("config", None) or environ.get(CONFIG_VARIABLE)
    layers: dict[Source, dict[str, Any]] = {
        "file": _read_file(Path(file)) if file else {},
        "environment": _read_environment(environ),
        "command line": {name: _parse(f"--{name}", name, flags[name]) for name in flags},
    }
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for source, layer in layers.items():
        values |= layer
        sources |= dict.fromkeys(layer, source)
    try:
        return Effective(Settings(**values), sources)
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def is_secret(name: str) -> bool:
    """Return whether the value of the setting *name* must never be shown."""
    return Secret in (_TYPES[name], *get_args(_TYPES[name]))


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and variable != CONFIG_VARIABLE:
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if name not in _TYPES:
                known = (f"{ENVIRONMENT_PREFIX}{each.upper()}" for each in _TYPES)
                raise SettingsError(f"{variable} is not a setting{nearest(variable, known)}")
            values[name] = _parse(variable, name, text)
    return values


def _read_file(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        mode = path.stat().st_mode
    except OSError as exc:
        raise SettingsError(f"{path}: {exc.strerror}") from exc
    except ValueError as exc:  # not TOML, or not UTF-8
        raise SettingsError(f"{path}: {exc}") from exc
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _TYPES:
            raise SettingsError(f"{path}: {name} is not a setting{nearest(name, _TYPES)}")
        if is_secret(name) and mode & OTHERS:
            raise SettingsError(f"{path}: {name}: others can read this file; chmod 600 {path}")
        values[name] = _parse(f"{path}: {name}", name, value, strict=True)
    return values


def _parse(label: str, name: str, given: Any, *, strict: bool = False) -> Any:
    """Return the value of the setting *name*.  *label* tells, in an error, where it was given."""
    kind, value = _TYPES[name], given
    if kind == tuple[str, ...] and isinstance(given, str) and not strict:
        value = [part.strip() for part in given.split(",") if part.strip()]
    try:
        return msgspec.convert(value, kind, strict=strict, dec_hook=_construct)
    except msgspec.ValidationError as exc:
        shown = "" if is_secret(name) else f" (it is {given!r})"
        raise SettingsError(f"{label}: {explain_misfit(exc, kind)}{shown}") from exc


def _construct(kind: type, value: Any) -> Any:
    """Return a path or a secret; both are written as text."""
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return kind(value)
