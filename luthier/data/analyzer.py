"""Presidio with a small spaCy model behind it and our own recognisers beside it.

Presidio's frame joins what is found. Only the part of spaCy that finds entities is loaded, and lines go through it in
batches. Knows nothing of dialogues. Needs the extra `data`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import spacy
from presidio_analyzer import (
    AnalyzerEngine,
    ContextAwareEnhancer,
    EntityRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.nlp_engine import NlpArtifacts, SpacyNlpEngine

from luthier.data.recognisers.addresses import addresses
from luthier.data.recognisers.contacts import REGIONS, emails, phones, urls
from luthier.data.recognisers.gazetteer import folded
from luthier.data.recognisers.hit import UP, Hit
from luthier.data.recognisers.names import cased, dull, everyday, named, names
from luthier.data.recognisers.national import national_numbers
from luthier.data.recognisers.numbers import cards, ibans, identities, machines
from luthier.data.recognisers.organisations import organisations
from luthier.data.recognisers.secrets import secrets
from luthier.data.spans import PLACEHOLDER, figures_in

Recogniser = Callable[[str, str], Iterable[Hit]]
"""(text, language) → what it finds."""

OURS: tuple[tuple[Recogniser, tuple[str, ...]], ...] = (
    (ibans, ("IBAN",)),
    (cards, ("CARD",)),
    (emails, ("EMAIL",)),
    (phones, ("PHONE",)),
    (urls, ("URL",)),
    (addresses, ("ADDRESS",)),
    (names, ("PERSON",)),
    (identities, ("ID", "ACCOUNT")),
    (machines, ("IP",)),
    (national_numbers, ("ID",)),
    (secrets, ("SECRET",)),
    (organisations, ("ORGANISATION",)),
)
FIGURES: dict[Recogniser, int] = {
    **dict.fromkeys((ibans, cards, national_numbers), 7),
    **dict.fromkeys((phones,), 6),
    **dict.fromkeys((addresses, identities), 1),
}
"""Figures without which a recogniser cannot find anything: most texts have none."""
LABELS = {"PERSON": "PERSON", "ORG": "ORGANISATION", "GPE": "PLACE", "LOC": "PLACE", "FAC": "PLACE"}
"""Our types by the labels of spaCy's English pipelines (OntoNotes 5); its other labels are nobody's."""
UNNEEDED = ["tok2vec", "tagger", "parser", "senter", "attribute_ruler", "lemmatizer"]
"""The parts of the pipeline that do not find entities: `ner` brings a tok2vec of its own."""
CAPITAL = re.compile(rf"(?<!\w){UP}[\w'’-]*")
NOTHING = NlpArtifacts([], [], [], [], None, "en", [])
"""What Presidio is told of a text by the language model: it is asked afterwards, where something is left."""
LANGUAGES = ("xx", *REGIONS)
"""`xx` stands for every other language."""
SURE = 0.7
"""Score of what the language model says: it gives none itself."""
BATCH = 64
"""Texts that go through the language model at once."""


class Ours(EntityRecognizer):  # type: ignore[misc]  # Presidio asks for subclasses
    """All of our recognisers as one of Presidio's, for one language."""

    def __init__(self, language: str) -> None:
        kinds = sorted({kind for _, types in OURS for kind in types})
        super().__init__(supported_entities=kinds, supported_language=language, name=f"luthier {language}")

    def load(self) -> None:
        """Nothing to load: the tables are read when they are first needed."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """What the recognisers of the types asked for find in `text`, in Presidio's form."""
        asked = [recogniser for recogniser, types in OURS if not set(types).isdisjoint(entities)]
        figures = figures_in(PLACEHOLDER.sub("", text) if "<" in text else text)
        asked = [recogniser for recogniser in asked if figures >= FIGURES.get(recogniser, 0)]
        hits = (hit for recogniser in asked for hit in recogniser(text, self.supported_language))
        return [RecognizerResult(hit.type, hit.start, hit.end, hit.score) for hit in hits if hit.type in entities]


class NoContext(ContextAwareEnhancer):  # type: ignore[misc]
    """Leaves scores as they are: our recognisers look around for themselves."""

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0, 0)

    def enhance_using_context(
        self, text: str, raw_results: list[RecognizerResult], **others: Any
    ) -> list[RecognizerResult]:
        """The results as they came."""
        return raw_results


