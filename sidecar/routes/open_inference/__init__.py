"""The Open Inference Protocol, version 2, below /v2.

server       what the server is, and its health
models       a model's tensors, and whether it is ready
infer        POST …/infer over HTTP: JSON, or JSON followed by the tensors' bytes
inference    one inference, however it came: over HTTP or gRPC
repository   which models there are; loading and unloading them
"""
