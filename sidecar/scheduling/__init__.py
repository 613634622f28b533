"""What runs when.

scheduler       takes requests, makes queue entries of their inputs, and returns the answers
entry           one input that waits, and the forms of its reply
entry_queue     the bounded priority queue of one model (pure)
dispatcher      hands what waits to the model's runner as soon as it is to be sent
runner          the jobs in flight, and what becomes of entries that were not answered
plan            what a runner decides: how many jobs to send, or when to look again (pure)
job_runner      runs one job: a batch goes to TorchServe, each entry gets its own answer
gathering       when short jobs are sent, so that they are few and full (pure)
urgency         how large a job with urgent inputs may be (pure)
writing_runner  runs a job whose answers arrive in pieces, as they are written
batch_runner    runs a batch of requests to a custom handler as one job
request_batch   the bytes of such a batch, and of its answer
request_runner  forwards one request to a custom handler, where TorchServe makes the batches
bursts          when requests to custom handlers are sent, so that batches are full (pure)
piece_stream    a custom handler's body on its way to the client, piece by piece
traced_runners  the runners again, which also make the spans of what they run
job_format      the bytes that go to the handler and come back
circuit_breaker stops sending to a model whose jobs keep failing (pure)
"""
