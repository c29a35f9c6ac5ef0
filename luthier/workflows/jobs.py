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
    """Run `workflow`, or go on with the one of that name that was cut off or failed; its result.

    A failed workflow is forked at the step that failed: what was done before is not done again.
    """
    unfinished = [
        s for s in DBOS.list_workflows(workflow_id_prefix=f"{name}-", sort_desc=True) if s.status != "SUCCESS"
    ]
    if unfinished:
        newest = unfinished[0]
        going_on = newest.status == "PENDING"
        handle: WorkflowHandle[dict[str, Any]] = (
            DBOS.retrieve_workflow(newest.workflow_id)
            if going_on
            else DBOS.fork_workflow(newest.workflow_id, failed_step(newest.workflow_id))
        )
        result: dict[str, Any] = handle.get_result()
        return result
    number = len(DBOS.list_workflows(workflow_id_prefix=f"{name}-")) + 1
    with SetWorkflowID(f"{name}-{number}"):
        return workflow(*arguments)


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
