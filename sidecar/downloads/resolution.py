"""What a request means: which model, from where, under which name.  Pure."""

import re
from collections.abc import Collection, Mapping
from typing import assert_never

import msgspec

from sidecar.catalog.catalog import Catalog
from sidecar.catalog.entries import unfit_key
from sidecar.downloads.address_guard import AddressGuard, parse_address
from sidecar.downloads.file_names import archive_name, checked_name
from sidecar.downloads.messages import DownloadFailed, DownloadTarget
from sidecar.errors import InvalidFields, ModelNotFound
from sidecar.schemas.downloads import AskedSource, DownloadRequest
from sidecar.schemas.model_spec import ModelSpec, Source, folded

KEY = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
REPOSITORY = re.compile(r"(?!.*(\.\.|--))\w[\w.-]{0,95}(/\w[\w.-]{0,95})?", re.ASCII)  # of a hub
REVISION = re.compile(r"(?!.*\.\.)\w[\w./+-]*", re.ASCII)
ONLY_WITH: Mapping[str, tuple[AskedSource, ...]] = {  # fields, and the sources they go with
    "revision": ("huggingface", "tts_auto"),
    "sha256": ("url",),
    "include_vocoder": ("huggingface", "tts_auto"),
    "vocoder_model": ("huggingface", "tts_auto"),
    "task": ("huggingface", "url", "local"),
    "custom_settings": ("huggingface", "url", "local"),
}


def resolve_request(
    asked: DownloadRequest, catalog: Catalog, hosts: Collection[str]
) -> DownloadTarget:
    """Return what *asked* means.  *hosts* are the ones that the operator named.

    Raises InvalidFields, or ModelNotFound for a model that should be in the catalog.
    """
    _check_texts(asked)
    for field, sources in ONLY_WITH.items():
        if getattr(asked, field) and asked.source not in sources:
            raise InvalidFields(f"cannot be combined with the source {asked.source}", field=field)
    key = _key_in_catalog(asked, catalog)
    if key is None:
        return _new(asked, catalog, hosts)
    target = catalog_target(key, catalog[key], task=asked.task, revision=asked.revision)
    if asked.vocoder_model or asked.include_vocoder:
        target = msgspec.structs.replace(
            target, vocoder=asked.vocoder_model or target.vocoder or ""
        )
    return msgspec.structs.replace(target, must_speak=asked.auto_convert_tts)


def catalog_target(
    key: str,
    spec: ModelSpec,
    *,
    task: str | None = None,
    revision: str | None = None,
    max_mb: float | None = None,
) -> DownloadTarget:
    """Return a model of models.json as a target.  Raises InvalidFields if it needs no download."""
    source = source_of(spec)
    if source is None:
        raise InvalidFields(
            f"{key} is not downloaded: its archive is in the model store, or built by "
            "scripts/build_archives",
            field="model_id",
        )
    if task is not None and folded(task) != spec.task:
        raise InvalidFields(f"{key} has the task {spec.task}", field="task")
    return DownloadTarget(
        key=key,
        source=source,
        model_id=spec.model_id or key,
        name=spec.display_name,
        spec=spec,
        revision=revision or spec.revision,
        vocoder=spec.vocoder,
        max_mb=max_mb,
    )


def source_of(spec: ModelSpec) -> Source | None:
    """Return where a model of models.json is downloaded from; None if it never is."""
    match spec.source:
        case "huggingface":
            return "huggingface" if spec.path is None else None
        case "package":
            return "package"
        case "builtin" | "local" | "url" | "archive":
            return None
        case _:
            assert_never(spec.source)


def _key_in_catalog(asked: DownloadRequest, catalog: Catalog) -> str | None:
    """Return the key of the entry of models.json that is meant, if one is.

    What was downloaded before is in the catalog too, but has no entry of its own to go by.
    """
    match asked.source:
        case "url" | "local":
            return None
        case "huggingface":
            key = catalog.key_of(asked.model_id)
            return key if key and source_of(catalog[key]) == "huggingface" else None
        case "package" | "tts_auto":
            key = catalog.key_of(asked.model_id) or catalog.key_of(asked.name)
        case _:
            assert_never(asked.source)
    if key is None:
        raise ModelNotFound(asked.model_id, "no such model in models.json", field="model_id")
    if asked.source == "tts_auto" and catalog[key].task != "speech_synthesis":
        raise InvalidFields(f"{key} is not a speech synthesis model", field="model_id")
    return key


