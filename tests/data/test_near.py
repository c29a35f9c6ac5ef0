"""Near-duplicates against Python sets: pairs that are reported are exact, pairs that are planted are found."""

from __future__ import annotations

import json
import random
import re
import string
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data import near
from luthier.data.clusters import Text, replaced, shown, text_of
from luthier.data.minhash import Rule, Sketcher, shape
from luthier.data.shingles import characters, distinct, figures, jaccard, ngrams, normal, words
from luthier.errors import BadConfig
from luthier.records.data import Message, Row


def shingled(text: str, size: int = 5) -> set[str]:
    """The oracle: shingles in plain Python, of texts in ASCII."""
    plain = re.sub(r"[^a-z0-9$+<=>^`|~]+", " ", text.lower()).strip()
    if not plain:
        return set()
    return {plain[at : at + size] for at in range(max(1, len(plain) - size + 1))}


def similarity(one: str, other: str) -> float:
    a, b = shingled(one), shingled(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def named(*texts: str) -> list[Text]:
    return [Text(str(number), text) for number, text in enumerate(texts)]


def dropped(*texts: str, **rule: object) -> dict[str, str]:
    return replaced(near.clusters(named(*texts), Rule(**rule)))


def sentence(draw: random.Random, count: int) -> list[str]:
    return ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 9))) for _ in range(count)]


SAID = "I would like to know what a transfer to another bank costs me if I send it from the app today"
plain = st.text(alphabet=string.ascii_letters + string.digits + " .,!?$<>-\n", max_size=60)


@settings(deadline=None)
@given(st.lists(plain, max_size=8), st.integers(1, 7))
def test_shingles_are_those_of_plain_python(texts, size):
    made = characters([normal(text) for text in texts], size)
    assert [len(each) for each in made.sets()] == [len(shingled(text, size)) for text in texts]
    for one, a in zip(texts, made.sets(), strict=True):
        for other, b in zip(texts, made.sets(), strict=True):
            x, y = shingled(one, size), shingled(other, size)
            assert jaccard(a, [b])[0] == (len(x & y) / len(x | y) if x | y else 0.0)


@settings(deadline=None)
@given(st.lists(plain, max_size=8), st.integers(1, 4))
def test_runs_of_words_are_those_of_plain_python(texts, size):
    made = ngrams(words([normal(text) for text in texts]), size, short=False)
    for number, text in enumerate(texts):
        said = re.sub(r"[^a-z0-9$<>]+", " ", text.lower()).split()
        runs = [tuple(said[at : at + size]) for at in range(len(said) - size + 1)]
        values = made.values[made.starts[number] : made.starts[number + 1]].tolist()
        assert len(values) == len(runs)
        assert len(set(zip(values, runs, strict=True))) == len(set(values)) == len(set(runs))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_clusters_agree_with_brute_force(seed):
    """Who leaves is like who stays, exactly; no two that stay are alike, but for what MinHash may miss."""
    draw = random.Random(seed)
    base = [sentence(draw, draw.randint(1, 14)) for _ in range(6)]
    texts = []
    for _ in range(24):
        row = list(draw.choice(base))
        for _ in range(draw.randint(0, 2)):
            row[draw.randrange(len(row))] = sentence(draw, 1)[0]
        texts.append(" ".join(row))
    threshold = draw.choice([0.5, 0.7, 0.8, 0.9, 1.0])
    found = near.clusters(named(*texts), Rule(threshold, seed=seed))
    for cluster in found:
        for same in cluster.dropped:
            assert same.similarity == similarity(texts[int(cluster.kept)], texts[int(same.name)]) >= threshold
            assert int(cluster.kept) < int(same.name)
    left = [number for number in range(len(texts)) if str(number) not in replaced(found)]
    alike = [(a, b) for a in left for b in left if a < b and similarity(texts[a], texts[b]) >= threshold]
    assert len(alike) <= 1  # 276 pairs, each missed with a probability of 0.003 at most


