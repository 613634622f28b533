"""One module per endpoint: bytes in, a checked request, an answer out.

`route` says what a route is; `sidecar.app` gathers every module's ROUTES, and
`sidecar.web.openapi` makes the API document from the same list.
"""
