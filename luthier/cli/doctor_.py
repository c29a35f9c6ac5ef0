"""`luthier doctor`: what this machine has and what the project still needs."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import click

from luthier.cli.common import json_option, project_option, show, table_of

EXTRAS = {
    "data": ("presidio_analyzer", "spacy"),
    "knowledge": ("lancedb",),
    "models": ("torch", "transformers", "peft"),
}


class Check(NamedTuple):
    """One thing looked at."""

    name: str
    ok: bool
    found: str
    mend: str = ""


@click.command()
@project_option
@json_option
def command(project: Path, as_json: bool) -> None:
    """Check Python, extras, models, disk and the project file. Exit code 1 where something is missing."""
    checks = [python(), processor(), disk(project), *extras(), *models(), *project_file(project)]
    rows = [("✓" if c.ok else "✗", c.name, c.found, "" if c.ok else c.mend) for c in checks]
    table = table_of("Doctor", ("", "check", "found", "mend"), rows)
    show({"ok": all(c.ok for c in checks), "checks": [c._asdict() for c in checks]}, as_json=as_json, table=table)
    if not all(c.ok for c in checks):
        sys.exit(1)


def python() -> Check:
    """The interpreter."""
    return Check("python", sys.version_info >= (3, 11), platform.python_version(), "use Python 3.11 or newer")


def processor() -> Check:
    """Cores and fast formats: said, never refused."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8") if info.is_file() else ""
    fast = [name for name in ("avx2", "avx512_bf16", "amx_bf16") if name in flags]
    return Check("processor", True, f"{os.cpu_count()} cores, {', '.join(fast) or 'no fast formats known'}")


def disk(project: Path) -> Check:
    """Free room for models, checkpoints and indexes."""
    folder = project if project.is_dir() else Path(".")
    free = shutil.disk_usage(folder).free / 1e9
    return Check("disk", free > 3, f"{free:.1f} GB free", "make 3 GB free")


def extras() -> list[Check]:
    """The optional parts of the package."""
    checks = []
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        found = f"without {', '.join(missing)}" if missing else "installed"
        checks.append(Check(f"extra {extra}", not missing, found, f"pip install 'luthier[{extra}]'"))
    return checks


def models() -> list[Check]:
    """The models that the sample needs."""
    from luthier.cli.models_ import state

    found = {"yes": "pulled", "no": "not here", "damaged": "damaged: delete its folder"}
    names = ("smollm2-135m-instruct", "all-minilm-l6-v2", "en-core-web-sm")
    states = {name: state(name) for name in names}
    return [
        Check(f"model {name}", here == "yes", found[here], f"luthier models pull {name}")
        for name, here in states.items()
    ]


def project_file(project: Path) -> list[Check]:
    """The project file, where there is one."""
    from luthier.errors import LuthierError
    from luthier.workflows.project import FILE, read

    file = project / FILE if project.is_dir() else project
    if not file.is_file():
        return []
    try:
        opened = read(file)
    except LuthierError as error:
        return [Check("project", False, error.what, error.mend)]
    named = [source.path for source in opened.project.data.sources]
    named += [opened.project.knowledge.documents, opened.project.serving.policy, *opened.project.evaluation.questions]
    missing = [path for path in named if not (opened.root / path).exists()]
    return [Check("project", not missing, f"{opened.project.name}", f"there is no {', '.join(missing)}")]
