"""Which language a text is in, by its function words. Pure; for texts whose source does not say."""

from __future__ import annotations

import re

MARKS = {
    language: frozenset(marks.split())
    for language, marks in {
        "en": "the and is are was you your what how my with this that have has can do please it of to for not from",
        "de": "der die das und ist sind ich sie mein meine wie was nicht mit für bitte kann haben ein eine auf",
        "es": "el la los las y es son mi mis cómo qué que con para por favor puedo tengo una un del está se lo",
        "fr": "le la les et est sont je vous mon ma mes comment que avec pour une un des du pas dans ce sur il",
        "it": "il lo la gli e è sono mio mia come che con per una un del non nella posso vorrei di ho",
        "nl": "de het een en is zijn ik u mijn hoe wat niet met voor kan heb van op dat naar bij",
        "pt": "o a os as e é são meu minha como que com para uma um do da não posso tenho você em",
    }.items()
}
LOOKED_AT = 4000
"""Characters of a text that are counted."""


def guess(text: str) -> str:
    """The language whose function words occur most often in the text; English where none do."""
    words = re.findall(r"[^\W\d_]+", text[:LOOKED_AT].casefold())
    votes = {language: sum(word in marks for word in words) for language, marks in MARKS.items()}
    best = max(votes, key=lambda language: votes[language])
    return best if votes[best] else "en"
