"""GET /v1/models and /v1/models/{id}."""

from typing import Literal

import msgspec


class ListedModel(msgspec.Struct):
    """One model.  *created* is when its archive was written, in epoch seconds; null without one.

    *owned_by* is its publisher according to the hub id.  *state* and *task* are not OpenAI's.
    KServe's clients read *name* and *ready* at the same address: a model is ready if it answers
    requests, at once or after it has been woken.
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
    """The enabled models on this server, in load order.  *models* has their names, for KServe."""

    object: Literal["list"]
    data: list[ListedModel]
    models: list[str]
