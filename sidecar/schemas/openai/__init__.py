"""The requests and answers of OpenAI's API, https://platform.openai.com/docs/api-reference.

Fields that OpenAI has and this server does not are ignored, as their clients expect.

models         GET /v1/models and /v1/models/{name}
embeddings     POST /v1/embeddings
completions    POST /v1/completions and /v1/chat/completions
rerank         POST /v1/rerank and /v2/rerank
speech         POST /v1/audio/speech and GET /v1/audio/voices
transcription  POST /v1/audio/transcriptions and /v1/audio/translations
requests       what all requests for inference have
errors         an error
"""
