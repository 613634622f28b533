"""The Open Inference Protocol, version 2, without its transports: tensors in, tensors out.

datatypes    the types of a tensor's elements
elements     a tensor's elements: read from JSON or bytes, checked against its shape, written again
signature    which tensors a model takes and answers
parameters   what a request says beside its tensors: priority, time-out, the model's own
exchange     a request's tensors as a model's inputs, and its results as tensors
"""
