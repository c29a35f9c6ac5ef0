"""Which of a policy's languages a text is written in: a vote of its function words. Pure.

Crude on purpose: it only picks the language of a fixed message and of the documents to prefer. A text without any
known word gets the first language of the policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_]+")

_COMMON = {
    "en": """the a an is are was were do does did have has how what when where which who why can could may must will
        would should my your i you we it this that with from for and or not to of in on at if much many please""",
    "de": """der die das ein eine einen einem einer ist sind war waren hat haben habe wie was wann wo welche welcher wer
        warum kann können darf muss wird mein meine meinen meiner ihr ihre ich sie wir es mit von für und oder nicht zu
        zum zur im am auf wenn viel bitte kein keine bei mir""",
    "es": """el la los las un una es son fue ha han he hay cómo como qué que cuándo cuando dónde cuánto cuánta cuántos
        puedo puede pueden debo mi mis su sus yo usted se con de del desde para por y o no al en si por favor quiero
        tengo me cuál""",
    "fr": """le la les un une des est sont était ai avez a ont comment que quoi quand où quel quelle qui pourquoi puis
        peut mon ma mes votre vos je vous nous il avec de du pour et ou ne pas au aux dans sur si combien""",
    "it": """il lo la gli un una è sono era ho ha hanno come che cosa quando dove quale chi perché posso può mio mia
        miei io lei si con di del della per e o non al nel se quanto vorrei""",
    "pt": """o a os as um uma é são foi tem têm tenho como que quando onde qual quem porque posso pode meu minha eu você
        se com de do da para por e ou não ao em no na quanto quero""",
    "nl": """de het een is zijn was heb heeft hoe wat wanneer waar welke wie waarom kan mag moet wordt mijn uw ik u wij
        met van voor en of niet naar in op aan als veel graag geen bij""",
}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_LETTERS = {"de": "äöüß", "es": "ñ¿¡", "fr": "çœê", "it": "ìò", "pt": "ãõ"}


def language_of(text: str, languages: Sequence[str]) -> str:
    """The one of `languages` that most words of `text` belong to; the first where none or several do."""
    votes = {language: _votes(text, language) for language in languages}
    return max(languages, key=lambda language: votes[language]) if votes else "en"


def _votes(text: str, language: str) -> int:
    known = _WORDS.get(language, frozenset())
    letters = _LETTERS.get(language, "")
    return sum(word in known for word in _WORD.findall(text.casefold())) + 2 * any(
        mark in text.lower() for mark in letters
    )
