"""Write the sample's dialogues: hand-written wordings, drawn afresh, with planted personal data and its exact places.

Run `python tools/sample/make_dialogues.py`. The same scenarios, pools and seed give the same bytes.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from string import Formatter, ascii_uppercase
from typing import Any, NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parents[1] / "luthier" / "sample"
SEED = 20261123
WANTED = {"en": 252, "de": 58, "es": 50}
TYPES = {slot: slot.upper() for slot in ("iban", "card", "email", "phone", "address")} | {"name": "PERSON"}
RETURNING, VISITS = "Marta Kovar", 3  # the customer whose erasure the sample shows
MISSPELT = 0.1  # share of the user turns
CHATTY = 0.4  # share of the dialogues opened without personal data whose customer adds some unasked
WORD = re.compile(r"\b[a-zß-ÿ]{5,}\b(?![^{]*\})")  # long enough for a slip of the finger, and no slot
FOLDED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "ı": "i", "đ": "d", "ł": "l"})
PERSONAL = re.compile(rf"\{{({'|'.join(TYPES)})\}}")


class Scenario(NamedTuple):
    """A talk as it may go: for each turn the wordings of both sides, and the documents that the answers rest on."""

    id: str
    language: str
    documents: list[str]
    turns: list[dict[str, list[str]]]


class Plan(NamedTuple):
    """One dialogue before its slots are filled: the user's and the assistant's wordings in turn."""

    scenario: Scenario
    wordings: list[str]

    def suits_returning(self) -> bool:
        """English, and the customer gives a name together with something else that is personal."""
        slots = set(PERSONAL.findall("".join(self.wordings[::2])))
        return self.scenario.language == "en" and "name" in slots and len(slots) > 1


class Customer(NamedTuple):
    """Who writes, and whom they write about. Personal data follows from the name: it is the same in every dialogue."""

    names: tuple[str, str]
    dialogue: str
    language: str
    pools: dict[str, Any]

    def value(self, slot: str) -> str:
        """What stands in `slot`. One that ends in 2 is another person's, or what is new after a change."""
        kind = slot.rstrip("2")
        name = self.names[slot.endswith("2")]
        if kind == "name":
            return name
        draw = random.Random(f"{SEED} {name if kind in TYPES else self.dialogue} {slot}")
        pool = self.pools[kind]
        choices = pool[self.language] if isinstance(pool, dict) else pool
        if kind == "address":
            return address(choices, draw)
        chosen = draw.choice(choices)
        if kind == "email":
            return f"{mailbox(name, draw)}@{chosen}"
        return {"iban": iban, "card": card}.get(kind, filled)(chosen, draw)


def filled(shape: str, draw: random.Random) -> str:
    """`shape` with # as a digit, ~ as a digit from 1 to 9 and @ as a capital letter."""
    choices = {"#": "0123456789", "~": "123456789", "@": ascii_uppercase}
    return "".join(draw.choice(choices.get(letter, letter)) for letter in shape)


def iban(shape: str, draw: random.Random) -> str:
    """An IBAN with the right check digits (ISO 7064, mod 97-10), in groups of four or solid."""
    country, account = filled(shape, draw).split()
    number = int("".join(str(int(letter, 36)) for letter in f"{account}{country}00"))
    return draw.choice((" ", " ", "")).join(re.findall(".{1,4}", f"{country}{98 - number % 97:02}{account}"))


