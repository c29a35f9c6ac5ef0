"""A question → the passages that answer it, as far as its asker may read. Knows nothing of models or prompts."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from luthier.access import Audience, may_read
from luthier.errors import BadConfig, RunFailed, Tampered, UnknownName
from luthier.knowledge.fusion import fused, preferring
from luthier.knowledge.languages import language_of
from luthier.knowledge.question import pieces, searched, spellings
from luthier.knowledge.table import Hit, Table, Vectors, stamp
from luthier.knowledge.vectors import Embed, called, same_model
from luthier.records.knowledge import DocumentVersion, IndexVersion, Passage
from luthier.store.workspace import Workspace

How = Literal["hybrid", "bm25", "vectors"]

DEPTH = 100  # rows that each of the two searches hands to the fusion
BLOBS_KEPT = 512  # documents that stay in memory


class Asked(NamedTuple):
    """A question with what decides who may read the answer, and in which language it is best."""

    words: str
    audience: Audience
    language: str
    how: How

    @property
    def readable(self) -> list[Audience]:
        """The audiences whose documents the asker may see."""
        return [audience for audience in get_args(Audience) if may_read(self.audience, audience)]


class Searcher:
    """Searches one index version. Threads may share it; another process may erase documents meanwhile.

    A passage is cut out of the blob that the version's record names. The index can at worst point to the wrong
    place: it cannot make up what is quoted.
    """

    def __init__(self, workspace: Workspace, index: IndexVersion, embed: Embed) -> None:
        self.folder = workspace.folder / index.folder
        self.embed = embed
        self.documents = {version.name: version for version in index.documents}
        self._blob = lru_cache(maxsize=BLOBS_KEPT)(workspace.blobs.get)
        self._table: Table | None = None
        self._trusted = False

    def search(
        self, question: str, k: int, audience: Audience = "public", locale: str | None = None, how: How = "hybrid"
    ) -> list[Passage]:
        """The `k` best passages that a reader of `audience` may see, best first; fewer where there are fewer.

        Passages in the language of `locale` are put before about equally good ones in another. `question` is any
        text. Scores are shares of the best and compare within one search only. Raises BadConfig (an unknown word,
        another embedding model than the index was built with), Missing (the index was removed), Tampered.
        """
        for word, known in ((audience, get_args(Audience)), (how, get_args(How))):
            if word not in known:
                raise BadConfig(f"{word!r} is none of: {', '.join(known)}", "take one of them")
        asked = Asked(searched(question), audience, language_of(locale or ""), how)
        if not asked.words or k < 1:
            return []
        table = self._current()
        try:
            return self._best(table, asked, k)
        except (RunFailed, UnknownName):
            if stamp(self.folder) == table.stamp:
                raise
        # The table was replaced while it was read; what replaced it stays.
        return self._best(self._current(), asked, k)

    def _current(self) -> Table:
        """The table that the folder points to now: an erased document is gone at the next question."""
        table = self._table
        if table is None or table.stamp != stamp(self.folder):
            self._blob.cache_clear()
            table = self._table = Table(self.folder)
        return table

    def _best(self, table: Table, asked: Asked, k: int) -> list[Passage]:
        hits, scores = self._scored(table, asked, max(DEPTH, k))
        if asked.language:
            languages = {row: language_of(self._allowed(hit, asked).locale) for row, hit in hits.items()}
            scores = preferring(scores, languages, asked.language)
        ranked = sorted(scores, key=lambda row: (-scores[row], row))[:k]
        return [self._passage(hits[row], scores[row], asked) for row in ranked]

    def _scored(self, table: Table, asked: Asked, depth: int) -> tuple[dict[int, Hit], dict[int, float]]:
        """Rows and their fused scores. A row's cosine is the highest to any piece of the question."""
        hits: dict[int, Hit] = {}
        bm25: dict[int, float] = {}
        cosine: dict[int, float] = {}
        vectors_PD = self._vectors(table, asked.words) if asked.how != "bm25" else None
        if vectors_PD is not None:
            for hit in table.near(vectors_PD, depth, asked.readable):
                hits[hit.row] = hit
                cosine[hit.row] = max(hit.score, cosine.get(hit.row, hit.score))
        if asked.how != "vectors":
            matched, theirs_ND = table.match(
                spellings(asked.words, asked.language), asked.language, depth, asked.readable
            )
            hits |= {hit.row: hit for hit in matched}
            bm25 = {hit.row: hit.score for hit in matched}
            if vectors_PD is not None and matched:
                best_N = (theirs_ND @ vectors_PD.T).max(axis=1)
                cosine |= zip(bm25, best_N.tolist(), strict=True)
        return hits, fused(bm25, cosine)

    def _vectors(self, table: Table, words: str) -> Vectors:
        """The question as vectors (P, D), one for each piece of it."""
        vectors_PD = called(self.embed, pieces(words))
        if vectors_PD.shape[1] != table.width or not (self._trusted or same_model(table, self.embed)):
            raise BadConfig(
                f"the index in {self.folder} was built with another embedding model than the one that is asked",
                "build the index again, or serve the model that it names",
            )
        self._trusted = True
        return vectors_PD

    def _allowed(self, hit: Hit, asked: Asked) -> DocumentVersion:
        """The document of `hit` as the record knows it. Raises Tampered where the asker may not read it.

        Rows were filtered before they were ranked; this holds them against the ledger's word instead of the table's.
        """
        version = self.documents.get(hit.document)
        if version is None or not may_read(asked.audience, version.audience):
            raise self._against_record(hit)
        return version

    def _against_record(self, hit: Hit) -> Tampered:
        what = f"the index in {self.folder} offers a piece of {hit.document!r} against its record"
        return Tampered(what, "build the index again from its documents")

    def _passage(self, hit: Hit, score: float, asked: Asked) -> Passage:
        version = self._allowed(hit, asked)
        text = self._blob(version.digest).decode("utf-8")[hit.start : hit.end]
        if not text or len(text) != hit.end - hit.start:
            raise self._against_record(hit)
        return Passage(
            document=version.name,
            title=version.title,
            digest=version.digest,
            start=hit.start,
            end=hit.end,
            text=text,
            heading=hit.heading,
            audience=version.audience,
            locale=version.locale,
            score=round(score, 4),
        )
