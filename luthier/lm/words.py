"""Which words of English, German and Spanish say something, and what they share. Pure."""

from __future__ import annotations

import unicodedata


def words(text: str) -> frozenset[str]:
    """A set of words that is written as a text."""
    return frozenset(text.split())


ENGLISH = words(
    """a an and are as at be been but by can could did do does for from had has have he her him his how i if in into is
    it its may me my no not of on or our please she should so some such than that the their them then there these they
    this those to too up us was we were what when where which who will with would yes you your also any per
    cannot neither never none nor without aren couldn
    didn doesn don hadn hasn haven isn mustn shouldn wasn weren won wouldn"""
)
GERMAN = words(
    """aber alle als also am an auch auf aus bei beim bin bis bitte da das dass dazu dem den denn der des die dies diese
    dieser dieses doch dort du durch ein eine einem einen einer eines er es für haben hat hier ich ihm ihn ihr ihre
    ihrem ihren ihrer im ist ja kann können man mein mit muss müssen nach nein nicht noch nur oder ob pro sein seine
    sich sie sind um und uns unser von vom vor wenn werden wie wir wird wurde zu zum zur über
    kein keine keinem keinen keiner keines nichts nie niemals ohne"""
)
SPANISH = words(
    """al algo ante como con cual cuando de del desde donde el ella en entre era es esa ese eso esta este esto está
    están ha han hasta hay jamás la las le les lo los me mi muy más nada ni no nos nuestra nuestro nunca o para pero
    por puede pueden que qué se ser si sin sobre son su sus sí también tampoco te tiene tienen tu un una uno unos
    usted y ya"""
)
EMPTY = ENGLISH | GERMAN | SPANISH
"""Function words."""
STEM = 5
"""Letters that make two words the same: crude, but alike in three languages."""


def stem(word: str) -> str:
    """The first five letters without accents and without a plural's ending: `Karten` and `Karte`, `fees` and `fee`."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    cut = "".join(letter for letter in letters if not unicodedata.combining(letter))[:STEM]
    for ending in ("s", "n", "e"):
        if len(cut) > 3 and cut.endswith(ending):
            cut = cut[:-1]
    return cut
