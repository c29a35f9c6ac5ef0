"""What a model is asked for, word for word: one template for each kind of synthetic row, named by its sha256.

The examples are turns of a dialogue, because small models follow examples where they do not follow instructions.
They come from shops and clubs that do not exist. Knows nothing of passages, rows and rules.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

Kind = Literal["questions", "paraphrases", "negatives", "edges", "preferences"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Messages = tuple[dict[str, str], ...]

LANGUAGES = {
    "en": "English", "de": "German", "es": "Spanish", "fr": "French", "it": "Italian", "pt": "Portuguese",
    "nl": "Dutch", "pl": "Polish", "cs": "Czech", "sv": "Swedish", "da": "Danish", "fi": "Finnish", "tr": "Turkish",
    "uk": "Ukrainian", "ru": "Russian", "ja": "Japanese", "zh": "Chinese", "ko": "Korean", "ar": "Arabic",
}  # fmt: skip

LETTERS = str.maketrans("0123456789", "ghijklmnop")


def lettered(text: str) -> str:
    """sha256 of a text in 64 letters from a to p: figures are sometimes taken for a telephone or an account."""
    return hashlib.sha256(text.encode()).hexdigest().translate(LETTERS)


class Template(NamedTuple):
    """Instructions, examples, and the last turn with places for what it is about, such as {sentence}."""

    system: str
    ask: str
    shots: tuple[tuple[Mapping[str, str], str], ...]
    """What fills the places of an example, and its answer."""
    max_tokens: int
    temperature: float

    @property
    def version(self) -> str:
        """sha256 of everything that is asked, first 12 letters: another wording is another version."""
        parts = [self.system, self.ask, [[dict(fields), answer] for fields, answer in self.shots]]
        data = json.dumps([*parts, self.max_tokens, self.temperature], ensure_ascii=False, sort_keys=True)
        return lettered(data)[:12]

    def messages(self, language: str, **fields: str) -> Messages:
        """The dialogue that is sent. Another language than English is asked for in so many words."""
        name = LANGUAGES.get(language.partition("-")[0], "")
        extra = f" Write in {name}." if name and name != "English" else ""
        turns = [{"role": "system", "content": self.system + extra}]
        for given, answer in self.shots:
            turns += [{"role": "user", "content": self.ask.format(**given)}, {"role": "assistant", "content": answer}]
        turns.append({"role": "user", "content": self.ask.format(**fields)})
        return tuple(turns)

    def examples(self) -> list[str]:
        """What the examples answer: a model that says it again has copied."""
        return [answer for _, answer in self.shots]


QUESTIONS = Template(
    system="You write a question that a customer could ask and that a sentence answers, and the answer.",
    ask="About {title}: {sentence}",
    shots=(
        (
            {"title": "Moving house › Proof", "sentence": "A move within the country needs no proof."},
            "Question: Do I have to show a proof when I move within the country?\n"
            "Answer: A move within the country needs no proof.",
        ),
        (
            {"title": "Opening hours", "sentence": "On Saturdays the shop opens at 9:30 and closes at 14:00."},
            "Question: From when on can I come to the shop on a Saturday?\n"
            "Answer: On Saturdays the shop opens at 9:30.",
        ),
        (
            {"title": "Repairs › Prices", "sentence": "Shipping a repaired lamp costs 6 EUR."},
            "Question: How much do you charge for sending me the repaired lamp?\n"
            "Answer: Shipping a repaired lamp costs 6 EUR.",
        ),
    ),
    max_tokens=80,
    temperature=0.6,
)
PARAPHRASES = Template(
    system="You say a customer's message in other words. Its meaning, its names and every number stay as they are.",
    ask="Message: {question}",
    shots=(
        (
            {"question": "What does it cost to have 3 pallets moved?"},
            "Other words: How much do I have to pay for moving 3 pallets?",
        ),
        (
            {"question": "Can I send back shoes that I have worn outside?"},
            "Other words: I wore my shoes outside. Is it still possible to send them back?",
        ),
        (
            {"question": "how long til my new membership card arrives"},
            "Other words: When will I get the new membership card?",
        ),
        (
            {"question": "Is there a discount for families with 2 children?"},
            "Other words: We are a family with 2 children. Do we get a discount?",
        ),
    ),
    max_tokens=72,
    temperature=0.6,
)
NEGATIVES = Template(
    system="You write a question about the same subject as a sentence. The sentence must not hold the answer to it.",
    ask="About {title}: {sentence}",
    shots=(
        (
            {"title": "Opening hours", "sentence": "On Saturdays the shop opens at 9:30 and closes at 14:00."},
            "Question: Is the shop open on public holidays?",
        ),
        (
            {"title": "Repairs › How long", "sentence": "A repair takes ten days."},
            "Question: Do you lend me another lamp while mine is being repaired?",
        ),
        (
            {"title": "Swimming courses", "sentence": "A child must be five years old."},
            "Question: How many children are in one swimming course?",
        ),
    ),
    max_tokens=48,
    temperature=0.7,
)
EDGES = Template(
    system="You write one message of a customer, to test the rules of a help desk.",
    ask="Rule: {why}\nMessages that {side} under this rule:\n{examples}\nAnother message that {side} under it:",
    shots=(
        (
            {
                "why": "The message asks for something that the club may not sell.",
                "side": "fall",
                "examples": "- Can I buy fireworks from you?\n- Where in your shop are the knives?",
            },
            "Message: Please send me two boxes of fireworks.",
        ),
        (
            {
                "why": "The message asks for something that the club may not sell.",
                "side": "do not fall",
                "examples": "- When do the fireworks at the summer party begin?\n- Who cleans the kitchen knives?",
            },
            "Message: Is it allowed to watch the fireworks from the club's roof?",
        ),
    ),
    max_tokens=64,
    temperature=0.8,
)
PREFERENCES = Template(
    system="You answer a customer's question in one or two sentences, from the text alone.",
    ask="Text, from “{title}”:\n{passage}\n\nQuestion: {question}",
    shots=(
        (
            {
                "title": "Opening hours",
                "passage": "The shop opens at 8:00 on weekdays. On Saturdays it opens at 9:30 and closes at 14:00.",
                "question": "From when on can I come on a Saturday?",
            },
            "On Saturdays it opens at 9:30.",
        ),
    ),
    max_tokens=80,
    temperature=1.0,
)
TEMPLATES: dict[Kind, Template] = {
    "questions": QUESTIONS,
    "paraphrases": PARAPHRASES,
    "negatives": NEGATIVES,
    "edges": EDGES,
    "preferences": PREFERENCES,
}
