"""TorchServe's own config.properties, taken over: `--ts-config theirs.properties`.

What it says of models becomes entries of a models.json, what concerns TorchServe goes on into the
config.properties of the managed one, limits become settings, and what must be ours is left out. One
line for each key says what became of it.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sidecar.catalog.own_archives import (
    ArchiveFacts,
    UnreadableArchive,
    archives_in,
    read_archive,
)
from sidecar.durable_files import write_whole
from sidecar.settings import MB, SettingsError

FOLDER = "ts_config"  # in the state folder
LIMITS = ("max_request_size", "max_response_size")  # bytes; never below what our own jobs need
PASSED_ON = frozenset(
    {
        "default_response_timeout",
        "default_startup_timeout",
        "unregister_model_timeout",
        "number_of_netty_threads",
        "netty_client_threads",
        "number_of_gpu",
        "install_py_dep_per_model",
        "default_service_handler",
        "decode_input_request",
        "prefer_direct_buffer",
        "limit_max_image_pixels",
        "cpu_launcher_enable",
        "cpu_launcher_args",
        "ipex_enable",
        "ipex_gpu_enable",
        "metrics_config",
        "model_metrics_auto_detect",
        "async_logging",
        "vmargs",
        "service_envelope",
        "ts_header_key_sequence_id",
        "ts_header_key_sequence_start",
        "ts_header_key_sequence_end",
    }
)
OURS: Mapping[str, str] = {
    **dict.fromkeys(
        ("inference_address", "metrics_address"),
        "the sidecar listens, by --host and --port; TorchServe stays behind it",
    ),
    "management_address": "SIDECAR_TORCHSERVE_MANAGEMENT_PORT sets the port of the sidecar's own",
    **dict.fromkeys(
        (
            "grpc_inference_address",
            "grpc_management_address",
            "grpc_inference_port",
            "grpc_management_port",
            "enable_grpc_ssl",
            "ts_open_inference_protocol",
            "grpc_inference_max_connection_age_ms",
            "grpc_management_max_connection_age_ms",
            "grpc_inference_max_connection_age_grace_ms",
            "grpc_management_max_connection_age_grace_ms",
        ),
        "there is no gRPC",
    ),
    **dict.fromkeys(
        ("disable_token_authorization", "token_expiration_min"),
        "the sidecar asks for credentials: SIDECAR_REQUIRE_AUTHENTICATION",
    ),
    **dict.fromkeys(
        ("enable_model_api", "allowed_urls", "use_env_allowed_urls"),
        "archives come from the model store alone; changes need the scope admin",
    ),
    **dict.fromkeys(
        ("metrics_mode", "enable_metrics_api", "disable_system_metrics", "system_metrics_cmd"),
        "/metrics has the metrics, and TorchServe's own with SIDECAR_TORCHSERVE_METRICS",
    ),
    **dict.fromkeys(
        ("keystore", "keystore_pass", "keystore_type", "certificate_file", "private_key_file"),
        "a proxy in front ends TLS",
    ),
    **dict.fromkeys(
        ("cors_allowed_origin", "cors_allowed_methods", "cors_allowed_headers"),
        "SIDECAR_ALLOWED_ORIGINS names the pages that may call",
    ),
    **dict.fromkeys(("workflow_store", "plugins_path"), "there are no workflows and no plugins"),
    **dict.fromkeys(
        ("enable_envvars_config", "blacklist_env_vars"),
        "workers see none but a few variables anyway",
    ),
    "initial_worker_port": "workers listen on sockets of a private folder",
    "initial_distribution_port": "TorchServe's default holds",
}
FIELDS: Mapping[str, str] = {  # of `models` and model-config.yaml, and their place in `inference`
    "batchSize": "batch_size",
    "maxBatchDelay": "batch_delay_ms",
    "responseTimeout": "job_timeout_seconds",
    "startupTimeout": "startup_timeout_seconds",
}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LINE = re.compile(r"(?P<key>(?:\\.|[^\\\s=:])*)\s*[=:]?\s*(?P<value>.*)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}

Entry = dict[str, Any]
_models = msgspec.json.Decoder(dict[str, dict[str, dict[str, Any]]])


class _Snapshot(msgspec.Struct):
    models: dict[str, dict[str, dict[str, Any]]]


class TakenOver(NamedTuple):
    """What becomes of one config.properties.  *lines* say so, key by key."""

    entries: Mapping[str, Entry]
    properties: Mapping[str, str]
    settings: Mapping[str, Any]
    lines: list[str]

    def write(self, folder: Path, base: str) -> Mapping[str, Any]:
        """Write both files into *folder*; return the settings that name them.

        *base* is the text of our own config.properties, which holds where theirs says nothing.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        models, config = folder / "models.json", folder / "config.properties"
        catalog = msgspec.json.encode({"models": self.entries})
        write_whole(models, msgspec.json.format(catalog, indent=2) + b"\n")
        rest = [
            line
            for line in base.splitlines()
            if line.partition("=")[0].strip() not in self.properties
        ]
        added = [f"{key}={_escaped(value)}" for key, value in self.properties.items()]
        write_whole(config, "\n".join([*rest, *added, ""]).encode())
        return {**self.settings, "models_file": models, "torchserve_config": config}


