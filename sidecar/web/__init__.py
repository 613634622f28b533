"""The HTTP machinery behind the routes.

request_head  what may be taken from a request's head
body_reader   a request's body, received and inflated within its limits
body_budget   how much memory and disk all bodies together may take
json_budget   how much structure one JSON body may have
"""
