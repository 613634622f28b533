"""The requests and answers of OpenAI's API, https://platform.openai.com/docs/api-reference.

Fields of OpenAI's that this server does not know are ignored, as clients expect.

models         GET /v1/models and /v1/models/{name}
embeddings     POST /v1/embeddings
completions    POST /v1/completions and /v1/chat/completions
rerank         POST /v1/rerank and /v2/rerank
speech         POST /v1/audio/speech and GET /v1/audio/voices
transcription  POST /v1/audio/transcriptions and /v1/audio/translations
requests       the fields that all inference requests share; alone because five modules import it
errors         an error; alone because the middleware uses it for every route below /v1
"""
