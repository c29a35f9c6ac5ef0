"""Our own routes: each caller sees their own answers, readers see all, nobody sees what is not for them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from luthier.access import Audience
from luthier.api import control
from luthier.feedback import reviews
from luthier.gateway import app
from luthier.lm.client import Client
from luthier.store import keys
from luthier.workflows.session import Session
from tests.api.conftest import Engine
from tests.gateway.bench import IBAN, STAFF, Shelf, make_desk
from tests.workflows.making import World, a_trace

Headers = dict[str, str]


@pytest.fixture
def http(session: Session, made: World, engine: Engine) -> Iterator[TestClient]:
    recognise = partial(keys.recognise, session.workspace.ledger)
    desk = make_desk(Client(engine.url), session.workspace.traces.put, Shelf([]), recognise=recognise)
    routes = [*app.routes(desk), *control.routes(session, desk)]
    with TestClient(Starlette(routes=routes, exception_handlers=app.HANDLERS)) as client:
        yield client


def key(session: Session, name: str, role: str, audience: Audience = "public") -> Headers:
    return {"authorization": "Bearer " + keys.issue(session.workspace.ledger, name, (role,), audience, "owner")}


def test_health_is_for_anybody_and_nothing_else_is(http: TestClient, made: World) -> None:
    assert http.get("/health").json()["status"] == "ok"
    for path in ("traces", "why"):
        assert http.get(f"/luthier/v1/{path}/{made.trace.id}").status_code == 401
    assert http.post("/luthier/v1/feedback", json={"answer": made.trace.id, "rating": "up"}).status_code == 401


def test_a_trace_is_for_its_caller_and_for_readers(http: TestClient, session: Session, made: World) -> None:
    path = f"/luthier/v1/traces/{made.trace.id}"
    anna, eva = key(session, "anna", "caller"), key(session, "eva", "engineer")
    assert http.get(path, headers=anna).json()["answer"] == made.trace.answer
    assert http.get(path, headers=eva).json()["id"] == made.trace.id
    refused = http.get(path, headers=key(session, "ben", "caller"))
    assert refused.status_code == 403
    assert refused.json()["error"]["message"]
    assert http.get("/luthier/v1/traces/chatcmpl-nothing", headers=anna).status_code == 404


def test_what_was_kept_back_is_kept_back_here_too(http: TestClient, session: Session, made: World) -> None:
    held = a_trace(made.deployment, 1_700_000_000_005, draft="The code is 4711.", ending="refused", citations=())
    session.workspace.traces.put(held)
    path = f"/luthier/v1/traces/{held.id}"
    assert http.get(path, headers=key(session, "anna", "caller")).json()["draft"] == ""
    assert http.get(path, headers=key(session, "eva", "engineer")).json()["draft"] == held.draft


def test_documents_for_staff_are_not_read_through_a_trace(http: TestClient, session: Session, made: World) -> None:
    held = a_trace(made.deployment, 1_700_000_000_006, passages=(STAFF,), citations=())
    session.workspace.traces.put(held)
    for path in (f"/luthier/v1/traces/{held.id}", f"/luthier/v1/why/{held.id}"):
        assert http.get(path, headers=key(session, "eva", "engineer")).status_code == 403
        assert http.get(path, headers=key(session, "olga", "engineer", "staff")).status_code == 200


def test_why_is_for_readers(http: TestClient, session: Session, made: World) -> None:
    path = f"/luthier/v1/why/{made.trace.id}"
    assert http.get(path, headers=key(session, "anna", "caller")).status_code == 403
    chain = http.get(path, headers=key(session, "eva", "engineer")).json()["chain"]
    assert {made.dialogues.id, made.run.id, made.verdict.id} <= {step["id"] for step in chain}


def test_an_auditor_reads_but_neither_asks_nor_judges(http: TestClient, session: Session, made: World) -> None:
    olga = key(session, "olga", "auditor")
    for path in (f"/luthier/v1/traces/{made.trace.id}", f"/luthier/v1/why/{made.trace.id}"):
        assert http.get(path, headers=olga).status_code == 200
    judged = {"answer": made.trace.id, "rating": "down"}
    assert http.post("/luthier/v1/feedback", json=judged, headers=olga).status_code == 403
    assert http.get("/v1/models", headers=olga).status_code == 403


def test_feedback_on_ones_own_answer_is_scrubbed_and_queued(http: TestClient, session: Session, made: World) -> None:
    body = {"answer": made.trace.id, "rating": "down", "correction": f"Pay 9 EUR to {IBAN}.", "comment": None}
    given = http.post("/luthier/v1/feedback", json=body, headers=key(session, "anna", "caller"))
    assert (given.status_code, given.json()["reason"]) == (201, "correction")
    (waiting,) = reviews.queue(session.workspace.ledger)
    assert waiting.item.id == given.json()["review"]
    assert (waiting.item.correction, waiting.item.by) == ("Pay 9 EUR to <IBAN_1>.", "anna")
    assert IBAN.encode() not in b"".join(p.read_bytes() for p in session.workspace.folder.rglob("*") if p.is_file())


def test_feedback_on_somebody_elses_answer_is_refused(http: TestClient, session: Session, made: World) -> None:
    body = {"answer": made.trace.id, "rating": "up"}
    assert http.post("/luthier/v1/feedback", json=body, headers=key(session, "ben", "caller")).status_code == 403
    assert reviews.queue(session.workspace.ledger) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"[]", 400),
        (b"{" * 10, 400),
        (b"[" * 100_000, 400),
        (b'{"answer": 4}', 400),
        (b'{"answer": "chatcmpl-00000000000000000000000000", "rating": "up"}', 404),
        (b'{"answer": "%s", "rating": "five"}', 400),
        (b'{"answer": "%s", "rating": ["up"]}', 400),
        (b'{"answer": "%s", "stars": 5}', 400),
        (b'{"answer": "%s"}', 400),
    ],
)
def test_what_is_no_feedback_is_refused(
    http: TestClient, session: Session, made: World, body: bytes, status: int
) -> None:
    body = body.replace(b"%s", made.trace.id.encode())
    given = http.post("/luthier/v1/feedback", content=body, headers=key(session, "anna", "caller"))
    assert given.status_code == status
    assert given.json()["error"]["message"]
    assert reviews.queue(session.workspace.ledger) == []
