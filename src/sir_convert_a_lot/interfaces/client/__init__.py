"""A small typed client of the v1 API: it speaks the contract as any stranger would, and knows nothing of the server.

`service.ServiceClient` is the way in; the command line and the evidence lanes use it.
"""
