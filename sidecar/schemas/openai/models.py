"""GET /v1/models and /v1/models/{id}."""

from typing import Literal

import msgspec


class ListedModel(msgspec.Struct):
    """One model.  *created*: when its archive was written, in epoch seconds; null without one.

    *owned_by* is who published it, by its hub id; *state* and *task* are ours.  *name* and *ready*
    are what KServe's clients read at the same address: ready if a request is answered, after a
    wake if need be.
    """

    id: str
    object: Literal["model"]
    created: int | None
    owned_by: str
    task: str
    state: str
    name: str
    ready: bool


class ModelListing(msgspec.Struct):
    """The enabled models that are here, in load order.  *models* are their names, for KServe."""

    object: Literal["list"]
    data: list[ListedModel]
    models: list[str]
