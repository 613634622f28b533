"""The HTTP machinery behind the routes.

acceptor      the listening socket: how many connections there are, and what if there are too many
connections   all open connections, and how they end
connection    one of them: its time limits, and the answers to what is not a valid request
request_head  what may be taken from a request's head
body_reader   a request's body, received and inflated within its limits and those of all bodies
json_budget   how much structure one JSON body may have
answer_head   the headers of every answer, and heads that are written at once
fast_path     the fast path: plain requests, without aiohttp's request and response
known_head    a head that its connection has sent before, which is not parsed again
turns         how many requests begin in one turn of the event loop, and whose

middleware    what happens to every request: its id, its measurement, errors as answers
accounting    what is counted and logged of each request, whichever way it came
error_forms   how an error is written, by the clients that read it
admission     the door of every route: who asks, within which limits, and whether there is room
traced        requests and their admission as spans, for who exports them
body          a JSON body as a checked value
uploads       a form or an audio body as checked values
page          answers with an ETag
event_stream  server-sent events
route         what a route is, and what all answers have in common
openapi       the document of all routes
"""
