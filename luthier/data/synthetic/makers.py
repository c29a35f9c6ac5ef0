"""Which file makes which kind of synthetic row."""

from __future__ import annotations

from luthier.data.synthetic import edges, negatives, paraphrases, preferences, questions
from luthier.data.synthetic.drafts import Maker
from luthier.data.synthetic.templates import Kind

MAKERS: dict[Kind, Maker] = {
    "questions": questions.works,
    "paraphrases": paraphrases.works,
    "negatives": negatives.works,
    "edges": edges.works,
    "preferences": preferences.works,
}