def take_over(path: Path, store: Path, base: str) -> TakenOver:
    """Return what becomes of the config.properties at *path*.

    *store* is the model store where it names none, *base* the text of our own config.properties.
    Raises SettingsError.
    """
    try:
        theirs = read_properties(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: {exc}") from exc
    return _TakingOver(path, store, theirs, read_properties(base)).run()


def read_properties(text: str) -> dict[str, str]:
    """Return the properties in *text*, as Java reads them."""
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        parts = _LINE.fullmatch(line)
        assert parts is not None, "it matches any line"
        found[_unescaped(parts["key"])] = _unescaped(parts["value"])
    return found


def _logical_lines(text: str) -> Iterator[str]:
    """Yield the lines, those that end with a backslash joined, without comments."""
    pending = ""
    for raw in text.splitlines():
        line = raw.lstrip()
        if not pending and (not line or line[0] in "#!"):
            continue
        pending += line
        if (len(pending) - len(pending.rstrip("\\"))) % 2:
            pending = pending[:-1]
        else:
            yield pending
            pending = ""
    if pending:
        yield pending


def _unescaped(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        what = found[1]
        return chr(int(what[1:], 16)) if len(what) == 5 else _LETTERS.get(what, what)

    return _ESCAPE.sub(letter, text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


class _TakingOver:
    """Goes through one file, key by key."""

    def __init__(
        self, path: Path, store: Path, theirs: Mapping[str, str], base: Mapping[str, str]
    ) -> None:
        self._path = path
        self._store = store
        self._theirs = theirs
        self._base = base
        self._entries: dict[str, Entry] = {}
        self._properties: dict[str, str] = {}
        self._settings: dict[str, Any] = {}
        self._lines: list[str] = []
        self._known = {"workers": 1, "queue": None}  # of models that say nothing themselves

    def run(self) -> TakenOver:
        """Return what becomes of all keys.  Raises SettingsError for invalid values."""
        if "model_store" in self._theirs:
            self._take_store(self._theirs["model_store"])
        for key, value in self._theirs.items():
            if key not in ("model_store", "models", "load_models", "model_snapshot"):
                self._take(key, value)
        self._take_models()
        self._settings["model_store"] = self._store
        return TakenOver(self._entries, self._properties, self._settings, self._lines)

    def _say(self, key: str, what: str) -> None:
        self._lines.append(f"{key}: {what}")

    def _take_store(self, value: str) -> None:
        if "$$" in value:
            self._say("model_store", f"left out, {value} holds a variable; set SIDECAR_MODEL_STORE")
            return
        self._store = Path(value)
        self._say("model_store", f"taken over: {value}")

    def _take(self, key: str, value: str) -> None:
        special: Mapping[str, Callable[[str, str], None]] = {
            **dict.fromkeys(LIMITS, self._take_limit),
            "default_workers_per_model": self._take_workers,
            "job_queue_size": self._take_queue,
        }
        if key in special:
            special[key](key, value)
        elif key == "service_envelope" and value == "kserve":
            self._say(key, "left out: /v1/models/{name}:predict makes this envelope itself")
        elif key in PASSED_ON:
            self._properties[key] = value
            self._say(key, f"taken over: {value}")
        elif key in OURS:
            self._say(key, f"left out: {OURS[key]}")
        else:
            self._say(key, "left out: TorchServe has no such key, or the sidecar does not know it")

    def _number(self, key: str, value: str) -> int:
        if not value.strip().isdecimal():
            raise SettingsError(f"{self._path}: {key}: expected a whole number, not {value!r}")
        return int(value)

    def _take_limit(self, key: str, value: str) -> None:
        size = self._number(key, value)
        self._properties[key] = str(max(size, int(self._base.get(key, "0"))))
        if key == "max_request_size" and size:
            megabytes = max(1, math.ceil(size / MB))
            self._settings["max_body_mb"] = float(megabytes)
            self._say(key, f"taken over: bodies of up to {megabytes} MB")
        else:
            self._say(key, f"taken over: {self._properties[key]} bytes")

    def _take_workers(self, key: str, value: str) -> None:
        self._known["workers"] = max(1, self._number(key, value))
        self._say(key, f"taken over: {value} for models that do not say it themselves")

    def _take_queue(self, key: str, value: str) -> None:
        self._known["queue"] = max(1, self._number(key, value))
        self._say(key, f"taken over: {value} requests of each model may wait in the sidecar")

    # Models

    def _take_models(self) -> None:
        said = self._said_of_models("models", _models.decode)
        if "model_snapshot" in self._theirs:
            said = self._said_of_models(
                "model_snapshot", lambda raw: msgspec.json.decode(raw, type=_Snapshot).models
            )
            if "load_models" in self._theirs:
                self._say("load_models", "left out: the snapshot says which models are loaded")
            self._enter_snapshot(said)
            return
        if "models" in self._theirs:
            self._say("models", f"taken over for {', '.join(said) or 'no model'}")
        self._enter_loaded(said)

    def _said_of_models(
        self, key: str, read: Callable[[str], dict[str, dict[str, dict[str, Any]]]]
    ) -> dict[str, dict[str, dict[str, Any]]]:
        if key not in self._theirs:
            return {}
        try:
            return read(self._theirs[key])
        except msgspec.DecodeError as exc:
            raise SettingsError(f"{self._path}: {key}: {exc}") from exc

    def _enter_snapshot(self, said: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        for name, versions in said.items():
            default = next(
                (each for each in versions.values() if each.get("defaultVersion")),
                next(iter(versions.values()), {}),
            )
            self._enter("model_snapshot", name, str(default.get("marName", "")), default)
            if len(versions) > 1:
                self._say(
                    "model_snapshot",
                    f"{name}: its other versions are loaded by POST /models/{name}/load",
                )

    def _enter_loaded(self, said: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        wanted = self._theirs.get("load_models", "").strip()
        if not wanted or wanted.lower() == "none":
            if wanted:
                self._say("load_models", "none is loaded at the start; requests load what they ask")
            return
        if wanted.lower() == "all":
            pairs = [("", path.name) for path in archives_in(self._store)]
        else:
            pairs = [_pair(each) for each in wanted.split(",") if each.strip()]
        for name, file in pairs:
            facts = self._facts("load_models", file)
            if facts is None or (facts.ours and wanted.lower() == "all"):
                continue
            key = name or facts.name
            self._enter("load_models", key, file, said.get(key, {}).get(facts.version, {}))

    def _facts(self, key: str, file: str) -> ArchiveFacts | None:
        if "://" in file or "/" in file:
            self._say(key, f"{file}: left out, archives come from the model store alone")
            return None
        try:
            return read_archive(self._store / file)
        except UnreadableArchive as exc:
            self._say(key, f"{file}: left out, {exc}")
            return None

    def _enter(self, key: str, name: str, file: str, said: Mapping[str, Any]) -> None:
        """Enter a model; its archive's own settings beat what *said* has of it."""
        facts = self._facts(key, file)
        if facts is None:
            return
        of_archive = facts.settings
        inference: dict[str, Any] = {
            place: said[field]
            for field, place in FIELDS.items()
            if isinstance(said.get(field), int) and field not in of_archive
        }
        if self._known["queue"] is not None:
            inference["queue_size"] = self._known["queue"]
        if "minWorkers" not in of_archive:
            least = max(1, int(said.get("minWorkers", self._known["workers"]) or 1))
            most = max(least, int(said.get("maxWorkers", least) or 1))
            inference["workers"] = {"min": least, "max": most}
        self._entries[name] = {
            "handler": "own",
            "archive": file,
            "auto_load": True,
            "inference": inference,
        }
        self._say(key, f"{name}: loaded at the start, from {file}")


def _pair(text: str) -> tuple[str, str]:
    """Return the name, which may be empty, and the archive of one model of load_models."""
    name, equals, file = text.strip().partition("=")
    return (name.strip(), file.strip()) if equals else ("", name.strip())
