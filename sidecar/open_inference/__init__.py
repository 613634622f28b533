"""The Open Inference Protocol, version 2, independent of HTTP and gRPC: tensors in, tensors out.

datatypes    the datatypes of tensors
elements     a tensor's elements: reading them from JSON or bytes, and writing them
signature    which tensors a model takes and returns
parameters   the parameters of a request: priority, timeout, those of the model
exchange     conversion of a request's tensors to a model's inputs, and of its results to tensors
"""
