"""The HTTP machinery behind the routes.

acceptor      the listening socket: how many connections there are, and what if there are too many
connections   all open connections, and how they end
connection    one of them: its time limits, and the answers to what is no valid request
request_head  what may be taken from a request's head
body_reader   a request's body, received and inflated within its limits
body_budget   how much memory and disk all bodies together may take
json_budget   how much structure one JSON body may have
turns         how many requests begin in one turn of the event loop, and whose
"""
