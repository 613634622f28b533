"""Everything that knows TorchServe.

client           its inference, management and metrics APIs
kept_connections kept connections to its inference API
job_connections  jobs over them
forwarding       whole requests over them
key_file         the tokens that it makes at each start
worker_log       what its workers wrote about loads that failed
engine_watch     whether it answers, by its pings
process          starts and stops one of our own
supervisor       keeps that one running: starts it again when it dies or freezes
java             finds the Java that runs it
"""
