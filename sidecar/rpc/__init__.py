"""The Open Inference Protocol over gRPC.  Off unless the settings give it a port.

server              the listening port, TLS and shutdown
methods             what each method of the service does
messages            conversion between the protocol's messages and tensors
call                one call: its id, credential, limits, log line, and its error as a gRPC status
receipts            how many messages may be received at the same time
calls               counts unanswered calls, so that a shutdown can wait for them
open_inference_pb2  the messages, generated from open_inference.proto
"""