@pytest.mark.parametrize(("unit", "size"), [("characters", 5), ("words", 3)])
def test_planted_duplicates_are_found(unit, size):
    """The bar: recall .98 and precision .95 at .8 and above. Pairs are verified, so precision is 1."""
    draw = random.Random(7)
    texts = [" ".join(sentence(draw, draw.randint(20, 70))) for _ in range(1500)]
    sets = Sketcher(Rule(unit=unit, size=size))
    planted = []
    for original in range(600):
        row = texts[original].split()
        for _ in range(1 + draw.randrange(max(1, len(row) // (8 if unit == "characters" else 20)))):
            row[draw.randrange(len(row))] = sentence(draw, 1)[0]
        texts.append(" ".join(row))
        a, b = sets.shingles([texts[original], texts[-1]]).sets()
        if jaccard(a, [b])[0] >= 0.8:
            planted.append(str(len(texts) - 1))
    found = replaced(near.clusters(named(*texts), Rule(unit=unit, size=size)))
    assert 100 < len(planted) < 590  # some are changed too much, and have to stay
    assert sum(name in found for name in planted) >= 0.99 * len(planted)
    assert set(found) <= set(planted)


def test_the_promised_recall_at_the_threshold():
    for threshold in np.arange(0.3, 1.0, 0.05):
        rows, bands = shape(threshold)
        assert (1 - threshold**rows) ** bands <= 0.003
        assert rows * bands <= 160


def test_figures_keep_rows_apart():
    said = f"{SAID}: is it {{}} EUR for amounts up to {{}} EUR?"
    texts = [said.format(8, "1,000"), said.format(9, "1,000"), said.format(8, 1000), said.format("8", "1.000")]
    assert dropped(*texts) == {"2": "0", "3": "0"}
    assert dropped(*texts, figures=False) == {"1": "0", "2": "0", "3": "0"}
    assert dropped(f"{SAID} <PERSON_1>", f"{SAID} <PERSON_2>") == {"1": "0"}
    assert figures("1.50 of 12,5 and 10.000 by <IBAN_3> on 24.12.") == ("1.50", "10000", "12.5", "24.12")


def test_case_punctuation_and_forms_of_letters_do_not_count():
    assert dropped("Wie heißt die Straße?", "WIE HEISST DIE STRASSE", "wie  heißt: die\nStraße!!") == {
        "1": "0",
        "2": "0",
    }
    assert dropped("ﬁnance ２", "finance 2") == {"1": "0"}
    assert dropped("8 €", "8 $") == {}
    assert dropped("如何激活我的银行卡?", "如何激活我的银行卡", "如何注销我的银行账户") == {"1": "0"}
    assert dropped("हिन्दी में", "हन्द म") == {}


def test_texts_without_a_word_are_like_no_other():
    assert dropped("", "", "?!", "...", "\n") == {}
    assert near.clusters([]) == []
    assert dropped("a", "a", "b", "ab") == {"1": "0"}
    assert dropped("\ud800 broken", "\ud800 broken") == {"1": "0"}


def test_which_one_stays():
    rows = [
        Text("old", SAID, "2024-01-31"),
        Text("long", SAID + ", please", "2024-05-01"),
        Text("new", SAID + " ok", "2025-02-01"),
        Text("undated", SAID),
    ]
    for keep, stays in (("first", "old"), ("longest", "long"), ("newest", "new")):
        (cluster,) = near.clusters(rows, Rule(keep=keep))
        assert cluster.kept == stays
        assert {same.name for same in cluster.dropped} == {row.name for row in rows} - {stays}
    with pytest.raises(BadConfig, match="first, longest, newest"):
        near.clusters(rows, Rule(keep="last"))


def test_no_chain_takes_a_row_out_for_one_that_it_does_not_resemble():
    chain = sentence(random.Random(3), 30)
    texts = [" ".join(chain[step : step + 20]) for step in range(0, 11, 1)]
    found = near.clusters(named(*texts))
    assert len(found) > 1
    for cluster in found:
        assert all(similarity(texts[int(cluster.kept)], texts[int(same.name)]) >= 0.8 for same in cluster.dropped)


def test_rows_may_be_kept_apart():
    rows = [Text("a", SAID, apart="mail"), Text("b", SAID, apart="chat"), Text("c", SAID, apart="mail")]
    assert replaced(near.clusters(rows)) == {"c": "a"}


@pytest.mark.parametrize("rule", [Rule(0.2), Rule(1.1), Rule(size=0)])
def test_rules_that_cannot_be(rule):
    with pytest.raises(BadConfig, match="threshold"):
        near.clusters(named("a"), rule)


def test_the_same_on_every_machine():
    """Neither Python's salt of hashes nor the sizes of batches, blocks and what is at hand change what leaves."""
    code = (
        "from luthier.data import near; from luthier.data.clusters import Text; import random; d = random.Random(1);"
        "b = [[''.join(d.choices('abcdefg', k=5)) for _ in range(20)] for _ in range(40)];"
        "t = [' '.join(w if d.random() > .02 else 'zz' for w in d.choice(b)) for _ in range(300)];"
        "c = near.clusters(Text(str(i), x) for i, x in enumerate(t));"
        "print([(x.kept, *[(s.name, round(s.similarity, 9)) for s in x.dropped]) for x in c])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", f"import luthier.data.near as n; n.BATCH = n.BLOCK = n.AT_HAND = {batch}; {code}"],
            env={"PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt, batch in (("1", 1 << 16), ("2", 100), ("3", 5000))
    }
    assert len(said) == 1
    assert len(said.pop()) > 1000
    assert distinct(characters(["luthier"], 5).values).tolist() == [
        5277979322771086545,
        10979436136790624319,
        17329091064319725252,
    ]


def test_many_equal_or_similar_rows_take_linear_time():
    """A family of thousands: each row meets the few that stay, not all others."""
    draw = random.Random(5)
    row = sentence(draw, 60)
    family = []
    for _ in range(4000):
        row[0] = sentence(draw, 1)[0]
        family.append(" ".join(row))
    compared = []
    whole = near.jaccard
    near.jaccard = lambda one, others: compared.extend(others) or whole(one, others)
    try:
        found = near.clusters(named(*family, *family))
    finally:
        near.jaccard = whole
    assert sum(len(cluster.dropped) for cluster in found) > 7900
    assert len(compared) < 3 * 4000


def test_memory_does_not_grow_with_the_length_of_texts():
    def peak(length: int) -> int:
        draw = random.Random(1)
        texts = (Text(str(n), " ".join(draw.choices(vocabulary, k=length))) for n in range(1500))
        tracemalloc.start()
        near.clusters(texts)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    vocabulary = sentence(random.Random(2), 3000)
    near.clusters(named("fills what is made once"))
    assert peak(400) < peak(40) + 6_000_000  # ten times the text; together they are 4 MB longer


def test_what_is_compared_of_a_row():
    call = {"id": "1", "function": {"name": "fee"}}
    row = Row(
        id="r",
        split="train",
        source="desk",
        line=1,
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="How much?"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content="8"),
            Message(role="assistant", content="8 EUR"),
        ),
        rejected=(Message(role="assistant", content="No idea"),),
        collected="2025-01-01",
    )
    said = f"How much?\n{json.dumps(call)}\n8\n8 EUR\nNo idea"
    assert text_of(row) == Text("r", said, "2025-01-01")
    liked, disliked = (text_of(row.model_copy(update={"good": good}), "en") for good in (True, False))
    assert liked.apart != disliked.apart
    assert near.clusters([text_of(row), liked, disliked]) == []


def test_clusters_can_be_looked_at():
    texts = [SAID + " before noon", SAID + " before noon", SAID + " after noon", "something else"]
    page = shown(near.clusters(named(*texts)), lambda name: texts[int(name)], width=60)
    assert page.splitlines()[0] == "1 clusters, 2 rows leave"
    assert "1.000  1  " in page
    assert "after noon" in page  # the place where it departs, not its beginning
    assert "something else" not in page
