"""All routes, in groups: in the order in which a newcomer needs them."""

from sidecar.routes import (
    audio,
    audio_validation,
    autoscaler,
    config,
    documents,
    downloads,
    health,
    info,
    kserve,
    logs,
    model_stock,
    models,
    predict,
    predictions,
    root,
    sagemaker,
    stats,
    synthesize,
    transcribe,
)
from sidecar.routes.open_inference import infer as open_inference_infer
from sidecar.routes.open_inference import models as open_inference_models
from sidecar.routes.open_inference import repository as open_inference_repository
from sidecar.routes.open_inference import server as open_inference_server
from sidecar.routes.openai import completions as openai_completions
from sidecar.routes.openai import embeddings as openai_embeddings
from sidecar.routes.openai import models as openai_models
from sidecar.routes.openai import rerank as openai_rerank
from sidecar.routes.openai import speech as openai_speech
from sidecar.routes.openai import transcription as openai_transcription
from sidecar.web.route import RouteGroup

GROUPS = (
    RouteGroup(
        "Predict",
        "Run any model of the catalog on one input or a batch. Begin here: the example answers "
        "at once. `GET /models` lists the models.",
        [*predict.ROUTES, *predictions.ROUTES, *kserve.ROUTES, *sagemaker.ROUTES],
    ),
    RouteGroup(
        "Speech",
        "Text to speech, speech to text, and facts about voices, recognisers and audio files.",
        [
            *synthesize.ROUTES,
            *transcribe.ROUTES,
            *audio_validation.ROUTES,
            *audio.ROUTES,
        ],
    ),
    RouteGroup(
        "Models",
        "Which models there are and how they are; loading, scaling and downloading them needs a "
        "token with the scope `admin`.",
        [*models.ROUTES, *model_stock.ROUTES, *downloads.ROUTES],
    ),
    RouteGroup(
        "OpenAI",
        "The protocol of OpenAI's clients: give them this server's address with `/v1` as their "
        "base, and they work as they are. Names of OpenAI's models and voices mean ours. Documents "
        "are ranked for the clients of Jina and Cohere.",
        [
            *openai_models.ROUTES,
            *openai_embeddings.ROUTES,
            *openai_completions.ROUTES,
            *openai_rerank.ROUTES,
            *openai_speech.ROUTES,
            *openai_transcription.ROUTES,
        ],
    ),
    RouteGroup(
        "Open Inference",
        "Version 2 of the protocol that KServe and Triton have in common, for their clients: "
        "tensors in, tensors out. `tritonclient` works as it is, over HTTP and, where that is "
        "turned on, over gRPC.",
        [
            *open_inference_infer.ROUTES,
            *open_inference_models.ROUTES,
            *open_inference_server.ROUTES,
            *open_inference_repository.ROUTES,
        ],
    ),
    RouteGroup(
        "Operations",
        "How the server is, what it does, and how it is set up: probes, statistics, metrics, "
        "settings, the autoscaler, logs, and these documents.",
        [
            *root.ROUTES,
            *health.ROUTES,
            *info.ROUTES,
            *stats.ROUTES,
            *config.ROUTES,
            *autoscaler.ROUTES,
            *logs.ROUTES,
            *documents.ROUTES,
        ],
    ),
)
ROUTES = [route for group in GROUPS for route in group.routes]
