"""The Open Inference Protocol, version 2, below /v2.

server       what the server is, and its health
models       a model's tensors, and whether it is ready
infer        POST …/infer over HTTP: JSON, or JSON followed by the tensors' bytes
inference    what an inference does, over HTTP and gRPC alike
repository   listing, loading and unloading models
"""
