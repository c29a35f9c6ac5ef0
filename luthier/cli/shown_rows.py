"""Rows as training would see them: in the base's chat template where that is at hand, what is learnt in colour.

Knows how a row looks on a screen; not where it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from luthier.errors import BadData

if TYPE_CHECKING:
    from luthier.data.looked import Looked
    from luthier.data.raw import Raw
    from luthier.lm.chat import Chat
    from luthier.records.data import Message

LETTERS = 600
"""Most letters of one span on a screen: its beginning and its end."""
END = 150
RENDERED = 200_000
"""Most letters of a row that are put through the template only to be shown."""
REFUSALS = 20
"""Refused rows that are named on a screen."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What would steer a terminal, or turn the direction of what follows: shown as signs."""


class Segment(NamedTuple):
    """A span of a rendered row, and whether it is learnt."""

    text: str
    learnt: bool


class Renderer(NamedTuple):
    """The template that rows are shown in, and what is to be said of it."""

    chat: Chat | None
    note: str


def renderer(project: Path, base: str | None) -> Renderer:
    """The chat template of `base`, or of the project's base where there is a project; none where it was not pulled.

    Raises BadConfig where the project file is broken or no such model is known.
    """
    name = base or base_of(project)
    if not name:
        return Renderer(None, "role by role; with --base MODEL in the chat template of a model")
    from luthier.errors import Missing
    from luthier.lm.pull import local

    try:
        folder = local(name)
    except Missing as missing:
        return Renderer(None, f"role by role, since {missing.what} ({missing.mend})")
    try:
        from luthier.lm.chat import Chat
    except ImportError:
        return Renderer(None, "role by role; chat templates need: pip install 'luthier[models]'")
    return Renderer(Chat.load(folder), f"in the chat template of {name}")


def base_of(project: Path) -> str:
    """The base of the project in this folder; "" where there is no project."""
    from luthier.workflows import project as projects

    if project == Path() and not (project / projects.FILE).is_file():
        return ""
    opened = projects.read(project)
    inside = opened.root / opened.project.base
    return str(inside) if inside.is_dir() else opened.project.base


def segments(messages: Sequence[Message], chat: Chat | None, tools: Sequence[dict[str, Any]] = ()) -> list[Segment]:
    """The row's text in spans. Raises BadData where the template cannot render it.

    A plain text (one assistant turn alone) is learnt as it stands, without a template.
    """
    if len(messages) == 1:
        return [Segment(messages[0].content, True)]
    if chat is None or sum(len(message.content) for message in messages) > RENDERED:
        return [segment for message in messages for segment in role_by_role(message)]
    ids, learnt = chat.training_ids(messages, tools)
    runs = groupby(zip(ids, learnt, strict=True), key=lambda pair: pair[1])
    return [Segment(str(chat.tokenizer.decode([token for token, _ in run])), on) for on, run in runs]


def role_by_role(message: Message) -> list[Segment]:
    """One turn without a template."""
    calls = [str(call.get("function", call)) for call in message.tool_calls]
    text = "\n".join([message.content, *calls] if message.content else calls)
    return [
        Segment(f"{message.role}: ", False),
        Segment(text, message.role == "assistant" and message.weight != 0),
        Segment("\n", False),
    ]


def as_data(row: Raw, chat: Chat | None) -> dict[str, Any]:
    """A row for machines: its line, its spans, those of the answer that was not preferred, whether it was wanted."""
    made: dict[str, Any] = {"line": row.line}
    before = (
        [each.model_copy(update={"weight": 0}) for each in row.messages[:-1]] if compared(row) else row.messages[:-1]
    )
    try:
        made["segments"] = [segment._asdict() for segment in segments((*before, row.messages[-1]), chat, row.tools)]
        if row.rejected:
            instead = segments((*before, *row.rejected), chat, row.tools)
            made["rejected"] = [segment._asdict() for segment in instead]
    except BadData as error:
        made["problem"] = str(error)
        made.setdefault("segments", [segment._asdict() for segment in segments(row.messages, None)])
    return made | ({} if row.good is None else {"good": row.good})


def checked(file: Path, kind: str | None, mapping: dict[str, str], *, project: Path, base: str | None) -> Checked:
    """Look through `file`. Raises BadConfig, BadData where nothing can be read of it, Missing."""
    from luthier import plugins
    from luthier.data.looked import look
    from luthier.data.recognise import Recognised, Unknown, guess

    found: Recognised | Unknown = Recognised(kind, {}, "") if kind else guess(file, mapping)
    if isinstance(found, Unknown):
        if not found.by_line:
            raise BadData(found.what, found.mend)
        found = Recognised("chat-jsonl", {}, f"{found.what}, so each line is read as chat; {found.mend}")
    told = {**found.mapping, **mapping}
    looked = look(plugins.find("source", found.format)(file, told), table=found.format == "csv")
    shown_in = renderer(project, base) if looked.first else Renderer(None, "")
    rows = [as_data(row, shown_in.chat) for row in looked.first]
    return Checked(file, found.format, told, found.why, looked, rows, shown_in.note)


