"""Take the next jobs off DBOS's queue now, instead of at DBOS's next poll.

DBOS polls its queues; at 0.1 s that alone adds about 105 ms to every job. The claim that its poller makes is made here
instead, as soon as a job was queued or a worker came free: one transaction that moves rows from ENQUEUED to PENDING, by
priority and age. DBOS's own poller is told not to listen to the queue (`runtime`), so that jobs are claimed by one
hand, and never more of them than there are workers.

DBOS has no public call for this. The private names here are of dbos 3.4.0, which is pinned exactly; a test holds
them.
"""

from __future__ import annotations

import logging

import structlog
from dbos import Queue
from dbos._core import execute_dequeued_workflow
from dbos._dbos import _get_dbos_instance
from dbos._error import MaxRecoveryAttemptsExceededError
from dbos._utils import GlobalParams, generate_uuid

logger = logging.getLogger(__name__)


def claim_next(queue: Queue, running: int) -> tuple[set[str], set[str]]:
    """Claim and start as many jobs as the queue's worker concurrency leaves room for beside `running` ones.

    Returns the ids that were started, and those given up because they were running each time the service died.
    Blocking. Must not be called from the event loop's thread: DBOS hands the workflows to that loop and waits.
    """
    dbos = _get_dbos_instance()
    owner = generate_uuid()
    database = dbos._sys_db  # noqa: SLF001 - see above
    ids, _ = database.start_queued_workflows(
        queue, GlobalParams.executor_id, GlobalParams.app_version, None, running, owner_xid=owner
    )
    started: set[str] = set()
    given_up: set[str] = set()
    for status in database.get_workflow_statuses(ids):
        job_id = status["workflow_uuid"]
        if status["status"] != "PENDING":  # canceled between the claim and here: there is nothing to start
            continue
        try:
            execute_dequeued_workflow(dbos, status, owner)
            started.add(job_id)
        except MaxRecoveryAttemptsExceededError:
            given_up.add(job_id)
        except Exception:  # one job's boundary: DBOS marked it as failed, and the others go on
            with structlog.contextvars.bound_contextvars(job_id=job_id):
                logger.exception("job %s could not be started", job_id)
            given_up.add(job_id)
    return started, given_up
