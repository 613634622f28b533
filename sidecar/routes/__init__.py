"""The endpoints: bytes in, a checked request, an answer out.

root                   GET /
health                 GET /health, /livez and /readyz
info                   GET /info
stats                  GET /stats
config                 GET /config
documents              GET /openapi.json, /docs and /metrics
predict                POST /predict
plain_predictions      POST /predict with one input: the fast path
speech_predictions     POST /predict with speech models
own_predictions        POST /predict with custom handlers
predictions            POST /predictions and /explanations, GET /ping: TorchServe's inference API
forwarded_predictions  POST /predictions/{name} with a custom handler: the fast path
torchserve_management  /models on a port of its own: TorchServe's management API
kserve                 POST /v1/models/{name}:predict and :explain, of KServe
instances              its instances, as the rows of custom handlers
sagemaker              POST /invocations and /models/{name}/invoke, of SageMaker
synthesize             POST /synthesize
speech_stream          its stream, sentence by sentence
transcribe             POST /transcribe
audio                  GET /audio/health, /tts/health and /audio/models
audio_validation       POST /audio/validate
models                 /models and /models/{name}
model_stock            GET /models/available, /models/managed and /models/cache/info
downloads              /models/download and what belongs to it
autoscaler             /autoscaler/…
logs                   /logs
openai                 /v1/…, as OpenAI's clients call it
open_inference         /v2/…, the Open Inference Protocol

What several of them share:

handler_requests       whole requests to custom handlers
handler_answers        what custom handlers answer, as /predict shows it
inputs                 tells one input from a batch, on the bytes
input_audio            requests with an audio file: forms, or audio inside JSON
listening              a recording at work: who listens to it, and what is heard
results                results that were kept
speech_models          which models speak and listen, and their states

`sidecar.web.route` says what a route is; `groups` gathers every module's ROUTES, and
`sidecar.web.openapi` makes the API document from the same list.
"""
