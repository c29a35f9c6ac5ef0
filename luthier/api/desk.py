"""A session and an engine → the desk of the gateway: the one place where search, policy, scrubber and ledger meet."""

from __future__ import annotations

from functools import partial

from luthier.access import Audience
from luthier.api.adapters import LoadingEngine
from luthier.api.served import Served
from luthier.data.spans import subject_key
from luthier.gateway.desk import Desk
from luthier.gateway.exchange import Search
from luthier.gateway.policy_file import read_policy
from luthier.gateway.remembering import Remembering
from luthier.knowledge.search import Searcher
from luthier.lm.client import Client
from luthier.records.knowledge import IndexVersion, Passage
from luthier.records.training import ModelVersion
from luthier.store import keys
from luthier.workflows import data, knowledge
from luthier.workflows.release import newest_index
from luthier.workflows.servers import adapter_folder
from luthier.workflows.session import Session

ORDINARY = 200
"""Questions of customers that the policy's examples are weighed against."""


def open_desk(session: Session, engine_url: str) -> Desk:
    """Everything that the gateway needs. Raises Missing where the documents are not indexed yet."""
    project, ledger = session.project, session.workspace.ledger
    embed = Remembering(knowledge.embedder(session, engine_url))
    policy = read_policy(session.root / project.serving.policy)
    ledger.put(policy, session.by)
    index = newest_index(session)

    def search_in(version: IndexVersion) -> Search:
        found = Searcher(session.workspace, version, embed)

        def search(question: str, audience: Audience, locale: str, count: int) -> list[Passage]:
            return found.search(question, count, audience, locale, project.knowledge.search)

        return search

    def folder_of(model: str) -> object:
        return adapter_folder(session, ledger.get(model, ModelVersion))

    return Desk(
        engine=LoadingEngine(Client(engine_url), folder_of),  # type: ignore[arg-type]
        search=search_in(index),
        embed=embed,
        recognise=partial(keys.recognise, ledger),
        scrubber=data.scrubber(session),
        keep=session.workspace.traces.put,
        routes=Served(ledger, policy, index, search_in),
        instructions=project.serving.instructions,
        keyed=partial(subject_key, session.workspace.pseudonym_key),
        max_tokens=project.serving.max_tokens,
        passages=project.knowledge.passages,
        ordinary=ordinary(session, index),
    )


def ordinary(session: Session, index: IndexVersion) -> list[str]:
    """What is usual here: titles of public documents, and questions of the newest dialogues."""
    titles = [document.title for document in index.documents if document.audience == "public"]
    return titles + data.questions(session, ORDINARY)
