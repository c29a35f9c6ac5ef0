"""Heavy packages stay where they are used: the command line answers at once, and an API server needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from tests.house.tree import ROOT, modules, name

HEAVY = {
    *("torch", "transformers", "peft", "spacy", "presidio_analyzer", "lancedb", "pyarrow", "numpy", "scipy"),
    *("dbos", "sqlalchemy", "pydantic", "starlette", "uvicorn", "obstore", "cryptography", "httpx"),
}
TORCH = ("torch", "transformers", "peft", "gguf", "safetensors")
EXTRAS = (*TORCH, "presidio_analyzer", "spacy", "lancedb", "pyarrow")
SECONDS = 0.5


def python(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    loaded = json.loads(python("import json, sys, luthier.cli.main; print(json.dumps(sorted(sys.modules)))"))
    assert HEAVY & set(loaded) == set()


def test_help_answers_at_once() -> None:
    command = [Path(sys.executable).with_name("luthier"), "--help"]
    subprocess.run(command, capture_output=True, check=True)  # the first call reads the disk
    took = []
    for _ in range(5):
        start = time.perf_counter()
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        took.append(time.perf_counter() - start)
    assert "demo" in ran.stdout
    assert median(took) < SECONDS, f"seconds: {[round(each, 2) for each in took]}"


def importable(rooms: list[str], absent: tuple[str, ...]) -> None:
    """Import every module of `rooms` in a process that has not got the packages `absent`."""
    dotted = [
        name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in modules("luthier")
        if path.relative_to(ROOT).parts[1].removesuffix(".py") in rooms and path.name != "__main__.py"
    ]
    assert dotted
    python(
        f"import sys, importlib\nfor name in {absent!r}: sys.modules[name] = None\n"
        f"for name in {dotted!r}: importlib.import_module(name)"
    )


def test_ground_store_and_service_rooms_need_no_extra() -> None:
    ground = ["errors", "progress", "records", "plugins", "access", "store"]
    importable([*ground, "evaluation", "release", "feedback", "gateway", "cli"], EXTRAS)


def test_data_knowledge_api_and_workflows_need_no_torch() -> None:
    importable(["data", "knowledge", "workflows", "api"], TORCH)
