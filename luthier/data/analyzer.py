"""Presidio with a small spaCy model behind it and our own recognisers beside it.

Only the parts of spaCy that find entities are loaded, and texts go through it in batches. Knows nothing of dialogues
or placeholders. Needs the extra `data`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import spacy
from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine, LocalRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    EsNieRecognizer,
    EsNifRecognizer,
    FiPersonalIdentityCodeRecognizer,
    ItFiscalCodeRecognizer,
)

from luthier.data.recognisers.addresses import addresses
from luthier.data.recognisers.contacts import REGIONS, emails, phones, urls
from luthier.data.recognisers.hit import Hit
from luthier.data.recognisers.names import named, names
from luthier.data.recognisers.numbers import cards, ibans, identities, machines

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
)
THEIRS = (EsNieRecognizer, EsNifRecognizer, FiPersonalIdentityCodeRecognizer, ItFiscalCodeRecognizer)
"""Presidio's own that have a checksum."""
TYPES = {
    "ORGANIZATION": "ORGANISATION",
    "LOCATION": "PLACE",
    "ES_NIE": "ID",
    "ES_NIF": "ID",
    "FI_PERSONAL_IDENTITY_CODE": "ID",
    "IT_FISCAL_CODE": "ID",
}
"""Our word for what Presidio calls otherwise."""
UNUSED = (
    *("CARDINAL", "DATE", "EVENT", "LANGUAGE", "LAW", "MONEY", "NORP", "ORDINAL"),
    *("PERCENT", "PRODUCT", "QUANTITY", "TIME", "WORK_OF_ART"),
)
"""What else spaCy's English pipelines label (OntoNotes 5)."""
LABELS = {"PERSON": "PERSON", "ORG": "ORGANIZATION", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION"}
LANGUAGES = ("xx", *REGIONS)
"""`xx` stands for every other language."""
LEAST = 0.5
"""Presidio's own results count from this score on; its checksums give 1."""
SURE = 0.7
"""Score of what the language model says: it gives none itself."""
BATCH = 64
"""Texts that go through the language model at once."""


class Ours(LocalRecognizer):  # type: ignore[misc]  # Presidio asks for subclasses
    """One of our recognisers as Presidio wants them: an object per language."""

    def __init__(self, recogniser: Recogniser, types: tuple[str, ...], language: str) -> None:
        self.recogniser = recogniser
        name = f"luthier {getattr(recogniser, '__name__', 'recogniser')} {language}"
        super().__init__(supported_entities=list(types), supported_language=language, name=name)

    def load(self) -> None:
        """Nothing to load: the tables are read when they are first needed."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """What the recogniser finds in `text`, in Presidio's form."""
        hits = self.recogniser(text, self.supported_language)
        return [RecognizerResult(hit.type, hit.start, hit.end, hit.score) for hit in hits if hit.type in entities]


class Named(LocalRecognizer):  # type: ignore[misc]
    """What the language model labelled, less what cannot be a name."""

    def __init__(self) -> None:
        super().__init__(supported_entities=sorted(set(LABELS.values())), supported_language="en")

    def load(self) -> None:
        """Nothing to load: the model has run before."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """The labelled spans of a text, cut to what can be a name."""
        labelled = [span for span in nlp_artifacts.entities if span.label_ in entities]
        cut = [(span.label_, *named(text, span.start_char, span.end_char, span.label_)) for span in labelled]
        return [RecognizerResult(label, start, end, SURE) for label, start, end in cut if start < end]


class Analyzer:
    """Presidio over the spaCy pipeline in `folder` (English), and over our recognisers in every language."""

    def __init__(self, folder: Path) -> None:
        engine = SpacyNlpEngine(
            models=[{"lang_code": "en", "model_name": str(folder)}],
            ner_model_configuration=NerModelConfiguration(
                model_to_presidio_entity_mapping=LABELS, labels_to_ignore=UNUSED, low_score_entity_names=[]
            ),
        )
        blank = spacy.blank("xx")
        english = spacy.load(folder, exclude=["tagger", "parser", "senter", "attribute_ruler", "lemmatizer"])
        engine.nlp = dict.fromkeys(LANGUAGES, blank) | {"en": english}
        registry = RecognizerRegistry(recognizers=[], supported_languages=list(LANGUAGES))
        registry.add_recognizer(Named())
        for language in LANGUAGES:
            for recogniser, types in OURS:
                registry.add_recognizer(Ours(recogniser, types, language))
            for theirs in THEIRS:
                registry.add_recognizer(theirs(supported_language=language))
        self.presidio = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=list(LANGUAGES))
        self.alone = Lock()
        self.batches = BatchAnalyzerEngine(self.presidio)
        self.entities = {language: self.presidio.get_supported_entities(language) for language in LANGUAGES}

    def find(self, texts: Sequence[str], language: str, types: Container[str]) -> list[list[Hit]]:
        """What of `types` is found in each of `texts`, overlaps included. A text longer than spaCy takes is cut."""
        language = language[:2] if language[:2] in LANGUAGES else "xx"
        wanted = sorted(theirs for theirs in self.entities[language] if TYPES.get(theirs, theirs) in types)
        vocabulary = self.batches.analyzer_engine.nlp_engine.nlp[language]
        with self.alone, vocabulary.memory_zone():  # or every new word would stay in memory
            found = self.batches.analyze_iterator(
                texts, language, batch_size=BATCH, entities=wanted, score_threshold=LEAST
            )
            return [[as_hit(result) for result in results] for results in found]


def as_hit(result: RecognizerResult) -> Hit:
    """A result in our form."""
    return Hit(result.start, result.end, TYPES.get(result.entity_type, result.entity_type), result.score)
