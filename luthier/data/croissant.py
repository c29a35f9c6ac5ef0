"""A dataset card in Croissant 1.1 (MLCommons, JSON-LD): what a version holds, read from its record. Pure.

What the record does not say (who publishes it, and where) is for the caller to say.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from luthier.records.base import short
from luthier.records.data import DatasetVersion

CONFORMS = "http://mlcommons.org/croissant/1.1"
SPDX = re.compile(r"(?=.*\d)[A-Za-z]+[A-Za-z0-9.]*-[A-Za-z0-9.+-]+|MIT|ISC|Unlicense|Zlib")
"""What looks like an SPDX identifier; other words are a licence's own name."""
SINGLE = {
    "id": ("sc:Text", "sha256 of the scrubbed messages, first 16 letters."),
    "split": ("sc:Text", "train, validation or test; a dialogue never moves."),
    "source": ("sc:Text", "The source that the row comes from."),
    "line": ("sc:Integer", "Its line there, from 1."),
    "language": ("sc:Text", "Language of the dialogue."),
}
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
} | {
    name: f"cr:{name}"
    for name in (
        *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract"),
        *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
        *("jsonPath", "key", "md5", "parentField", "path", "readLines", "recordSet", "references", "regex"),
        *("repeated", "replace", "samplingRate", "sdVersion", "separator", "source", "subField", "transform"),
        *("unArchive", "value"),
    )
}


class Published(NamedTuple):
    """What the record of a version does not say."""

    creator: str
    """The organisation."""
    on: str
    """ISO date."""
    rows: str
    """Where the file of the rows lies: a path beside the card, or a URL."""
    size: int
    """Its bytes."""
    url: str = ""
    """The dataset's page; a URN of its id where there is none."""


def card(version: DatasetVersion, told: Published, version_id: str = "") -> dict[str, Any]:
    """The card of a version whose rows are JSON lines. `version_id` where the record is what is left of another."""
    named = version_id or version.id
    licences = list(dict.fromkeys(licence_of(source.licence) for source in version.sources))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "@id": named,
        "conformsTo": [CONFORMS, "http://mlcommons.org/croissant/RAI/1.0"],
        "name": version.name,
        "description": description(version),
        "license": licences if len(licences) != 1 else licences[0],
        "url": told.url or f"urn:luthier:{named}",
        "creator": {"@type": "sc:Organization", "name": told.creator},
        "datePublished": told.on,
        "version": f"1.0.0+{named.rpartition('-')[2][:12]}",
        "inLanguage": sorted(version.languages),
        "isLiveDataset": False,
        "citeAs": f"{told.creator}: {version.name}, {named}",
        "rai:personalSensitiveInformation": personal(version),
        "rai:dataCollection": "; ".join(f"{s.name}: {s.rows} rows, used by {s.consent}" for s in version.sources),
        "rai:dataPreprocessingProtocol": f"Built by {version.builder}; seed {version.seed}.",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "rows.jsonl",
                "name": "rows.jsonl",
                "description": "One row a line.",
                "contentUrl": told.rows,
                "contentSize": f"{told.size} B",
                "encodingFormat": "application/jsonlines",
                "sha256": version.rows,
            }
        ],
        "recordSet": [splits(version), rows()],
    }


def licence_of(licence: str) -> str:
    """The page of an SPDX identifier; any other licence by its own name."""
    return f"https://spdx.org/licenses/{licence}.html" if SPDX.fullmatch(licence) else licence or "unknown"


def description(version: DatasetVersion) -> str:
    """What the version is, in a sentence or two."""
    held = ", ".join(f"{count} {split}" for split, count in version.counts.items())
    left = f"{version.duplicates} duplicates and {version.quarantined} refused lines were left out"
    return f"{version.name}: {held} rows from {len(version.sources)} sources; {left}. Version {short(version.id)}."


def personal(version: DatasetVersion) -> str:
    """What became of personal data."""
    if not version.personal:
        return "None was found."
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(version.personal.items()))
    return f"Replaced by typed placeholders: {found}."


def splits(version: DatasetVersion) -> dict[str, Any]:
    """The splits, as an enumeration."""
    field = {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "Parts of the dataset.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [field | {"description": "Name of the split."}],
        "data": [{"splits/name": split} for split in version.counts],
    }


def rows() -> dict[str, Any]:
    """The rows and their fields."""
    single = [field(name, kind, said) for name, (kind, said) in SINGLE.items()]
    single[1] |= {"references": {"field": {"@id": "splits/name"}}}
    return {
        "@type": "cr:RecordSet",
        "@id": "rows",
        "name": "rows",
        "description": "Dialogues, personal data replaced.",
        "key": {"@id": "rows/id"},
        "field": [*single, messages()],
    }


def messages() -> dict[str, Any]:
    """The turns of a dialogue: a list of role and content."""
    column = {"fileObject": {"@id": "rows.jsonl"}, "extract": {"column": "messages"}}
    return {
        "@type": "cr:Field",
        "@id": "rows/messages",
        "name": "messages",
        "description": "The turns of the dialogue, in OpenAI's chat format.",
        "isArray": True,
        "arrayShape": "-1",
        "subField": [
            {
                "@type": "cr:Field",
                "@id": f"rows/messages/{name}",
                "name": name,
                "description": said,
                "dataType": "sc:Text",
                "source": column | {"transform": {"jsonPath": name}},
            }
            for name, said in (("role", "Who speaks."), ("content", "What is said."))
        ],
    }


def field(name: str, kind: str, said: str) -> dict[str, Any]:
    """A field that is a key of each line."""
    return {
        "@type": "cr:Field",
        "@id": f"rows/{name}",
        "name": name,
        "description": said,
        "dataType": kind,
        "source": {"fileObject": {"@id": "rows.jsonl"}, "extract": {"column": name}},
    }
