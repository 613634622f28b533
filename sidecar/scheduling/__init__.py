"""What runs when.

entry          one input that waits, and the reply it owns
request_queue  the bounded priority queue of one model
job            the bytes that go to the handler and come back
dispatcher     takes what waits as soon as a slot is free: in-flight batching
scheduler      a request in, its answers out
"""