class Checked(NamedTuple):
    """What `luthier data check` has to say."""

    file: Path
    format: str
    mapping: dict[str, str]
    why: str
    looked: Looked
    rows: list[dict[str, Any]]
    note: str

    def warnings(self) -> list[str]:
        """What is no reason to refuse a row, and worth knowing."""
        count = self.looked.formulas
        if not count:
            return []
        rows = "1 row has" if count == 1 else f"{count} rows have"
        first = f"the first is {self.file.name}:{self.looked.formula_line}"
        return [f"{rows} a cell that a spreadsheet would calculate ({first}); it is kept as text"]

    def data(self) -> dict[str, Any]:
        """For machines; nothing is said of a file without rows but that it has none."""
        looked = self.looked
        made: dict[str, Any] = {
            "rows": looked.rows,
            "refused": [{"line": row.line, "reason": row.reason} for row in looked.refused],
        }
        if not looked.rows and not looked.refused:
            return made
        beside: dict[str, Any] = {"format": self.format, "mapping": self.mapping, "why": self.why, "shown": self.rows}
        beside |= {"rendered": self.note, "more_refused": looked.more, "warnings": self.warnings()}
        return made | {name: value for name, value in beside.items() if value}


def print_checked(found: Checked) -> None:
    """What was found, for people."""
    console = Console(highlight=False)
    looked = found.looked
    refused = len(looked.refused) + looked.more
    said = f"[bold]{escape(found.file.name)}[/bold] is read as [bold]{escape(found.format)}[/bold]"
    if found.mapping:
        said += escape(f" with {', '.join(f'{ours}={theirs!r}' for ours, theirs in found.mapping.items())}")
    console.print(said + (f": {escape(found.why)}." if found.why else "."), soft_wrap=True)
    if found.rows:
        print_rows(console, found.rows, found.note)
        console.rule(style="dim")
    console.print(f"{looked.rows:,} rows are good, {refused:,} are refused.")
    for row in looked.refused[:REFUSALS]:
        console.print(f"{found.file.name}:{row.line}  {safe(row.reason)}", markup=False, soft_wrap=True)
    if refused > REFUSALS:
        console.print(f"… and {refused - REFUSALS:,} more; --json lists them.", style="dim")
    for warning in found.warnings():
        console.print(f"Note: {warning}.", style="yellow", markup=False, soft_wrap=True)


def compared(row: Raw) -> bool:
    """Whether the row is about its last turn alone: a preference or a rating."""
    return bool(row.rejected) or row.good is not None


def print_rows(console: Console, rows: Sequence[dict[str, Any]], note: str) -> None:
    """The rows; where there is no colour, what is learnt stands between ⟦ and ⟧."""
    colour = console.color_system is not None
    sign = "[green]green[/green] is learnt" if colour else "⟦ ⟧ is learnt"
    console.print(f"The first rows, {escape(note)}; {sign}.", soft_wrap=True)
    for row in rows:
        wanted = {True: ", wanted", False: ", not wanted"}.get(row["good"], "") if "good" in row else ""
        console.rule(f"row {row['line']}{wanted}", align="left", style="dim")
        console.print(written(row["segments"], colour=colour))
        if "rejected" in row:
            console.print("not preferred:", style="dim")
            console.print(written(last_turn(row["rejected"]), colour=colour))
        if "problem" in row:
            console.print(row["problem"], style="yellow", markup=False)


def last_turn(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last learnt span: what stands in place of the preferred answer."""
    learnt = [span for span in spans if span["learnt"]]
    return learnt[-1:]


def written(spans: Sequence[dict[str, Any]], *, colour: bool) -> Text:
    """Spans as coloured text, safe for a terminal, long ones cut in their middle."""
    whole = Text()
    for span in spans:
        text = safe(cut(span["text"]))
        if span["learnt"]:
            whole.append(text if colour else f"⟦{text}⟧", style="green")
        else:
            whole.append(text, style="dim")
    whole.rstrip()
    return whole


def cut(text: str) -> str:
    """A text's beginning and end, if it is long."""
    if len(text) <= LETTERS:
        return text
    return f"{text[: LETTERS - END]} … {len(text) - LETTERS:,} letters … {text[-END:]}"


def safe(text: str) -> str:
    """`text` with what would steer a terminal made visible."""
    return CONTROL.sub(lambda found: "␛" if found[0] == "\x1b" else "�", text)
