"""`python -m luthier.api`: the gateway and the control routes of one project, in front of an engine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from luthier.api import control
from luthier.api.desk import open_desk
from luthier.errors import LuthierError, as_dict
from luthier.gateway import app
from luthier.process import end_with_parent
from luthier.workflows.session import Session


def application(session: Session, engine_url: str) -> Starlette:
    """The whole API as one app; policies are learnt before it answers."""
    desk = open_desk(session, engine_url)
    desk.warm()
    return Starlette(routes=[*app.routes(desk), *control.routes(session, desk)], exception_handlers=app.HANDLERS)


def main() -> int:
    """Serve until stopped; the last line of standard error is the error as JSON, if there was one."""
    end_with_parent()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    try:
        session = Session.open(given.project, create=False)
        try:
            uvicorn.run(application(session, given.engine), host=given.host, port=given.port, log_level="warning")
        finally:
            session.close()
    except LuthierError as error:
        sys.stderr.write(json.dumps(as_dict(error)) + "\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
