"""`luthier init`: a commented luthier.yaml to begin with, and its JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

from luthier.cli.common import json_option, show

TEMPLATE = """\
# yaml-language-server: $schema=luthier.schema.json
# One assistant, and everything it is made from. Paths are relative to this file.
name: my-assistant
base: smollm2-135m-instruct        # a name from `luthier models list`, or a folder with safetensors

data:
  name: dialogues
  sources:
    - name: helpdesk-2026
      path: dialogues.jsonl        # one {"messages": [...]} a line; metadata.documents may name the gold documents
      format: chat-jsonl           # or csv, with a mapping such as {user: question, assistant: reply}
      licence: proprietary
      consent: contract            # the basis on which these rows may be used
  validation: 0.05                 # share of the dialogues held out; a dialogue never moves between splits
  most_quarantined: 0.1            # the build fails where a larger share of the rows is refused

knowledge:
  name: documents
  documents: documents             # a folder of Markdown files with title, audience, locale, updated on top
  passages: 3                      # passages that the model reads for each question
  search: hybrid                   # or bm25, vectors

training:
  lora: {rank: 16}                 # null trains every weight
  epochs: 2
  learning_rate: auto              # what is chosen is printed with its reason
  unanswerable: 0.15               # share of rows that lack the answer, so that the model learns to say so

evaluation:
  name: suite
  questions: [questions.jsonl]     # {"id", "question", "document", "facts": [...], "expect": "answer"}
  scorers: [facts, reads, cited, answers, abstains, refuses, escalates, accepts]

gate:                              # what the tuned model has to show before anybody may approve it
  name: gate
  limits:
    - {measure: facts, better_by: 0, why: answers hold more of the facts than the base's}
    - {measure: cited, better_by: 0, why: answers cite the right document}

serving:
  alias: assistant                 # the model name that callers use
  policy: policy.yaml              # what is refused, handed to a person, taken out of answers
  instructions: >-
    You are a helpful support assistant. Answer from the passages and cite them.
    If they do not answer the question, say so.
  port: 8080
"""

POLICY = """\
name: my-policy
languages: [en]
citations: required                # an answer that no document supports is not sent
rules:
  - id: wants-a-person
    side: input
    action: escalate               # refuse | escalate | redact
    why: Somebody who asks for a person gets one.
    patterns: ['\\b(speak|talk)\\b.{0,30}\\b(human|person|agent|somebody)\\b']
    like: [I want to talk to a real person, Please connect me with an employee]
    unlike: ['Who may open an account for another person?']
  - id: personal-data-out
    side: output
    action: redact
    why: Answers carry no personal data.
    entities: [IBAN, CARD, EMAIL, PHONE]
messages:
  refuse: {en: I cannot help with that.}
  escalate: {en: I am passing you on to a colleague.}
  abstain: {en: 'I could not find this in our documents. Shall I pass you on to a colleague?'}
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of luthier.yaml and write nothing.")
@json_option
def command(folder: Path, schema: bool, as_json: bool) -> None:
    """Write luthier.yaml, policy.yaml and the schema into FOLDER. Files that are there already are left alone."""
    from luthier.records.project import json_schema
    from luthier.store.files import replacing, writable

    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files = {
        "luthier.yaml": TEMPLATE,
        "policy.yaml": POLICY,
        "luthier.schema.json": json.dumps(json_schema(), indent=2),
    }
    written = []
    for name, text in files.items():
        if not (folder / name).exists():
            with replacing(folder / name) as file:
                file.write(text.encode())
            written.append(name)
    note = f"wrote {', '.join(written)}" if written else "everything is there already; nothing was changed"
    following = "next: put your files where luthier.yaml names them, then `luthier doctor`"
    show({"folder": str(folder), "written": written}, as_json=as_json, table=f"{note}\n[dim]{following}[/dim]")