def card(prefix: str, draw: random.Random) -> str:
    """A 16-digit card number of a test range that passes the Luhn check."""
    body = prefix + filled("#########", draw)
    weighed = [int(digit) * (1 + (place % 2 == 0)) for place, digit in enumerate(body)]
    check = -sum(value // 10 + value % 10 for value in weighed) % 10
    return draw.choice((" ", " ", "-", "")).join(re.findall("....", f"{body}{check}"))


def mailbox(name: str, draw: random.Random) -> str:
    """One of the usual ways to make a mailbox of a name."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(FOLDED)).encode("ascii", "ignore").decode()
    first, *_, last = re.findall("[a-z]+", plain)
    year = draw.randint(61, 99)
    shapes = (f"{first}.{last}", f"{first[0]}.{last}", f"{first}{year}", f"{last}_{first[0]}", f"{last}19{year}")
    return draw.choice((*shapes, f"{first}-{last}", f"{first}{last}"))


def address(parts: dict[str, list[str]], draw: random.Random) -> str:
    """Street, number, postcode and town in the order of one of the shapes."""
    drawn = {part: draw.choice(choices) for part, choices in parts.items()}
    return filled(drawn.pop("shape").format(**drawn), draw)


def people(language: str, pools: dict[str, Any], taken: set[str], draw: random.Random) -> Iterator[str]:
    """Names that nobody in the sample has had yet."""
    while True:
        culture = pools["cultures"][draw.choice(pools["names"][language])]
        name = f"{draw.choice(culture['first'])} {draw.choice(culture['last'])}"
        if name not in taken:
            taken.add(name)
            yield name


def plans(scenario: Scenario, uses: int, draw: random.Random) -> Iterator[Plan]:
    """`uses` dialogues of a scenario; a wording comes back only after all others of its turn."""
    sides = [turn[role] for turn in scenario.turns for role in ("user", "assistant")]
    dealt = [islice(cycle(draw.sample(side, len(side))), uses) for side in sides]
    return (Plan(scenario, list(wordings)) for wordings in zip(*dealt, strict=True))


def opened_up(plan: Plan, asides: list[str], draw: random.Random) -> Plan:
    """`plan`, now and then with an aside of the customer that gives away personal data."""
    first, *rest = plan.wordings
    if PERSONAL.search("".join(plan.wordings[::2])) or draw.random() > CHATTY:
        return plan
    aside = draw.choice(asides)
    return plan._replace(wordings=[f"{first}{aside}" if first[-1] in ".?!" else f"{first}\n{aside.strip()}", *rest])


def all_plans(pools: dict[str, Any], draw: random.Random) -> list[Plan]:
    """Every dialogue to be, shuffled: as many of each language as wanted, spread evenly over its scenarios."""
    made: list[Plan] = []
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("scenarios/*.yaml"))]
    for language, wanted in WANTED.items():
        ours = [Scenario(**entry) for file in files for entry in file if entry["language"] == language]
        each, more = divmod(wanted, len(ours))
        often = {scenario.id for scenario in draw.sample(ours, more)}
        bare = [plan for scenario in ours for plan in plans(scenario, each + (scenario.id in often), draw)]
        made += [opened_up(plan, pools["asides"][language], draw) for plan in bare]
    return draw.sample(made, len(made))


def misspell(wording: str, draw: random.Random) -> str:
    """One slip of the finger in a word outside the slots: two letters swapped, one lost or one doubled."""
    at = draw.choice(list(WORD.finditer(wording))).start() + draw.randint(1, 3)
    one, two = wording[at], wording[at + 1]
    return wording[:at] + draw.choice((two + one, two, one + one + two)) + wording[at + 2 :]


def say(wording: str, customer: Customer) -> tuple[str, list[dict[str, Any]]]:
    """The wording with its slots filled, and each personal item with its place."""
    text, planted = "", []
    for literal, slot, _, _ in Formatter().parse(wording):
        text += literal
        value = customer.value(slot) if slot else ""
        if slot and (kind := TYPES.get(slot.rstrip("2"))):
            planted.append({"start": len(text), "end": len(text) + len(value), "type": kind, "text": value})
        text += value
    return text, planted


def main() -> None:
    """Write dialogues.jsonl and dialogues.gold.jsonl."""
    draw = random.Random(SEED)
    pools = yaml.safe_load((HERE / "pools.yaml").read_text(encoding="utf-8"))
    planned, taken = all_plans(pools, draw), {RETURNING}
    supply = {language: people(language, pools, taken, draw) for language in WANTED}
    returning = draw.sample([place for place, plan in enumerate(planned) if plan.suits_returning()], VISITS)
    dialogues, gold = [], []
    for place, (scenario, wordings) in enumerate(planned):
        name, strangers = f"d-{place + 1:04}", supply[scenario.language]
        names = RETURNING if place in returning else next(strangers), next(strangers)
        customer, messages = Customer(names, name, scenario.language, pools), []
        for number, wording in enumerate(wordings):
            role = "assistant" if number % 2 else "user"
            slipped = role == "user" and WORD.search(wording) and draw.random() < MISSPELT
            text, planted = say(misspell(wording, draw) if slipped else wording, customer)
            messages.append({"role": role, "content": text})
            gold += [{"dialogue": name, "message": number, **item} for item in planted]
        about = {"dialogue": name, "language": scenario.language, "topic": scenario.id}
        dialogues.append({"messages": messages, "metadata": about | {"documents": ",".join(scenario.documents)}})
    for file, lines in (("dialogues.jsonl", dialogues), ("dialogues.gold.jsonl", gold)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (SAMPLE / file).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
