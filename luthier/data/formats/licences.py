"""Which licence a text names: an SPDX line, or the words with which well-known licences begin. Guesses nothing else."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

NAMES = ("license", "licence", "copying", "notice", "unlicense")
"""How the files are called that say it for a whole folder."""
HEAD = 4_000
"""Characters in which a header stands."""
SPDX = re.compile(
    r"SPDX-License-Identifier:[ \t]*\(?([A-Za-z0-9][A-Za-z0-9.+-]*(?:[ \t]+(?:OR|AND|WITH)[ \t]+[A-Za-z0-9.+-]+)*)"
)
KNOWN = (
    ("Apache-2.0", r"Licensed under the Apache License, Version 2\.0|Apache License\s+Version 2\.0"),
    ("MPL-2.0", r"Mozilla Public License,?\s+v(?:ersion)?\.? ?2\.0"),
    ("AGPL-3.0-or-later", r"GNU Affero General Public License[^.]*?version 3[^.]*?any later version"),
    ("AGPL-3.0-only", r"GNU AFFERO GENERAL PUBLIC LICENSE,?\s+Version 3"),
    ("LGPL-3.0-or-later", r"GNU Lesser General Public License[^.]*?version 3[^.]*?any later version"),
    ("LGPL-3.0-only", r"GNU LESSER GENERAL PUBLIC LICENSE,?\s+Version 3"),
    ("LGPL-2.1-or-later", r"GNU Lesser General Public License[^.]*?version 2\.1[^.]*?any later version"),
    ("LGPL-2.1-only", r"GNU LESSER GENERAL PUBLIC LICENSE,?\s+Version 2\.1"),
    ("GPL-3.0-or-later", r"GNU General Public License[^.]*?version 3[^.]*?any later version"),
    ("GPL-2.0-or-later", r"GNU General Public License[^.]*?version 2[^.]*?any later version"),
    ("GPL-3.0-only", r"GNU GENERAL PUBLIC LICENSE,?\s+Version 3"),
    ("GPL-2.0-only", r"GNU GENERAL PUBLIC LICENSE,?\s+Version 2"),
    ("MIT", r"\bMIT License\b|Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("BSD-3-Clause", r"Redistribution and use in source and binary forms.{0,1500}?Neither the name"),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("ISC", r"Permission to use, copy, modify, and/?(?:or)? distribute this software for any purpose"),
    ("CC0-1.0", r"\bCC0 1\.0 Universal\b"),
    ("Unlicense", r"This is free and unencumbered software released into the public domain"),
)
WORDS = tuple((name, re.compile(words.replace(" ", r"[\s#*/;-]+"), re.IGNORECASE | re.DOTALL)) for name, words in KNOWN)
"""A header is broken into lines, each behind the sign of a comment."""


def licence_in(text: str) -> str:
    """The SPDX identifier of the licence that the head of `text` names; "" where it names none."""
    head = text[:HEAD]
    found = SPDX.search(head)
    if found:
        return " ".join(found[1].split())
    return next((name for name, words in WORDS if words.search(head)), "")


def says_licence(name: str) -> bool:
    """Whether a file is the licence of others, by its name."""
    return PurePosixPath(name).name.lower().startswith(NAMES)


def root_licence(folder: Path) -> str:
    """The licence of a folder, by the file in it that holds it: for files that name none themselves."""
    for path in sorted(folder.iterdir()):
        if says_licence(path.name) and path.is_file() and not path.is_symlink():
            try:
                with path.open("rb") as file:
                    found = licence_in(file.read(HEAD * 4).decode(errors="replace"))
            except OSError:
                continue
            if found:
                return found
    return ""
