"""Work that lasts: DBOS workflows, on SQLite in the workspace or on PostgreSQL by URL. Killed anywhere, they go on.

What DBOS keeps (arguments, results, errors) is JSON: no pickle.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dbos import DBOS, DBOSClient, Serializer, SetWorkflowID, WorkflowHandle

from luthier import __version__
from luthier.errors import LuthierError, RunFailed, as_dict, from_dict

URL = "LUTHIER_JOBS_URL"
FILE = "jobs.db"
ACTIVE = ("PENDING", "ENQUEUED", "DELAYED")
"""States in which DBOS goes on with a workflow by itself."""


class Json(Serializer):
    """Arguments, results and errors as JSON."""

    def serialize(self, data: Any) -> str:
        if isinstance(data, LuthierError):
            return json.dumps({"error": as_dict(data)})
        if isinstance(data, BaseException):
            return json.dumps({"error": as_dict(RunFailed(f"{type(data).__name__}: {data}", "see the log of the job"))})
        return json.dumps({"value": data})

    def deserialize(self, serialized_data: str) -> Any:
        kept = json.loads(serialized_data)
        return from_dict(kept["error"]) if "error" in kept else kept["value"]

    def name(self) -> str:
        return "luthier_json"


class Job(NamedTuple):
    """One workflow as it stands."""

    id: str
    name: str
    status: str
    steps: tuple[str, ...]
    """Steps that are behind it."""


def database(workspace: Path) -> str:
    """Where jobs are kept: `LUTHIER_JOBS_URL`, or a file in the workspace."""
    return os.environ.get(URL) or f"sqlite:///{workspace / FILE}"


@contextlib.contextmanager
def launched(workspace: Path) -> Iterator[None]:
    """DBOS running on the jobs of `workspace`; those that were cut off are taken up again by themselves."""
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    DBOS(
        config={
            "name": "luthier",
            "system_database_url": database(workspace),
            "application_version": __version__,
            "log_level": "CRITICAL",
            "serializer": Json(),
            "run_migrations": True,
        }
    )
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


def run_or_resume(name: str, workflow: Callable[..., dict[str, Any]], *arguments: str) -> dict[str, Any]:
    """Run `workflow`, or go on with the newest of that name where it was cut off or failed; its result.

    A failed workflow is forked at the step that failed: what was done before is not done again. So is one that
    another version of Luthier began, which DBOS does not take up by itself.
    """
    known = DBOS.list_workflows(workflow_id_prefix=f"{name}-", sort_desc=True)
    newest = known[0] if known else None
    with SetWorkflowID(f"{name}-{len(known) + 1}"):
        if newest is None or newest.status == "SUCCESS":
            return workflow(*arguments)
        if newest.status not in ACTIVE or newest.app_version != __version__:
            forked = DBOS.fork_workflow(newest.workflow_id, failed_step(newest.workflow_id))
            return result_of(forked)
    return result_of(DBOS.retrieve_workflow(newest.workflow_id))


def result_of(handle: WorkflowHandle[dict[str, Any]]) -> dict[str, Any]:
    """What a workflow that runs in the background returns, or its error."""
    return handle.get_result()


def failed_step(workflow_id: str) -> int:
    """The number of the step that raised; the first one where none is known."""
    steps = DBOS.list_workflow_steps(workflow_id)
    failed = [step["function_id"] for step in steps if step["error"] is not None]
    return failed[0] if failed else len(steps) + 1


def ls(workspace: Path) -> list[Job]:
    """Every job of the workspace, the newest first."""
    if not os.environ.get(URL) and not (workspace / FILE).is_file():
        return []
    client = DBOSClient(system_database_url=database(workspace), serializer=Json())
    try:
        found = client.list_workflows(sort_desc=True)
        return [
            Job(
                status.workflow_id,
                status.name,
                status.status.lower(),
                tuple(step["function_name"] for step in client.list_workflow_steps(status.workflow_id)),
            )
            for status in found
        ]
    finally:
        client.destroy()
