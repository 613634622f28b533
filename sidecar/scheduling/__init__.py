"""What runs when.

scheduler       takes requests, makes queue entries of their inputs, and returns the answers
entry           one input that waits, and the reply that it owns
request_queue   the bounded priority queue of one model (pure)
dispatcher      sends what waits as soon as a slot is free: in-flight batching
runner          the jobs in flight, and what becomes of entries that were not answered
job_runner      runs one job: a batch goes to TorchServe, each entry gets its own answer
gathering       when short jobs are sent, so that they are few and full (pure)
urgency         how large a job with urgent inputs may be (pure)
writing_job     runs a job whose answers arrive in pieces, as they are written
request_runner  forwards one request to a custom handler
bursts          when those are sent, so that TorchServe's batches are full (pure)
traced_runners  the same two, telling their spans to who exports them
job             the bytes that go to the handler and come back
circuit_breaker stops sending to a model whose jobs keep failing (pure)
"""
