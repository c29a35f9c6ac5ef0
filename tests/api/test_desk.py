"""The whole API of a project over a stand-in engine: documents indexed, a question answered, its trace read."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from luthier.api.__main__ import application
from luthier.errors import LuthierError, Missing
from luthier.lm.pull import pulled
from luthier.store import keys
from luthier.workflows import knowledge
from luthier.workflows.session import Session
from tests.api.conftest import Engine
from tests.workflows.making import world


def test_an_answer_and_its_trace(session: Session, engine: Engine) -> None:
    try:
        pulled("en-core-web-sm")
    except LuthierError as missing:
        pytest.skip(str(missing))
    with pytest.raises(Missing, match="luthier knowledge build"):
        application(session, engine.url)
    knowledge.build(session, engine.url)
    made = world(session)
    knowledge.build(session, engine.url)
    secret = keys.issue(session.workspace.ledger, "eva", ("engineer",), "public", "owner")
    said = {"model": made.model.id, "messages": [{"role": "user", "content": "What does a second Lark card cost?"}]}
    with TestClient(application(session, engine.url), headers={"authorization": f"Bearer {secret}"}) as http:
        assert http.get("/health").status_code == 200
        assert {model["id"] for model in http.get("/v1/models").json()["data"]} >= {made.model.id, "tiny"}
        answer = http.post("/v1/chat/completions", json=said).json()
        assert answer["choices"][0]["message"]["content"] == engine.standin.says
        trace = http.get(f"/luthier/v1/traces/{answer['id']}").json()
        assert [citation["verified"] for citation in trace["citations"]] == [True]
        person = said | {"messages": [{"role": "user", "content": "I want to speak to a human"}]}
        assert "colleague" in http.post("/v1/chat/completions", json=person).json()["choices"][0]["message"]["content"]
    assert [name for name, _ in engine.standin.loads] == [made.model.id]
