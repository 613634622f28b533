"""The Open Inference Protocol over gRPC, on a port of its own; off unless the settings name one.

server              the listening port, TLS, and how it ends
methods             what each method of the service does
messages            the protocol's messages as tensors, and tensors as messages
call                one call at the door: its id, credential, limits, log line, errors as statuses
receipts            how many messages may be on their way in at once
calls               how many calls there are: a stop waits for them
open_inference_pb2  the messages, generated from open_inference.proto
"""
