"""Where the models of a stage lie: found in the loaded objects, read from their parameters and sessions.

Owns the search. Nothing is taken from options or names: a model that Docling put elsewhere than it was told is found
there. Refuses to judge (`stage_audit`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sir_convert_a_lot.infrastructure.engines.ocr import device_of

# How deep a model lies in its stage: the deepest today is stage -> reader -> recogniser -> session -> network, 5.
MAX_DEPTH = 8
PLAIN = (str, bytes, int, float, complex, bool, type(None), type)


@dataclass(frozen=True, slots=True)
class StageModels:
    """The torch modules and ONNX sessions that one stage computes with. Both empty: the stage has no model."""

    modules: tuple[Any, ...] = ()  # torch.nn.Module, outermost only
    sessions: tuple[Any, ...] = ()  # onnxruntime.InferenceSession

    @property
    def has_any(self) -> bool:
        return bool(self.modules or self.sessions)

    def module_devices(self) -> tuple[str, ...]:
        """Every device that a parameter or a buffer of these modules lies on, as "cpu" or "cuda:N", sorted."""
        return tuple(sorted({str(tensor.device) for module in self.modules for tensor in _tensors_of(module)}))

    def session_devices(self) -> tuple[tuple[str, ...], str]:
        """(devices, how it was seen) of the ONNX sessions, from the providers that each really has."""
        if not self.sessions:
            return (), ""
        device, seen = device_of([_providers_of(session) for session in self.sessions])
        return (device,), seen


def find_models(stage: Any) -> StageModels:
    """Every torch module and ONNX session reachable from `stage` through attributes and containers."""
    search = _Search()
    search.visit(stage, 0)
    return StageModels(tuple(search.modules), tuple(search.sessions))


@dataclass(slots=True)
class _Search:
    modules: list[Any] = field(default_factory=list)
    sessions: list[Any] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def visit(self, thing: Any, depth: int) -> None:
        if isinstance(thing, PLAIN) or id(thing) in self.seen or depth > MAX_DEPTH:
            return
        self.seen.add(id(thing))
        if _is_a(thing, "torch.nn.modules.module", "Module"):
            self.modules.append(thing)
        elif _is_a(thing, "onnxruntime.capi.onnxruntime_inference_collection", "InferenceSession"):
            self.sessions.append(thing)
        else:
            for part in _parts_of(thing):
                self.visit(part, depth + 1)


def _is_a(thing: Any, module: str, name: str) -> bool:
    """By the name of a base class, so that neither torch nor ONNX Runtime need be importable."""
    return any(kind.__name__ == name and kind.__module__ == module for kind in type(thing).__mro__)


def _parts_of(thing: Any) -> Iterator[Any]:
    if isinstance(thing, dict):
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set)):
        yield from thing
    else:
        yield from getattr(thing, "__dict__", {}).values()


def _tensors_of(module: Any) -> Iterator[Any]:
    yield from module.parameters()
    yield from module.buffers()


def _providers_of(session: Any) -> list[tuple[str, str]]:
    options = session.get_provider_options()
    return [(name, str(options.get(name, {}).get("device_id", ""))) for name in session.get_providers()]
