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
    newest_first,
    read_archive,
)
from sidecar.durable_files import write_whole
from sidecar.settings import MB, SettingsError

FOLDER = "ts_config"  # in the state folder
LIMITS = ("max_request_size", "max_response_size")  # bytes; never below what our own jobs need
PASSED_ON = frozenset(
    {
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
    "enable_envvars_config": "of the variables TS_…, those that are taken over have a line too",
    "blacklist_env_vars": "workers see few variables: SIDECAR_WORKER_VARIABLES names more",
    "initial_worker_port": "workers listen on sockets of a private folder",
    "initial_distribution_port": "TorchServe's default holds",
}
OF_MODELS = (
    "default_workers_per_model",
    "job_queue_size",
    "load_models",
    "metrics_config",
    "model_store",
)
TIMEOUTS: Mapping[str, str] = {  # of models that have none, and their place in `inference`
    "default_response_timeout": "job_timeout_seconds",
    "default_startup_timeout": "startup_timeout_seconds",
}
FIELDS: Mapping[str, str] = {  # of `models` and model-config.yaml, and their place in `inference`
    "batchSize": "batch_size",
    "maxBatchDelay": "batch_delay_ms",
    "responseTimeout": "job_timeout_seconds",
    "startupTimeout": "startup_timeout_seconds",
}
NOT_FROM_VARIABLES = frozenset(  # even if enable_envvars_config says so
    {
        "enable_envvars_config",
        "use_env_allowed_urls",
        "system_metrics_cmd",
        "plugins_path",
        "vmargs",
    }
)
_FIELD_OF = {place: field for field, place in FIELDS.items()}
_VARIABLE = re.compile(r"\$\$([^$]+)\$\$")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LINE = re.compile(r"(?P<key>(?:\\.|[^\\\s=:])*)\s*[=:]?\s*(?P<value>.*)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
NOTHING: Mapping[str, str] = {}
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


def take_over(
    path: Path | None,
    store: Path,
    base: str,
    given: Mapping[str, str] = NOTHING,
    environ: Mapping[str, str] = NOTHING,
) -> TakenOver:
    """Return what becomes of the config.properties at *path*, or of no file.

    *store* is the model store where it names none, *base* the text of our own config.properties.
    The properties *given*, on the command line, count before those of the file; and the variables
    of *environ* before both, if the file says so.  Raises SettingsError.
    """
    lines: list[str] = []
    theirs = {} if path is None else _with_variables(path, _read(path), environ)
    if theirs.get("enable_envvars_config", "").lower() == "true":
        given = {**given, **_from_variables(environ, lines)}
    folder = Path() if path is None else path.parent
    place = _Place("the command line" if path is None else str(path), folder)
    return _TakingOver(place, store, {**theirs, **given}, read_properties(base), lines).run()


class _Place(NamedTuple):
    """Where properties come from.  Relative paths among them start at *folder*."""

    name: str
    folder: Path


def _read(path: Path) -> dict[str, str]:
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise SettingsError(f"{path}: {exc.strerror or exc}") from exc
    try:
        return read_properties(raw.decode())
    except UnicodeDecodeError:  # Java reads every file so
        return read_properties(raw.decode("latin-1"))


def _with_variables(
    path: Path, theirs: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return *theirs* with the value of each `$$VARIABLE$$`.  Raises SettingsError."""
    told: dict[str, str] = {}
    for key, value in theirs.items():
        for name in _VARIABLE.findall(value):
            if name not in environ:
                raise SettingsError(f"{path}: {key}: the variable {name} is not set")
        told[key] = _VARIABLE.sub(lambda found: environ[found[1]], value)
    return told


def _from_variables(environ: Mapping[str, str], lines: list[str]) -> dict[str, str]:
    """Return the properties that variables of TorchServe's set; *lines* gets one for each."""
    known = {*PASSED_ON, *OURS, *LIMITS, *TIMEOUTS, *OF_MODELS} - NOT_FROM_VARIABLES
    found: dict[str, str] = {}
    for key in sorted(known):
        variable = key.upper() if key.startswith("ts_") else f"TS_{key.upper()}"
        if variable in environ:
            found[key] = environ[variable]
            lines.append(f"{variable}: counts before {key} in the file")
    return found


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
        self,
        place: _Place,
        store: Path,
        theirs: Mapping[str, str],
        base: Mapping[str, str],
        lines: list[str],
    ) -> None:
        self._place = place
        self._store = store
        self._theirs = theirs
        self._base = base
        self._entries: dict[str, Entry] = {}
        self._properties: dict[str, str] = {}
        self._settings: dict[str, Any] = {}
        self._lines = lines
        self._timeouts: dict[str, int] = {}
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
        self._store = self._place.folder / value
        self._say("model_store", f"taken over: {self._store}")

    def _take(self, key: str, value: str) -> None:
        special: Mapping[str, Callable[[str, str], None]] = {
            **dict.fromkeys(LIMITS, self._take_limit),
            "default_workers_per_model": self._take_workers,
            **dict.fromkeys(TIMEOUTS, self._take_timeout),
            "job_queue_size": self._take_queue,
            "metrics_config": self._take_file,
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
            raise SettingsError(
                f"{self._place.name}: {key}: expected a whole number, not {value!r}"
            )
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

    def _take_file(self, key: str, value: str) -> None:
        file = self._place.folder / value
        if file.is_file():
            self._properties[key] = str(file.absolute())
            self._say(key, f"taken over: {file}")
        else:
            self._say(key, f"left out: {file}: no such file")

    def _take_timeout(self, key: str, value: str) -> None:
        seconds = max(1, self._number(key, value))
        self._properties[key] = str(seconds)
        self._timeouts[TIMEOUTS[key]] = seconds
        self._say(key, f"taken over: {seconds} s for models that do not say it themselves")

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
            raise SettingsError(f"{self._place.name}: {key}: {exc}") from exc

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
            pairs = [("", path.name) for path in newest_first(archives_in(self._store))]
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
        if not (self._store / file).exists():
            self._say(key, f"{file}: left out, there is no such archive in {self._store}")
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
        if name in self._entries:
            self._say(
                key, f"{name}: version {facts.version}, {file}, is loaded when it is asked for"
            )
            return
        of_archive = facts.settings
        inference: dict[str, Any] = {
            place: seconds
            for place, seconds in self._timeouts.items()
            if _FIELD_OF[place] not in of_archive
        }
        inference |= {
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
