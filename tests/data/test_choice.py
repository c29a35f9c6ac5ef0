"""What a build leaves out once it has seen every row: near-duplicates, leaks, what a mixture does not draw."""

import pytest

from luthier.data.build import Now, build, rows
from luthier.data.leakage import Protected
from luthier.errors import BadConfig, BadData
from tests.data.test_build import KEY, chat, part, source

pytestmark = pytest.mark.usefixtures("weightless")

LONG = (
    "You can change the delivery address of your card in the app, under profile and then contact details, "
    "until it is printed."
)
ASKED = "Which documents does the bank ask me for when I want to open an account for my small bakery abroad?"


def read(made) -> int:
    """Rows that the version accounts for."""
    return sum(made.counts.values()) + made.duplicates + made.quarantined + sum(made.left_out.values())


def test_near_duplicates_leave_but_not_where_a_figure_differs(tmp_path, blobs):
    lines = [
        chat("How do I change it?", LONG),
        chat("How do I change it?", LONG.replace("in the app", "in our app")),
        chat("How do I change it?", f"{LONG} It costs 8 EUR."),
        chat("How do I change it?", f"{LONG} It costs 9 EUR."),
    ]
    desk = source(tmp_path, "desk", *lines)
    assert sum(build(part(desk), tmp_path, blobs, key=KEY).counts.values()) == 4
    made = build(part(desk, near=0.8), tmp_path, blobs, key=KEY)
    assert made.left_out == {"nearly the same as another row": 1}
    assert [row.line for row in rows(made, blobs)] == [1, 3, 4]
    (left,) = blobs.lines(made.quarantine)
    assert left["line"] == 2
    assert next(iter(rows(made, blobs))).id in left["detail"]
    longest = build(part(desk, near=0.8, keep="longest"), tmp_path, blobs, key=KEY)
    assert len(list(rows(longest, blobs))) == 3
    assert read(made) == read(longest) == 4


def test_a_build_that_gives_a_question_away_is_refused_or_does_without(tmp_path, blobs):
    desk = source(tmp_path, "desk", chat(ASKED, "Your register entry."), chat("Is it open on Sundays?", "No."))
    now = Now(protected=[Protected("q-7", ASKED)])
    with pytest.raises(BadData, match="q-7"):
        build(part(desk), tmp_path, blobs, key=KEY, now=now)
    made = build(part(desk, leaks="leave-out"), tmp_path, blobs, key=KEY, now=now)
    assert made.left_out == {"gives the evaluation away": 1}
    assert [row.line for row in rows(made, blobs)] == [2]
    assert read(made) == 2


def test_a_mixture_draws_training_rows_and_leaves_what_it_does_not_name(tmp_path, blobs):
    many = source(tmp_path, "many", *(chat(f"Question number {n} about cards?") for n in range(60)))
    few = source(tmp_path, "few", *(chat(f"Frage Nummer {n} zum Konto?") for n in range(10)))
    rest = source(tmp_path, "rest", chat("Something else?"))
    mixed = part(many, few, rest, mixture={"many": 3, "few": 1}, validation=0.0)
    made = build(mixed, tmp_path, blobs, key=KEY)
    assert {use.name: use.rows for use in made.sources} == {"many": 30, "few": 10, "rest": 1}
    assert made.left_out == {"not drawn for the mixture": 30}
    assert build(mixed, tmp_path, blobs, key=KEY) == made
    with pytest.raises(BadConfig, match="did you mean 'few'"):
        build(part(few, mixture={"fev": 1}), tmp_path, blobs, key=KEY)


def test_rows_keep_their_scores_and_a_limit_leaves_rows_out(tmp_path, blobs):
    good = chat("How do I reset my code?", "Open the app, choose security, and follow the steps.")
    circling = chat("And now?", "Press the button again. " * 30)
    desk = source(tmp_path, "desk", good, circling)
    made = build(part(desk), tmp_path, blobs, key=KEY)
    first, second = rows(made, blobs)
    assert "repetition" not in first.scores
    assert second.scores["repetition"] > 0.5
    limited = build(part(desk, limits={"repetition": 0.5}), tmp_path, blobs, key=KEY)
    assert limited.left_out == {"repetition above 0.5": 1}
    assert read(limited) == 2
    with pytest.raises(BadConfig, match="does not run"):
        build(part(desk, limits={"toxicity": 0.5}), tmp_path, blobs, key=KEY)
