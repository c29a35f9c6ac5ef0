"""Which candidates of each kind may join, and what is made of them in what order."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data.chat_jsonl import read as read_chat
from luthier.data.formats.preferences import read as read_preferences
from luthier.data.leakage import Protected
from luthier.data.raw import Raw
from luthier.data.synthetic.diversity import Known
from luthier.data.synthetic.drafts import Draft, Material
from luthier.data.synthetic.generator import FAILURES, Checks, Order, Output, generate, seed_of
from luthier.data.synthetic.guarded import Guard
from luthier.data.synthetic.lines import key_in, line_of
from luthier.data.synthetic.makers import MAKERS
from luthier.data.synthetic.questions import name_of
from luthier.data.synthetic.share import synthetic
from luthier.data.synthetic.templates import KINDS, TEMPLATES, lettered
from luthier.errors import BadConfig, BadData, RunFailed, Unavailable
from tests.data.synthetic_made import EXAMPLE, FEES, GENERATOR, HOURS, MATERIAL, OTHER, PASSAGE, judged, reason


class Memory:
    """An output that keeps lines, and the checks around it."""

    def __init__(self) -> None:
        self.kept: list[dict] = []
        self.refused: list[dict] = []

    def output(self) -> Output:
        return Output(self.kept.append, self.refused.append, list(self.kept), list(self.refused))


def checks(protected=(), languages=()) -> Checks:
    return Checks(Known(), Guard([Protected(f"p{n}", text) for n, text in enumerate(protected)]), languages)


def order(kind="questions", rows=3, most=50, generator=GENERATOR) -> Order:
    return Order(kind, rows, generator, most)


class TestQuestions:
    def test_a_grounded_pair_names_its_gold(self):
        found = judged(
            "questions", "Q: What does a second Lark card cost?\nA: A second Lark card costs 9 EUR a year [1]."
        )
        assert isinstance(found, Draft)
        assert found.answer == "A second Lark card costs 9 EUR a year."
        assert found.metadata == {
            "passage": f"fees#char=10,{10 + len(FEES)}",
            "digest": "d" * 12,
            "documents": "fees",
            "answer": "written",
        }
        assert found.licence == "CC-BY-4.0"

    def test_an_answer_that_leaves_much_out_is_replaced_by_the_sentence(self):
        found = judged("questions", "Q: What does a second Lark card cost?\nA: It costs 9 EUR.")
        assert isinstance(found, Draft)
        assert (found.answer, found.metadata["answer"]) == ("A second Lark card costs 9 EUR per year.", "quoted")

    def test_without_an_answer_the_sentence_answers(self):
        found = judged("questions", "What does a second Lark card cost me?")
        assert isinstance(found, Draft)
        assert (found.answer, found.metadata["answer"]) == ("A second Lark card costs 9 EUR per year.", "quoted")

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("Q: What does a second Lark card cost?\nA: It costs 12 EUR.", "the passage does not carry the answer"),
            (
                "Q: How long is a second Lark card valid?\nA: You can pause a card for 7 days.",
                "the answer is about something else",
            ),
            (
                "Q: Who painted the Mona Lisa?\nA: A second card costs 9 EUR.",
                "the answer is about something else",
            ),
            ("Q: Does a second Lark card cost 9 EUR per year?", "the question gives its own answer"),
            ("Q: A second Lark card costs 9 EUR per year?", "repeats the sentence instead of asking"),
        ],
    )
    def test_refused(self, text, why):
        assert reason(judged("questions", text)) == why

    def test_every_sentence_is_asked_about_in_its_language(self):
        works = MAKERS["questions"](Material((PASSAGE.model_copy(update={"locale": "de-AT"}),)))
        assert len(works) == 3
        messages = works[0].messages()
        assert messages[0]["content"].endswith("Write in German.")
        assert messages[-1] == {"role": "user", "content": "About Card fees: A second Lark card costs 9 EUR per year."}


class TestParaphrases:
    def test_the_answer_stays_and_the_row_follows_its_origin(self):
        found = judged("paraphrases", "Other words: How much is a second Lark card going to cost me?")
        assert isinstance(found, Draft)
        assert found.answer == EXAMPLE.answer
        assert found.metadata == {"from": "r1", "dialogue": "d-7", "documents": "fees"}
        assert (found.licence, found.until) == ("CC0-1.0", "2030-01-31")

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("What do I pay for a second Lark card?", "hardly changed"),
            ("what do I pay for a second lark card", "no question"),
            ("What do I pay for the second Lark card?", "hardly changed"),
            ("How much are 3 second Lark cards going to cost?", "other numbers or names"),
            ("How much is a second card going to cost me?", "other numbers or names"),
            ("Why would I not pay for a second Lark card?", "says the opposite"),
            ("Where does the sun rise above Lark mountains every morning?", "about something else"),
        ],
    )
    def test_refused(self, text, why):
        assert reason(judged("paraphrases", text)) == why

    def test_placeholders_stay(self):
        material = Material(examples=(EXAMPLE._replace(question="Can <PERSON_1> get a second Lark card?"),))
        assert reason(judged("paraphrases", "Would a second Lark card be possible?", material=material)) == (
            "other numbers or names"
        )

    def test_meaning_decides_where_it_can_be_measured(self):
        text = "How much is a second Lark card going to cost me?"
        far = judged("paraphrases", text, material=MATERIAL._replace(alike=lambda _a, _b: 0.4))
        assert reason(far) == "means something else"
        assert isinstance(judged("paraphrases", text, material=MATERIAL._replace(alike=lambda _a, _b: 0.9)), Draft)


class TestNegatives:
    def test_a_close_question_that_nothing_answers(self):
        found = judged(
            "negatives", "Question: Which colours does the second Lark card come in, and is there a design of my own?"
        )
        assert isinstance(found, Draft)
        assert found.answer == "I could not find this in our documents."
        assert found.metadata["documents"] == ""

    def test_another_document_may_answer_it(self):
        material = MATERIAL._replace(
            passages=(PASSAGE, OTHER.model_copy(update={"text": HOURS + " A card has three colours."}))
        )
        found = judged("negatives", "Which three colours has a card?", material=material)
        assert reason(found) == "the documents may answer it"
        assert "hours#char=" in found.detail

    def test_refused(self):
        assert (
            reason(judged("negatives", "What does a second Lark card cost per year?")) == "the documents may answer it"
        )
        assert reason(judged("negatives", "Can I simply pause it?")) == "the documents may answer it"
        assert reason(judged("negatives", "Who painted the ceiling of that chapel?")) == "not about the passage"

    def test_the_words_are_in_the_passage_language(self):
        material = MATERIAL._replace(passages=(PASSAGE.model_copy(update={"locale": "de"}),))
        found = judged(
            "negatives", "Which colours does the second Lark card come in, and with whose design?", material=material
        )
        assert found.answer == "Das steht nicht in unseren Unterlagen."


class TestEdges:
    def test_inside_gets_the_words_of_the_action(self):
        found = judged("edges", "Message: I want a colleague of yours on the phone now.")
        assert isinstance(found, Draft)
        assert (found.answer, found.metadata) == (
            "I am passing you on.",
            {"clause": "person/inside", "action": "escalate"},
        )

    def outside(self, text):
        works = MAKERS["edges"](MATERIAL)
        return next(work for work in works if "/outside/" in work.unit).judge([text])

    def test_outside_is_answered_by_the_documents(self):
        found = self.outside("When does the Port Sedge branch open on Saturdays?")
        assert found.answer == "The branch in Port Sedge opens at 9:30 on Saturdays."
        assert (found.metadata["documents"], found.metadata["action"]) == ("hours", "answer")

    def test_outside_without_an_answer_abstains(self):
        found = self.outside("Do you offer training for elephant keepers anywhere?")
        assert (found.answer, found.metadata["documents"]) == ("I could not find this in our documents.", "")

    def test_refused(self):
        assert reason(judged("edges", "Please tell me a good joke.")) == "the clause does not decide on it"
        assert reason(judged("edges", "let me speak to a human!")) == "copies an example of the policy"
        assert reason(self.outside("Is there a human in Port Sedge at all?")) == "a clause decides on it"
        assert reason(self.outside("Can I pause the card again at the branch?")) == (
            "unclear whether the documents answer it"
        )

    def test_clauses_about_answers_are_left_out(self):
        assert {work.unit.split("/")[0] for work in MAKERS["edges"](MATERIAL)} == {"person"}


class TestPreferences:
    def test_the_carried_answer_is_chosen(self):
        good, bad = "It costs 9 EUR per year.", "It costs 12 EUR per year."
        for answers in ((good, bad), (bad, good)):
            found = judged("preferences", *answers)
            assert isinstance(found, Draft)
            assert (found.answer, found.rejected) == (good, bad)
            assert found.metadata["ranked"] == "carried, complete over not carried, figures missing"

    def test_refused(self):
        assert reason(judged("preferences", "It costs 9 EUR.", "It costs 9 EUR per year.")) == "neither answer is bad"
        assert reason(judged("preferences", "It is free.", "It costs 12 EUR.")) == "neither answer is good"
        assert reason(judged("preferences", "It costs 9 EUR.", "it costs 9 eur")) == "both answers say the same"
        assert reason(judged("preferences", "It costs 9 EUR.", "")) == "nothing was answered"

    def test_a_row_whose_answer_nothing_carries_is_no_candidate(self):
        assert not MAKERS["preferences"](MATERIAL._replace(examples=(EXAMPLE._replace(answer="It is blue."),)))
        assert not MAKERS["preferences"](MATERIAL._replace(examples=(EXAMPLE._replace(documents="hours"),)))
        assert MAKERS["preferences"](MATERIAL._replace(examples=(EXAMPLE._replace(documents=None),)))


@pytest.mark.parametrize("kind", KINDS)
@given(
    texts=st.lists(st.text(st.characters(), max_size=200) | st.binary(max_size=80).map(repr), min_size=2, max_size=2)
)
@settings(deadline=None, max_examples=60)
def test_whatever_is_answered_gives_a_row_or_a_refusal(kind, texts):
    for work in MAKERS[kind](MATERIAL)[:1]:
        found = work.judge(texts)
        if isinstance(found, Draft):
            json.dumps(line_of(kind, "k", found, GENERATOR), ensure_ascii=False).encode()
        else:
            assert found.reason
            json.dumps(found._asdict(), ensure_ascii=False).encode()


ASKED = {
    "A second": "What does a second Lark card cost me per year?",
    "The card": "When will the card arrive after I ordered it?",
    "You can": "For how many days is it possible to pause a card?",
    "The branch": "From when on is the branch in Port Sedge open on Saturdays?",
    "It is": "Do you have opening hours on Sundays or public holidays as well?",
}


def scripted(messages, *, seed, temperature, max_tokens) -> str:
    """A writer whose words depend on the seed alone: good, wrong and useless answers."""
    about = messages[-1]["content"].partition(": ")[2]
    question = next(question for begin, question in ASKED.items() if about.startswith(begin))
    answers = (f"Question: {question}", f"Question: {question}\nAnswer: It costs 13 EUR.", "I cannot do that.")
    return answers[seed % 3]


class TestGenerator:
    def test_rows_are_marked_and_read_by_the_house(self, tmp_path):
        memory = Memory()
        report = generate(order(), MAKERS["questions"](MATERIAL), scripted, checks(), memory.output())
        assert report.kept == len(memory.kept) > 0
        assert report.asked == report.kept + sum(report.refused.values())
        assert len(memory.refused) == sum(report.refused.values())
        file = tmp_path / "s.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in memory.kept))
        rows = list(read_chat(file, {}))
        assert all(isinstance(row, Raw) for row in rows)
        metadata = rows[0].metadata
        assert (metadata["synthetic"], metadata["kind"], metadata["consent"]) == ("true", "questions", "synthetic")
        assert metadata["generator"] == "tiny (endpoint)"
        assert metadata["prompt"] == f"{TEMPLATES['questions'].version} seed 3"
        assert metadata["licence"] == "CC-BY-4.0"

    def test_pairs_are_read_as_preferences(self, tmp_path):
        draft = judged("preferences", "It costs 9 EUR per year.", "It is free.")
        file = tmp_path / "p.jsonl"
        file.write_text(json.dumps(line_of("preferences", "k", draft, GENERATOR)) + "\n")
        (row,) = read_preferences(file, {})
        assert isinstance(row, Raw)
        assert synthetic(row.metadata)
        assert [message.content for message in row.rejected] == ["It is free."]
        assert row.metadata["consent"] == "synthetic until 2030-01-31"

    def test_the_same_answers_give_the_same_rows_whoever_is_first(self):
        def slow(messages, *, seed, temperature, max_tokens):
            time.sleep(seed % 4 / 400)
            return scripted(messages, seed=seed, temperature=temperature, max_tokens=max_tokens)

        one_, two = Memory(), Memory()
        generate(order(), MAKERS["questions"](MATERIAL), scripted, checks(), one_.output())
        generate(order(), MAKERS["questions"](MATERIAL), slow, checks(), two.output())
        assert one_.kept == two.kept
        assert one_.refused == two.refused

    def test_an_interrupted_run_goes_on_where_it_was(self):
        whole, parts = Memory(), Memory()
        works = MAKERS["questions"](MATERIAL)
        generate(order(), works, scripted, checks(), whole.output())
        assert len(whole.kept) == 3
        asked: list[int] = []

        def counted(messages, *, seed, temperature, max_tokens):
            asked.append(seed)
            return scripted(messages, seed=seed, temperature=temperature, max_tokens=max_tokens)

        generate(order(rows=1), works, counted, checks(), parts.output())
        before = {seed_of(key_in(line)) for line in parts.kept + parts.refused}
        assert before <= set(asked)
        asked.clear()
        report = generate(order(), works, counted, checks(), parts.output())
        assert (parts.kept, parts.refused) == (whole.kept, whole.refused)
        assert report.there == 1
        assert not before & set(asked)
        assert generate(order(), works, counted, checks(), parts.output()).asked == 0

    def test_nothing_is_said_twice_and_nothing_is_given_away(self):
        memory = Memory()

        def same(messages, *, seed, temperature, max_tokens):
            return "Question: What does a second Lark card cost?\nAnswer: A second Lark card costs 9 EUR per year."

        report = generate(order(), MAKERS["questions"](MATERIAL), same, checks(), memory.output())
        assert report.kept == 1
        assert report.refused["nearly said before"] > 0
        protected = checks(protected=["What does a second Lark card cost?"])
        report = generate(order(), MAKERS["questions"](MATERIAL), same, protected, Memory().output())
        assert report.kept == 0
        assert "gives the evaluation away" in report.refused

    def test_one_failure_is_counted_and_many_end_it(self):
        works = MAKERS["questions"](MATERIAL)

        def sometimes(messages, *, seed, temperature, max_tokens):
            if seed % 2:
                raise RunFailed("no answer", "look")
            return scripted(messages, seed=seed, temperature=temperature, max_tokens=max_tokens)

        assert generate(order(), works, sometimes, checks(), Memory().output()).refused["the endpoint gave no answer"]
        memory = Memory()

        def never(messages, *, seed, temperature, max_tokens):
            raise RunFailed("no answer", "look")

        with pytest.raises(RunFailed):
            generate(order(), works, never, checks(), memory.output())
        assert len(memory.refused) == FAILURES - 1

        def away(messages, *, seed, temperature, max_tokens):
            raise Unavailable("away", "start it")

        with pytest.raises(Unavailable):
            generate(order(), works, away, checks(), Memory().output())

    def test_nothing_to_make_rows_from(self):
        with pytest.raises(BadData):
            generate(order(), MAKERS["questions"](Material()), scripted, checks(), Memory().output())
        with pytest.raises(BadConfig):
            generate(order(rows=0), MAKERS["questions"](MATERIAL), scripted, checks(), Memory().output())


def test_no_scrubber_takes_a_mark_for_somebody(scrubber):
    """Passages were: `fees@1823-2663` is a telephone to it."""
    places = [OTHER.model_copy(update={"start": at, "end": at + 500 + at % 370}) for at in range(1000, 3000, 7)]
    marks = [name_of(place) for place in places] + [lettered(str(number)) for number in range(300)]
    assert [mark for mark in marks if scrubber.find(mark, "en")] == []
