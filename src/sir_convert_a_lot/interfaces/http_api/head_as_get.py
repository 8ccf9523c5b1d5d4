"""HEAD, answered as GET would be: the server drops the body.

What counts and logs requests asks for the method that was sent, `asked_method`. An event stream has no end to wait for,
so there HEAD stays refused.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

ASKED = "sir_convert_a_lot.asked_method"


def asked_method(scope: Scope) -> str:
    """The method as the client sent it."""
    return str(scope.get(ASKED, scope["method"]))


class HeadAsGet:
    """The outermost layer: everything inside sees GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and self.applies_to(scope["path"]):
            scope = {**scope, "method": "GET", ASKED: "HEAD"}
        await self._app(scope, receive, send)

    @staticmethod
    def applies_to(path: str) -> bool:
        return not path.endswith("/events")
