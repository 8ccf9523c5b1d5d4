"""Which engines this installation has, and how one is loaded.

Owns the list of engine names with the package and the module behind each. Refuses to import an engine before it is
asked for: the API process only needs the names.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, cast

from sir_convert_a_lot.domain.engine import Engine
from sir_convert_a_lot.domain.errors import ValidationError


@dataclass(frozen=True, slots=True)
class _Offer:
    """An engine: our module and class for it, the package it stands on and the extra that brings the package."""

    name: str
    module: str
    class_name: str
    package: str
    extra: str | None = None

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None and find_spec(self.module) is not None


_ENGINES = __package__
_OFFERS = (
    _Offer("builtin", f"{_ENGINES}.builtin.engine", "BuiltinEngine", "pypdfium2"),
    _Offer("docling", f"{_ENGINES}.docling.engine", "DoclingEngine", "docling", "docling"),
    _Offer("pymupdf", f"{_ENGINES}.pymupdf", "PymupdfEngine", "pymupdf", "pymupdf"),
)


def installed_engines() -> tuple[str, ...]:
    """Names of the engines that can be loaded here. Imports none of them, nor the packages they stand on."""
    return tuple(offer.name for offer in _OFFERS if offer.is_installed)


def load_engine(name: str, **arguments: Any) -> Engine:
    """The engine of that name, imported now and made with these arguments. Raises as `require_engine` does."""
    offer = _find(name)
    return cast("Engine", getattr(importlib.import_module(offer.module), offer.class_name)(**arguments))


def require_engine(name: str) -> None:
    """Raise `ValidationError` (`backend_not_available`) when this installation has no such engine."""
    _find(name)


def _find(name: str) -> _Offer:
    offer = next((offer for offer in _OFFERS if offer.name == name), None)
    if offer is None or not offer.is_installed:
        raise ValidationError(
            f"this installation has no engine {name!r}; it has {', '.join(installed_engines())}",
            details={
                "field": "conversion.backend_strategy",
                "reason": "backend_not_available",
                "requested": name,
                "available": list(installed_engines()),
            },
        )
    return offer
