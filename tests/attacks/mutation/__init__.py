"""Good requests to every route, changed until they are not good any more.

`examples` has the good ones, `changes` all that is done to them, `requests` makes the request
with a number of a seed, and `checks` sends many and says what was wrong with the answers.
"""
