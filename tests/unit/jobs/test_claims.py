"""The private parts of DBOS that `claims` stands on. When an upgrade breaks this, look at `claims` before anything."""

from __future__ import annotations

import inspect
from importlib.metadata import version

from dbos import _core, _dbos, _error, _sys_db, _utils


def test_dbos_is_the_version_whose_private_names_are_used() -> None:
    assert version("dbos") == "3.4.0"


def test_dbos_has_the_private_calls_as_they_are_called() -> None:
    database = _sys_db.SystemDatabase
    claim = inspect.signature(database.start_queued_workflows)
    claim.bind("database", "queue", "executor", "version", None, 1, owner_xid="owner")
    assert list(claim.parameters)[5] == "local_running_count"
    inspect.signature(database.get_workflow_statuses).bind("database", ["job"])
    inspect.signature(_core.execute_dequeued_workflow).bind("dbos", {}, "owner")
    inspect.signature(_dbos._get_dbos_instance).bind()
    assert isinstance(_utils.generate_uuid(), str)
    assert {"executor_id", "app_version"} <= set(vars(_utils.GlobalParams))
    assert issubclass(_error.MaxRecoveryAttemptsExceededError, Exception)