class Analyzer:
    """Presidio over the spaCy pipeline in `folder` (English), and over our recognisers in every language."""

    def __init__(self, folder: Path) -> None:
        self.english = spacy.load(folder, exclude=UNNEEDED)
        for _, pipe in self.english.pipeline:
            for layer in pipe.model.walk() if hasattr(pipe, "model") else ():
                layer.ops.use_blis = False  # NumPy's product of matrices takes a third of the time of BLIS
        engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": str(folder)}])
        engine.nlp = dict.fromkeys(LANGUAGES, self.english)  # Presidio asks for one per language; `labelled` runs it
        registry = RecognizerRegistry(recognizers=[], supported_languages=list(LANGUAGES))
        for language in LANGUAGES:
            registry.add_recognizer(Ours(language))
        self.presidio = AnalyzerEngine(
            registry=registry,
            nlp_engine=engine,
            supported_languages=list(LANGUAGES),
            context_aware_enhancer=NoContext(),
        )
        self.alone = Lock()
        self.entities = {language: self.presidio.get_supported_entities(language) for language in LANGUAGES}
        ours = {language: registry.get_recognizers(language, self.entities[language]) for language in LANGUAGES}
        registry.get_recognizers = lambda language, **_: ours[language]  # it would sort and copy them for every text

    def find(self, texts: Sequence[str], language: str, types: Container[str]) -> list[list[Hit]]:
        """What of `types` is found in each of `texts`, overlaps included."""
        language = language[:2] if language[:2] in LANGUAGES else "xx"
        wanted = sorted(kind for kind in self.entities[language] if kind in types)
        found = [
            [as_hit(result) for result in self.presidio.analyze(text, language, wanted, nlp_artifacts=NOTHING)]
            for text in texts
        ]
        labels = frozenset(kind for kind in LABELS.values() if kind in types)
        if language == "en" and labels:
            with self.alone, self.english.vocab.memory_zone():  # or every new word would stay in memory
                named = self.labelled(texts, found, labels)
            return [[*hits, *more] for hits, more in zip(found, named, strict=True)]
        return found

    def labelled(self, texts: Sequence[str], found: Sequence[Sequence[Hit]], labels: Container[str]) -> list[list[Hit]]:
        """What the language model labels in each text, less what cannot be a name. It reads a line once, or never.

        Never where it could find nothing that is not `found` already, nor where a line holds a placeholder: what it
        says of the words left over changes with every name that goes, and scrubbing twice has to be scrubbing once.
        """
        asked = [
            (place, start, line)
            for place, text in enumerate(texts)
            for start, line in lines(text)
            if worth(start, line, found[place])
        ]
        asked.sort(key=lambda line: len(line[2]))  # lines of a length go through the model together
        hits: list[list[Hit]] = [[] for _ in texts]
        read = self.english.pipe([line for _, _, line in asked], batch_size=BATCH)
        for (place, start, line), doc in zip(asked, read, strict=True):
            for span in doc.ents:
                kind = LABELS.get(span.label_, "")
                low, high = named(line, span.start_char, span.end_char, kind) if kind in labels else (0, 0)
                if low < high:
                    hits[place].append(Hit(start + low, start + high, kind, SURE))
        return hits


def lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text and where they begin; one without capitals as it would be written with them."""
    start = 0
    for line in text.splitlines(keepends=True):
        yield start, cased(line)
        start += len(line)


def worth(start: int, line: str, found: Sequence[Hit]) -> bool:
    """Whether the language model is to read a line: a word with a capital is left that may be a name."""
    if PLACEHOLDER.search(line):
        return False
    for word in CAPITAL.finditer(line):
        place = start + word.start()
        if not any(hit.start <= place < hit.end for hit in found) and unsaid(line, word):
            return True
    return False


def unsaid(line: str, word: re.Match[str]) -> bool:
    """Whether a word with a capital may be a name: not `I`, no everyday word, no common one that opens a line."""
    if len(word.group()) == 1 or everyday(word.group()):
        return False
    opens = not line[: word.start()].rstrip() or line[: word.start()].rstrip()[-1] in ".!?:"
    return not (opens and folded(word.group().partition("'")[0].partition("’")[0]) in dull())


def as_hit(result: RecognizerResult) -> Hit:
    """A result in our form."""
    return Hit(result.start, result.end, result.entity_type, result.score)
