"""Everything that knows TorchServe.

client    its inference, management and metrics APIs
key_file  the tokens it makes at each start
process   starting, watching and stopping one of our own
java      which Java runs it
metrics   what its metrics API counted
"""
