"""HEAD, answered as GET would be: the server drops the body.

An event stream has no end to wait for, so there HEAD stays refused.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadAsGet:
    """The outermost layer: everything inside sees GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and self.applies_to(scope["path"]):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)

    @staticmethod
    def applies_to(path: str) -> bool:
        return not path.endswith("/events")