def _new(asked: DownloadRequest, catalog: Catalog, hosts: Collection[str]) -> DownloadTarget:
    key = folded(asked.name)
    if not KEY.fullmatch(key):
        raise InvalidFields(
            "must be letters, digits, - and _, and begin with a letter or a digit", field="name"
        )
    if (reason := unfit_key(key)) is not None:
        raise InvalidFields(reason, field="name")
    owner = catalog.key_of(asked.name)
    if owner is not None and (owner != key or not _is_same(catalog, owner, asked)):
        raise InvalidFields(f"{asked.name} is the name of another model", field="name")
    _check_names(asked, key, catalog)
    match asked.source:
        case "local":
            _check_local(asked.model_id)
        case "url":
            _check_address(asked.model_id, hosts)
        case "huggingface":
            if not REPOSITORY.fullmatch(asked.model_id):
                raise InvalidFields(
                    "must be the id of a model on the hub: owner/name", field="model_id"
                )
        case "package" | "tts_auto":
            raise AssertionError("its models are entries of models.json, and none is new")
        case _:
            assert_never(asked.source)
    with_vocoder = asked.include_vocoder or asked.vocoder_model
    return DownloadTarget(
        key=key,
        source=asked.source,
        model_id=asked.model_id,
        name=asked.name,
        task=asked.task,
        revision=asked.revision,
        sha256=asked.sha256,
        must_speak=asked.auto_convert_tts,
        vocoder=(asked.vocoder_model or "") if with_vocoder else None,
        config=msgspec.to_builtins(asked.config),
        options=asked.custom_settings,
    )


def _is_same(catalog: Catalog, key: str, asked: DownloadRequest) -> bool:
    """Return whether *key* was downloaded by such a request before."""
    spec = catalog[key]
    if not catalog.is_own(key) or spec.source != asked.source:
        return False
    return asked.source != "huggingface" or spec.model_id == asked.model_id


def _check_names(asked: DownloadRequest, key: str, catalog: Catalog) -> None:
    """Raise InvalidFields if one of the other names that it would have is taken."""
    others = [("config", name) for name in asked.config.aliases or ()]
    if asked.source == "huggingface":
        others.append(("model_id", asked.model_id))
    for field, name in others:
        owner = catalog.key_of(name)
        if owner not in (None, key):
            raise InvalidFields(f"{name} is already a name of the model {owner}", field=field)


def _check_texts(asked: DownloadRequest) -> None:
    """Raise InvalidFields for a text that goes into requests and messages as it is."""
    for field in ("model_id", "name", "task", "revision", "vocoder_model"):
        if not (getattr(asked, field) or "").isprintable():
            raise InvalidFields("must have no control characters", field=field)
    if asked.vocoder_model is not None and not REPOSITORY.fullmatch(asked.vocoder_model):
        raise InvalidFields(
            "must be the id of a model on the hub: owner/name", field="vocoder_model"
        )
    if asked.revision is not None and not REVISION.fullmatch(asked.revision):
        raise InvalidFields("must be a branch, a tag or a commit", field="revision")


def _check_address(url: str, hosts: Collection[str]) -> None:
    try:
        has_user = parse_address(url).has_user
        archive_name(url)
        AddressGuard(hosts).check_written(url)
    except DownloadFailed as exc:
        raise InvalidFields(str(exc), field="model_id") from exc
    if has_user:  # it would be kept on the disk, and shown to every host that a redirect names
        raise InvalidFields(
            "an address must contain neither a user name nor a password", field="model_id"
        )


def _check_local(name: str) -> None:
    try:
        checked_name(name)
    except DownloadFailed as exc:
        raise InvalidFields(str(exc), field="model_id") from exc
