"""Counts the operations that torch dispatches, by the device of the tensors they make.

Owns the counting. It sees what runs, not what was configured: an operation that fell back to the CPU counts there.
Refuses to run for a whole job: the first operations of a stage tell, and each counted one costs some microseconds.

Two ways in, both of which end by themselves:
- `around_modules`: inside the calls of modules, through torch's global module hooks. Hooks on the modules themselves
  would change what torch computes: its transformer layers leave their fast path for them.
- `everywhere`: all that a block runs, for stages that should dispatch nothing at all.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

# Enough to tell a stage that works from one that does not. Counting one costs 5 to 25 microseconds on the CPU
# (benchmarks/receipt_overhead.py), a layout model is some 2,000 of them, and TableFormer's decoder tens of thousands.
ENOUGH_OPERATIONS = 200


class OperationRecord:
    """What one stage dispatched. Filled by the stage's own thread, read when the job is over."""

    def __init__(self) -> None:
        self.by_device: Counter[str] = Counter()
        self.module_calls = 0

    @property
    def total(self) -> int:
        return self.by_device.total()

    @property
    def is_enough(self) -> bool:
        return self.total >= ENOUGH_OPERATIONS

    def told(self) -> str:
        counts = ", ".join(f"{device} {count}" for device, count in sorted(self.by_device.items()))
        return f"torch_operations: {counts or 'none'}"


class ModuleHooks:
    """The pair of global hooks, there only while some stage of the job still counts: they slow every module call."""

    def __init__(self) -> None:
        self._current = threading.local()
        self._lock = threading.Lock()
        self._counting = 0
        self._handles: list[Any] = []

    @contextmanager
    def around_modules(self, record: OperationRecord) -> Iterator[None]:
        """Count inside the module calls that this thread makes, until there are enough."""
        self._current.span = span = _Span(record, self._release)
        self._acquire()
        try:
            yield
        finally:
            self._current.span = None
            span.end()

    def _acquire(self) -> None:
        from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

        with self._lock:
            self._counting += 1
            if not self._handles:
                self._handles = [
                    register_module_forward_pre_hook(self._enter),
                    register_module_forward_hook(self._leave, always_call=True),
                ]

    def _release(self) -> None:
        with self._lock:
            self._counting -= 1
            if not self._counting:
                for handle in self._handles:
                    handle.remove()
                self._handles = []

    def _enter(self, _module: Any, _arguments: Any) -> None:
        span = getattr(self._current, "span", None)
        if span is not None:
            span.enter()

    def _leave(self, _module: Any, _arguments: Any, _result: Any) -> None:
        span = getattr(self._current, "span", None)
        if span is not None:
            span.leave()


@contextmanager
def everywhere(record: OperationRecord) -> Iterator[None]:
    """Count every operation that this thread dispatches in the block."""
    with _counting_mode(record):
        yield


class _Span:
    """One thread's counting: in every outermost module call from its start to its end, until enough was seen.

    Then it ends at the next boundary of a module, and calls `ended`, once.
    """

    def __init__(self, record: OperationRecord, ended: Callable[[], None]) -> None:
        self._record = record
        self._ended = ended
        self._has_ended = False
        self._depth = 0
        self._mode: Any = None

    def enter(self) -> None:
        self._depth += 1
        if self._record.is_enough:
            self.end()
        elif self._depth == 1:
            self._record.module_calls += 1
            self._mode = _counting_mode(self._record)
            self._mode.__enter__()

    def leave(self) -> None:
        self._depth -= 1
        if self._record.is_enough:
            self.end()
        elif self._depth == 0:
            self._close()

    def end(self) -> None:
        self._close()
        if not self._has_ended:
            self._has_ended = True
            self._ended()

    def _close(self) -> None:
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            self._mode = None


def _counting_mode(record: OperationRecord) -> Any:
    return _mode_class()(record)


@lru_cache(maxsize=1)
def _mode_class() -> Any:
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode

    class CountingMode(TorchDispatchMode):  # type: ignore[misc] # torch is not checked
        def __init__(self, record: OperationRecord) -> None:
            super().__init__()
            self._record = record

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # nothing is compiled here, and asking would import the compiler

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if not func.is_view:  # a view computes nothing
                made = result[0] if isinstance(result, (tuple, list)) and result else result
                if isinstance(made, Tensor):
                    self._record.by_device[str(made.device)] += 1
            return result

    return CountingMode
