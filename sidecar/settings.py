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
    """`development` or `production`, which needs a credential source."""
    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` for all."""
    port: Port = 8000
    """Port to listen on."""

    # Connections
    max_connections: Count | None = None
    """Largest number of open connections; unset: three quarters of the file descriptors, and at
    most 10,000. [connections]"""
    header_timeout_seconds: Positive = 10.0
    """How long a request line with its headers may take to arrive."""
    body_idle_timeout_seconds: Positive = 20.0
    """How long nothing of an unfinished body may arrive."""
    min_body_bytes_per_second: NotNegative = 500.0
    """Lowest average rate at which a body may arrive; 0: any. [bytes per second]"""
    keep_alive_seconds: Positive = 75.0
    """How long a connection may stay open between two requests."""
    write_timeout_seconds: Positive = 30.0
    """How long a client may read nothing of its answer."""

    # gRPC
    grpc_port: Port | None = None
    """Port on which the [Open Inference Protocol](api.md#over-grpc) is served over gRPC; unset:
    off. In production it needs TLS or `SIDECAR_REQUIRE_AUTHENTICATION`."""
    grpc_certificate_file: Path | None = None
    """Certificate for gRPC in PEM, followed by its issuers'; unset: no TLS."""
    grpc_key_file: Path | None = None
    """Private key of that certificate, in PEM."""

    # Files and folders
    models_file: Path = Path("models.json")
    """The catalog."""
    model_store: Path = Path("model_store")
    """Folder of the archives."""
    require_all_models: bool | None = None
    """Whether an `auto_load` model that cannot be loaded, or a wrong entry of `models.json`, keeps
    `/readyz` red; if not, only the other models count. Unset: true in production, false in
    development."""
    state_dir: Path = Path("var")
    """Folder of the secret, API keys, logs, downloaded packages and compiled code. Each server
    needs its own; each start denies other users access to it and all in it."""
    log_dir: Path | None = None
    """Folder of the logs."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    log_format: Literal["text", "json"] = "text"
    """`text`, or `json`: one object per line."""
    access_log: bool = True
    """Write a line for each request into `api_requests.log`."""
    log_max_mb: Positive = 20.0
    """Size at which a log of the sidecar is rotated."""
    log_backups: Annotated[int, Meta(ge=0)] = 5
    """Rotated files to keep. [files]"""

    # TorchServe
    torchserve: Literal["managed", "external"] = "external"
    """`managed`: run TorchServe too, as `scripts/serve` does; `external`: it runs already."""
    torchserve_config: Path = Path("config.properties")
    """Configuration of a managed TorchServe."""
    worker_template: bool = True
    """Fork the workers of a managed TorchServe from [a process that has imported what they
    need](architecture.md#workers-are-forked), which takes memory even while all models sleep."""
    worker_variables: tuple[str, ...] = ()
    """Environment variables that the workers of a managed TorchServe may see, for custom handlers:
    names, of which `*` stands for any part (`MY_*`). `SIDECAR_…` are never among them."""
    inference_url: str = "http://127.0.0.1:8080"
    """Inference API of an external TorchServe; `unix:/path` works too."""
    management_url: str = "http://127.0.0.1:8081"
    """Management API of an external TorchServe."""
    metrics_url: str = "http://127.0.0.1:8082"
    """Metrics API of an external TorchServe."""
    torchserve_key_file: Path | None = Path("key_file.json")
    """File with the tokens of an external TorchServe."""
    torchserve_worker_log: Path | None = None
    """What the workers of an `external` TorchServe print (its `logs/model_log.log`); with it,
    `error` of a model says why it cannot be loaded."""
    poll_seconds: Positive = 2.0
    """How often TorchServe is asked about its workers when all is well."""
    torchserve_management_port: Port | None = None
    """Port of TorchServe's [management API](migrating.md#its-management-api), for credentials with
    the scope `admin`; unset: off."""
    serve_archives: bool | None = None
    """Whether archives in the model store that `models.json` does not name are models too. Unset:
    only if TorchServe is managed."""
    torchserve_metrics: bool = False
    """Show TorchServe's own metrics in `/metrics` too, under their names (`ts_…`), with those that
    handlers add."""

    # Telemetry, beside the logs and /metrics
    otlp_endpoint: str | None = None
    """URL of an OpenTelemetry collector, such as `http://collector:4318`, that gets
    [traces](#traces) and metrics; unset: nothing is exported."""
    otlp_metrics_seconds: Positive = 15.0
    """How often the metrics are exported."""

    # Downloads
    hub_endpoint: str | None = None
    """Mirror to download models from; unset: the public hub."""
    hub_token: Secret | None = None
    """Token for models that are not public; it is sent only to the hub, and never shown."""
    download_hosts: tuple[str, ...] = ()
    """Each a `host` or `host:port` that may also be asked by http, and may have a private address.
    [hosts]"""
    local_models_dir: Path | None = None
    """Folder of the source `local`; unset: the source is off."""
    auto_download: Literal["off", "tts", "catalog"] | None = None
    """What the first request for it downloads: `off`, `tts` (voices) or `catalog` (all of
    `models.json`). Unset: `tts` in development, `off` in production."""
    auto_download_max_mb: Positive = 2048.0
    """Largest model that a request downloads."""
    max_download_mb: Positive = 20480.0
    """Largest model, both as it arrives and unpacked; larger ones are refused, or stopped."""
    min_free_disk_mb: NotNegative = 1024.0
    """Disk space that must stay free; a download that would leave less is refused, or stopped."""
    max_downloads: Count = 2
    """Downloads at the same time; others wait. [downloads]"""

    # Credentials
    jwt_secret: Secret | None = None
    """HS256 secret of at least 32 bytes."""
    jwt_public_key_file: Path | None = None
    """PEM public key: RSA of 2048 bits or more, or EC on P-256."""
    jwt_jwks_url: str | None = None
    """Address at which the issuer publishes its keys."""
    jwt_algorithm: Literal["HS256", "RS256", "ES256"] | None = None
    """`HS256`, `RS256` or `ES256`."""
    jwt_audience: str | None = None
    """The `aud` that a token must have; unset: a token with an `aud` is refused."""
    jwt_issuer: str | None = None
    """The `iss` that a token must have."""
    jwt_leeway_seconds: NotNegative = 10.0
    """How far clocks may differ."""
    api_keys_file: Path | None = None
    """File of hashed API keys."""
    require_authentication: bool = False
    """Refuse inference requests without a credential too."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names in the `Host` header; `*` for any. [names]"""
    allowed_origins: tuple[str, ...] = ()
    """Web pages elsewhere that may call, such as `https://app.example`. [origins]"""

    # Requests
    max_body_mb: Positive = 64.0
    """Largest JSON body, after decompression."""
    max_received_mb: Positive = 512.0
    """All bodies that are being received, in memory and on disk; one client may hold half of it."""
    max_json_values: Count = 5_000_000
    """Largest JSON body, counted by its commas, opening brackets and backslashes. [values]"""
    max_timeout_seconds: Positive = 300.0
    """Largest `timeout` of a request."""
    max_inputs: Count = 1024
    """Largest batch of one request. [inputs]"""
    max_rerank_mb: Positive = 16.0
    """Largest sum of the documents that one request has ranked, the query counted with each."""
    max_completion_tokens: Count = 16384
    """Most tokens that one request may have written: prompts times `n` times `max_tokens`.
    [tokens]"""
    max_queued_mb: Positive = 512.0
    """Inputs that may wait, per model."""
    max_job_mb: Positive = 4.0
    """Inputs in one job; a larger input goes alone.  A batch for a custom handler may hold
    `max_body_mb`."""
    # Limits: none unless set
    rate_limit_requests_per_second: Positive | None = None
    """Requests of one client. [per second]"""
    rate_limit_burst: Count | None = None
    """Requests of one client that may come at once; unset: what one second allows. [requests]"""
    rate_limit_concurrent_requests: Count | None = None
    """Requests of one client at the same time. [requests]"""
    rate_limit_storage: Secret | None = None
    """Redis in which several sidecars count together, such as `redis://host:port/0`. [URL]"""
    trusted_proxies: tuple[str, ...] = ()
    """Proxies whose `X-Forwarded-For` is trusted, such as `10.0.0.0/8`. [networks]"""
    throttle_memory_percent: Percent | None = None
    """Use of the memory of the machine above which work is refused. [0-100]"""
    throttle_gpu_memory_percent: Percent | None = None
    """Use of the memory of the fullest GPU above which work is refused. [0-100]"""
    throttle_queue_depth: Count | None = None
    """Inputs waiting for all models above which work is refused. [inputs]"""

    # Caches
    page_cache_seconds: NotNegative = 1.0
    """How long `/`, `/info`, `/config` and `/models` are kept; 0: not at all."""
    result_cache_mb: NotNegative = 256.0
    """Results of models that say `cache`; 0: none."""
    result_cache_seconds: Positive = 3600.0
    """How long a result is kept."""

    # Autoscaling
    zero_scaling: bool = True
    """Put idle models to sleep."""
    autoscale_seconds: Positive = 1.0
    """How often the number of workers is reconsidered."""
    loads_at_once: Count = 2
    """Models that are loaded or woken at the same time; while loads that nobody waits for take
    every place, one more model may be woken. [models]"""
    memory_budget_mb: Positive | None = None
    """Memory of all workers together, without what they share with their template."""
    gpu_memory_budget_mb: Positive | None = None
    """Memory of all workers together on each GPU."""
    max_loaded_models: Count | None = None
    """Models that may be in memory. [models]"""
    watch_model_store: bool = False
    """Whether an archive that is written again replaces what is loaded."""

    # Scheduling
    ageing_seconds: Positive = 2.0
    """How long a wait is worth one step of priority."""
    drain_seconds: NotNegative = 20.0
    """How long a stop waits for requests that have been accepted."""

    # Speech
    default_tts_model: str = "hibari_tts"
    """Model that speaks where a request names neither model nor voice."""
    default_asr_model: str = "whisper_tiny_en"
    """Model that listens where a request names no model."""
    max_speech_seconds: Positive = 900.0
    """Longest speech that one text may become; more is refused before anything is synthesised."""
    max_upload_mb: Positive = 200.0
    """Largest audio file in a multipart body; it is kept on disk, in `TMPDIR`."""
    max_audio_seconds: Positive = 7200.0
    """Longest recording, as decoded."""
    max_audio_megasamples: Positive = 3000.0
    """Largest recording as seconds × sample rate × channels, which is what decoding costs. [million
    samples]"""
    audio_threads: Count = 2
    """Threads that encode and decode audio, for clients in turn; one client gets all but one.
    [threads]"""

    def __post_init__(self) -> None:
        self._check_credentials()
        self._check_limits()
        self._check_addresses()
        self._check_grpc()

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
        if self.otlp_endpoint and not self.otlp_endpoint.startswith(("https://", "http://")):
            raise ValueError("SIDECAR_OTLP_ENDPOINT must begin with https:// or http://")
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

    def _check_grpc(self) -> None:
        if (self.grpc_certificate_file is None) is not (self.grpc_key_file is None):
            raise ValueError(
                "SIDECAR_GRPC_CERTIFICATE_FILE and SIDECAR_GRPC_KEY_FILE must be set together"
            )
        if self.grpc_port is None or self.environment == "development":
            return
        if self.grpc_certificate_file is None and not self.require_authentication:
            raise ValueError(
                "SIDECAR_GRPC_PORT: in production gRPC needs TLS (SIDECAR_GRPC_CERTIFICATE_FILE "
                "and SIDECAR_GRPC_KEY_FILE) or SIDECAR_REQUIRE_AUTHENTICATION=true"
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
