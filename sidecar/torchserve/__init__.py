"""Everything that knows TorchServe.

client           its inference, management and metrics APIs
failures         how calls of it fail: it has gone, or it refuses
kept_connections kept connections to its inference API, and a call over one
job_connections  jobs over them, whose answer is wanted as a whole
forwarding       any request over them, whose answer may come piece by piece
key_file         the tokens that it makes at each start
worker_log       what its workers wrote about loads that failed
engine_watch     whether it answers, by its pings
process          starts and stops one of our own
starter          the program that runs it, and lets the kernel end it with the sidecar
supervisor       keeps that one running: starts it again when it dies or freezes
worker_template  the process that workers are forked from: keeps it running
batch_sizes      tells workers whose batches come as one request
forked_workers   programs of their own: that process, and what TorchServe starts in place of Python
java             finds the Java that runs it
"""
