"""The models of one program: every one there is, and the names by which people ask for them."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping

from sidecar.catalog.catalog import Catalog
from sidecar.errors import ModelNotReady, Unavailable
from sidecar.models.history import History
from sidecar.models.model import Model, Runtime
from sidecar.models.states import STARTING, State
from sidecar.scheduling.dispatcher import DispatcherFactory
from sidecar.scheduling.entry_queue import EntryQueue
from sidecar.schemas.model_spec import ModelSpec

Build = Callable[[str, ModelSpec], Model]


class ModelRegistry(Mapping[str, Model]):
    """One `Model` for each entry of the catalog, by key, in load order.

    It alone replaces *catalog*, and always together with the models.
    """

    def __init__(
        self,
        catalog: Catalog,
        dispatchers: DispatcherFactory,
        history: History,
        nudged: asyncio.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalog = catalog
        self._clock = clock
        self._nudged = nudged
        self._build: Build = lambda key, spec: Model(key, spec, dispatchers, history, nudged, clock)
        self._torchserve_answers = False
        self._models: dict[str, Model] = {}
        self._overruled: set[str] = set()
        self._enabled: list[Model] = []
        self._queues: list[EntryQueue] = []
        self._arrange({key: self._build(key, spec) for key, spec in catalog.items()})

    def __getitem__(self, key: str) -> Model:
        return self._models[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def find(self, name: str) -> Model | None:
        """Return the model that has *name*: its key, its hub id or an alias."""
        if name in self._models:
            return self._models[name]
        key = self.catalog.key_of(name)
        return None if key is None else self._models[key]

    def require(self, name: str, *, called: str | None = None, field: str = "model_name") -> Model:
        """Return the model that has *name*.  Raises ModelNotFound as `Catalog.require` does."""
        if name in self._models:
            return self._models[name]
        return self._models[self.catalog.require(name, called=called, field=field)]

    # What comes and goes while the program runs

    def check_entry(self, key: str, spec: ModelSpec) -> None:
        """Raise CatalogError if an entry of models.json cannot be added: a name is taken."""
        self.catalog.with_entry(key, spec)

    def put_entry(self, key: str, spec: ModelSpec) -> None:
        """Enter *key* as its entry in models.json now says, as a new model.

        Raises CatalogError.
        """
        self.catalog = self.catalog.with_entry(key, spec)
        self._begin_life(key, "its entry in models.json has changed")

    def is_overruled(self, key: str) -> bool:
        """Return whether an operator has overruled, until the next start, what files say of *key*.

        They registered it with settings of its own, changed its workers' limits, or took it out.
        """
        return key in self._overruled

    def overrule(self, model: Model, spec: ModelSpec | None = None) -> None:
        """Let what *model* is count before what files say of it; with *spec*, it is that now.

        The two may differ in the limits of its workers.
        """
        self._overruled.add(model.key)
        if spec is not None:
            self.catalog = self.catalog.with_spec(model.key, spec)
            model.change_spec(spec)

    def withdraw(self, model: Model, reason: Unavailable) -> None:
        """Take out *model*, whatever files say of it, until it is entered by name."""
        self.catalog = self.catalog.without(model.key)
        self._arrange(self._models)
        self._overruled.add(model.key)
        model.retire(reason)

    def check(self, key: str, spec: ModelSpec) -> None:
        """Raise CatalogError if a download cannot be entered: one of its names is taken."""
        if self._is_downloaded(key):
            self.catalog.with_download(key, spec)

    def put(self, key: str, spec: ModelSpec) -> None:
        """Enter the new archive of *key* as a new model, which can be loaded.

        *spec* is that of the download; for a model of models.json, its own entry counts.
        Raises CatalogError.
        """
        if self._is_downloaded(key):
            self.catalog = self.catalog.with_download(key, spec)
        model = self._begin_life(key, "it is replaced by a new download")
        if model.state is State.AVAILABLE:
            model.mark_archived("it was downloaded")

    def _begin_life(self, key: str, why: str) -> Model:
        """Return a new model for *key*; retire a former one, and tell its requests *why*."""
        if key in self._models:
            self._models[key].retire(
                ModelNotReady(f"{key}: {why}", field="model_name", retry_after=5)
            )
        model = self._build(key, self.catalog[key])
        self._arrange({**self._models, key: model})
        self._overruled.discard(key)
        if self._torchserve_answers:
            model.find_torchserve()
        self._nudged.set()
        return model

    def drop(self, model: Model, reason: Unavailable) -> None:
        """Remove *model*, whose archive is gone; one of models.json stays, without an archive."""
        if self.catalog.is_own(model.key):
            self.catalog = self.catalog.without(model.key)
            self._arrange(self._models)
            model.retire(reason)
        elif model.enabled:
            model.mark_available()

    def _arrange(self, models: Mapping[str, Model]) -> None:
        self._models = {key: models[key] for key in self.catalog}
        self._enabled = [model for model in self._models.values() if model.enabled]
        self._queues = [model.dispatcher.queue for model in self._enabled]

    def _is_downloaded(self, key: str) -> bool:
        return key not in self.catalog or self.catalog.is_own(key)

    # What concerns all of them

    def find_torchserve(self) -> None:
        """Note that TorchServe answers."""
        self._torchserve_answers = True
        for model in self.values():
            model.find_torchserve()

    def lose_torchserve(self, reason: str) -> None:
        """Note that TorchServe does not answer: nothing can be asked of any model."""
        self._torchserve_answers = False
        for model in self.values():
            model.lose_torchserve(reason)

    async def stop(self, reason: Unavailable) -> None:
        """Refuse everything queued or in flight, for good."""
        for model in self.values():
            model.retire(reason)
        await asyncio.gather(*(model.dispatcher.cancel_jobs() for model in self._enabled))

    @property
    def all_tried(self) -> bool:
        """Whether every auto_load model can be used, or has failed before."""
        wanted = [self[key] for key in self.catalog.auto_load()]
        return all(model.usable or model.error is not None for model in wanted)

    def are_usable(self, *, every_one: bool) -> bool:
        """Return whether the auto_load models take requests, or are woken by one.

        With *every_one*, a model that cannot be loaded makes this false, and so does a wrong entry
        of models.json.  Otherwise it is enough that one of the models is usable.
        """
        wanted = [self[key] for key in self.catalog.auto_load()]
        if every_one:
            return not self.catalog.broken and all(model.usable for model in wanted)
        return self.all_tried and (not wanted or any(model.usable for model in wanted))

    @property
    def enabled(self) -> list[Model]:
        """Those that can be used at all."""
        return self._enabled

    @property
    def queued(self) -> int:
        """How many inputs wait, of all models."""
        return sum(map(len, self._queues))

    @property
    def active_loads(self) -> int:
        """How many are being loaded."""
        return sum(
            model.operation is not None and model.state in STARTING for model in self.values()
        )

    def runtimes(self) -> list[Runtime]:
        """Return what the handlers of all loaded models say of themselves."""
        return [model.runtime for model in self.values() if model.runtime is not None]

    def worker_pids(self) -> list[int]:
        """Return the processes of all READY workers."""
        return [pid for model in self.values() for pid in model.pids]

    def troubles(self) -> dict[str, str]:
        """Return what is wrong with entries, or why models cannot be loaded, or die, by key.

        A model without an archive counts only if it is to be loaded at the start.
        """
        now = self._clock()
        found: dict[str, str | None] = dict(self.catalog.broken)
        for key, model in self.items():
            missing = model.state is State.AVAILABLE and not model.wanted
            found[key] = (None if missing else model.error) or model.crashes.trouble(now)
        return {key: text for key, text in found.items() if text}
