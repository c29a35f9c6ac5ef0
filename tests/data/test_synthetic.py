"""Synthetic rows: what is read out of answers, what carries them, what is written, and how many a build takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data.leakage import Protected
from luthier.data.synthetic import written
from luthier.data.synthetic.diversity import Known, distinct_n
from luthier.data.synthetic.groundedness import Answers, belongs, given_away, uncarried, unmeasured, whole
from luthier.data.synthetic.guarded import Guard
from luthier.data.synthetic.lines import key_in
from luthier.data.synthetic.parsing import one, pair, prose
from luthier.data.synthetic.share import SURPLUS, UNMEASURED, Marked, allowed, surplus
from luthier.data.synthetic.templates import KINDS, TEMPLATES
from luthier.data.synthetic.wording import foreign, unfit
from luthier.errors import BadConfig, Busy
from tests.data.synthetic_made import OTHER, PASSAGE, reason


class TestParsing:
    @pytest.mark.parametrize(
        ("text", "question", "answer"),
        [
            ("Question: What is it?\nAnswer: A card.", "What is it?", "A card."),
            ("Question: What is it? Answer: A card.", "What is it?", "A card."),
            ("**Question:** What is it?\n\n**Answer:** A card.", "What is it?", "A card."),
            ("1. What is it?\n2. What else is it?", "What is it?", "What else is it?"),
            ("Sure, here is one:\n\nQ: What is it?\nA: A card.\nQ: Another?\nA: No.", "What is it?", "A card."),
            ('{"question": "What is it?", "answer": "A card."}', "What is it?", "A card."),
            ('```json\n[{"Question": "What is it?", "Answer": "A card."}]\n```', "What is it?", "A card."),
            ('{"pairs": [{"q": "What is it?", "a": "A card."}]}', "What is it?", "A card."),
            (
                "<think>hm, Question: no?</think>Frage: Was ist das?\nAntwort: Eine Karte.",
                "Was ist das?",
                "Eine Karte.",
            ),
            ("What is it?", "What is it?", ""),
            ("“What is it?”", "What is it?", ""),
            ("Answer: A card.", "", "A card."),
            ("Question:\nWhat is it?\nAnswer:\nA card.", "What is it?", "A card."),
            ("", "", ""),
            ("```\n```", "", ""),
            ('{"question": 7}', "", ""),
            ("[" * 5000, "[" * 4000, ""),
        ],
    )
    def test_pair(self, text, question, answer):
        assert pair(text) == (question, answer)

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ('Other words: "How much is it?"', "How much is it?"),
            ("- How much is it?\n- What does it cost?", "How much is it?"),
            ("Sure, here is a rewritten question:\nHow much is it?", "How much is it?"),
            ('["How much is it?"]', "How much is it?"),
            ("Message: Get me a human.", "Get me a human."),
        ],
    )
    def test_one(self, text, wanted):
        assert one(text) == wanted

    def test_prose_keeps_every_line(self):
        assert prose("Answer: It costs 9 EUR.\nIt arrives\nsoon.") == "It costs 9 EUR. It arrives soon."

    @given(st.text(st.characters(), max_size=300))
    @settings(deadline=None, max_examples=200)
    def test_anything_can_be_written_down_afterwards(self, text):
        for found in (*pair(text), one(text), prose(text)):
            assert "\n" not in found
            found.encode()


class TestWording:
    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "nothing was written"),
            ("What?", "too short or too long"),
            ("what " * 80 + "?", "too short or too long"),
            ("I would like a card.", "no question"),
            ("What does the text say about cards?", "speaks of the prompt instead of the matter"),
            ("Question: what is the card?", "speaks of the prompt instead of the matter"),
            ("1234 5678 9012 3456 7?", "hardly any letters"),
            ("Is a card a card a card a card a card?", "goes round in circles"),
        ],
    )
    def test_unfit(self, text, why):
        assert reason(unfit(text)) == why

    def test_a_plain_question_is_fit(self):
        assert unfit("How long does a new card take?") is None
        assert unfit("I have lost my card.", asks=False) is None

    def test_another_language_is_named(self):
        assert foreign("Wie lange dauert es, bis meine neue Karte kommt?", "en", ("en", "de")) == "de"
        assert not foreign("Wie lange dauert es, bis meine neue Karte kommt?", "de-AT", ("en", "de"))


class TestGroundedness:
    def test_what_the_passage_says_is_carried(self):
        assert not uncarried("A second card costs 9 EUR.", PASSAGE)
        assert not uncarried("A second card costs 9 EUR [1]. You can pause a card for 7 days.", PASSAGE)

    @pytest.mark.parametrize(
        "answer",
        [
            "A second card costs 8 EUR.",
            "A second card never costs 9 EUR.",
            "The moon is made of cheese.",
            "",
            "Is it 9?",
        ],
    )
    def test_what_it_does_not_say_is_not(self, answer):
        assert uncarried(answer, PASSAGE)

    def test_one_wrong_sentence_is_enough(self):
        assert uncarried("A second card costs 9 EUR. It is made of gold.", PASSAGE) == "It is made of gold."

    def test_belongs(self):
        quote = "A second Lark card costs 9 EUR per year."
        assert belongs("What does a second Lark card cost?", quote, PASSAGE)
        assert not belongs("What does it cost?", quote, PASSAGE)
        assert not belongs("What do 12 second Lark cards cost?", quote, PASSAGE)
        assert not belongs("Does Zorbania have a second card?", quote, PASSAGE)
        assert not belongs("How many days can I pause?", quote, PASSAGE)

    def test_what_serving_would_let_pass_may_be_too_little_to_learn_from(self):
        answer = "A second card costs 9 EUR for everybody always."
        assert uncarried(answer, PASSAGE) == answer
        assert not uncarried(answer, PASSAGE, 0.6)

    def test_whole(self):
        quote = "After 3 months a replacement of a broken card costs 9 EUR."
        assert not whole("A card costs 9 EUR.", quote)
        assert whole("A replacement of a broken card costs 9 EUR.", quote)

    def test_a_number_that_is_asked_for_is_said(self):
        assert unmeasured("How long does it take?", "It takes a while.")
        assert not unmeasured("Wie lange dauert es?", "Sieben Tage.")
        assert not unmeasured("Where do I find it?", "In the app.")

    def test_given_away(self):
        assert given_away("Can I pause a card for 7 days?", "You can pause a card for 7 days.")
        assert not given_away("How long can I pause a card?", "You can pause a card for 7 days.")

    def test_where_documents_answer(self):
        answers = Answers([PASSAGE, OTHER])
        assert answers.best("When does the branch open on Saturdays?").passage == OTHER
        assert answers.best("Do you sell elephants?").share == 0
        passage, sentence = answers.sentence("For how many days can I pause a card?") or (None, "")
        assert (passage, sentence) == (PASSAGE, "You can pause a card for 7 days.")
        assert answers.sentence("Can I pause a card for 8 days?") is None


class TestDiversity:
    def test_near_is_known_and_far_is_not(self):
        known = Known()
        known.add([("a", "How much does a second card cost?"), ("b", "When is the branch open?")])
        name, similarity = known.nearest("how much does the second card cost") or ("", 0)
        assert (name, round(similarity, 2)) == ("a", 0.66)
        assert known.nearest("Who may read my statements?") is None
        assert known.nearest("?!") is None
        assert Known().nearest("anything at all") is None

    def test_distinct(self):
        assert distinct_n([], 1) == 0
        assert distinct_n(["a b c", "d e f"], 1) == 1
        assert distinct_n(["a b", "a b"], 2) == 0.5


class TestGuard:
    def test_exact_near_and_ngram(self):
        guard = Guard([Protected("q1", "What does a second Lark card cost in a year?")])
        assert guard.given_away(["what does a second lark card cost in a year"]) == "q1, exact"
        assert guard.given_away(["Well: what does a second Lark card cost in a year?"]) == "q1, near"
        inside = "I wondered about this: what does a second Lark card cost in a year? Nobody of my family knows."
        assert guard.given_away([inside]) == "q1, ngram"
        assert not guard.given_away(["How long does a new one take?"])

    def test_it_does_not_wear_out(self):
        guard = Guard([Protected("q1", "What does a second Lark card cost in a year?")])
        text = "Tell me please, what does a second Lark card cost in a year, and for whom is that?"
        assert [guard.given_away([text]) for _ in range(15)] == ["q1, ngram"] * 15

    def test_nothing_is_protected(self):
        assert not Guard([]).given_away(["Anything at all?"])


class TestWritten:
    def ours(self, line) -> bool:
        return bool(key_in(line))

    def line(self, key: str) -> dict:
        return {"metadata": {"synthetic": "true", "key": key}, "said": "ü"}

    def test_lines_stay_and_a_torn_one_goes(self, tmp_path):
        path = tmp_path / "s.jsonl"
        with written.opened(path, self.ours) as file:
            file.append(self.line("a"))
            file.append(self.line("b"))
        whole = path.read_bytes()
        path.write_bytes(whole + whole[:30])
        with written.opened(path, self.ours) as file:
            assert [key_in(line) for line in file.held] == ["a", "b"]
            file.append(self.line("c"))
        assert path.read_bytes() == whole + whole.splitlines(keepends=True)[0].replace(b'"a"', b'"c"')

    @pytest.mark.parametrize("data", [b'{"messages": []}\n', b"hello\n", b"\xff\n", b"no line end", b"[]\n"])
    def test_a_file_of_somebody_else_is_left_alone(self, tmp_path, data):
        path = tmp_path / "dialogues.jsonl"
        path.write_bytes(data)
        with pytest.raises(BadConfig, match="line 1"), written.opened(path, self.ours):
            pass
        assert path.read_bytes() == data

    def test_two_at_once(self, tmp_path):
        with written.opened(tmp_path / "s", self.ours), pytest.raises(Busy), written.opened(tmp_path / "s", self.ours):
            pass

    def test_kill_9_loses_nothing_that_was_said_to_be_written(self, tmp_path):
        path = tmp_path / "s.jsonl"
        code = (
            "import sys\nfrom pathlib import Path\nfrom luthier.data.synthetic import written\n"
            "with written.opened(Path(sys.argv[1]), lambda line: True) as file:\n"
            "    for n in range(10**6):\n"
            "        file.append({'metadata': {'synthetic': 'true', 'key': str(n)}, 'x': 'y' * 5000})\n"
            "        print(n, flush=True)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=os.getcwd())
        assert child.stdout
        told = [child.stdout.readline() for _ in range(20)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read().splitlines()
        child.wait()
        child.stdout.close()
        with written.opened(path, self.ours) as file:
            keys = [int(key_in(line)) for line in file.held]
        assert keys == list(range(len(keys)))
        assert len(keys) >= len([line for line in told if line.strip()])


def a_row(number: int, *, made: bool, split: str = "train") -> Marked:
    return Marked(f"{number:016x}", split, made)


class TestShare:
    @given(real=st.integers(0, 40), made=st.integers(0, 40), share=st.floats(0, 1), seed=st.integers(0, 3))
    @settings(deadline=None, max_examples=200)
    def test_the_share_is_never_exceeded_and_no_row_goes_in_vain(self, real, made, share, seed):
        rows = [a_row(n, made=n >= real) for n in range(real + made)]
        left = surplus(rows, share, seed)
        assert all(int(name, 16) >= real for name in left)
        kept = made - len(left)
        assert kept <= share * (real + kept) + 1e-6
        assert not left or kept + 1 > share * (real + kept + 1) - 1e-6
        assert {why.rule for why in left.values()} <= {SURPLUS}

    def test_what_is_measured_with_is_real(self):
        rows = [a_row(1, made=False), a_row(2, made=True, split="validation"), a_row(3, made=True, split="test")]
        assert {why.rule for why in surplus(rows, 1.0).values()} == {UNMEASURED}

    def test_a_row_more_pushes_out_at_most_one(self):
        rows = [a_row(n, made=n >= 10) for n in range(60)]
        before = set(surplus(rows, 0.5))
        after = set(surplus([*rows, a_row(99, made=True)], 0.5))
        assert len(before - after) <= 1
        assert before <= after | before
        assert surplus(rows, 0.5, 1).keys() != before

    def test_the_edges(self):
        assert allowed(7, 1.0) is None
        assert allowed(7, 0.0) == 0
        assert allowed(10, 0.5) == 10
        assert allowed(9, 0.1) == 1


def test_another_wording_is_another_version():
    template = TEMPLATES["questions"]
    assert len({each.version for each in TEMPLATES.values()}) == len(KINDS)
    assert template.version != template._replace(ask=template.ask + " ").version
