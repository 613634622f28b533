"""OpenAI's API: its requests and answers, mapped to those of this server's own endpoints.

The work is done by the functions of /synthesize, /transcribe and /predict.

models         GET /v1/models and /v1/models/{name}
embeddings     POST /v1/embeddings
completions    POST /v1/completions and /v1/chat/completions
rerank         POST /v1/rerank and /v2/rerank
speech         POST /v1/audio/speech and GET /v1/audio/voices
transcription  POST /v1/audio/transcriptions and /v1/audio/translations
names          what OpenAI's names of models and voices stand for
"""
