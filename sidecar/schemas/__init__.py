"""The shapes of requests, responses and models.json: type, check and documentation in one.

core           the core endpoints
predict        POST /predict
synthesis      POST /synthesize
transcription  POST /transcribe
audio          /audio/… and /tts/…
models         /models and /models/{name}
downloads      /models/download and what belongs to it
autoscaler     /autoscaler/…
logs           /logs
torchserve     TorchServe's own API
torchserve_management  TorchServe's management API
openai         /v1/…, as OpenAI's clients call it
open_inference /v2/…, the Open Inference Protocol
model_spec     models.json
inline_audio   an audio file inside JSON
languages      languages by the names that people and programs give them
priority       how urgent a request is
"""
