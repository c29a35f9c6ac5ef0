"""`python -m luthier.lm.export`: one export in a process of its own, whose memory goes when it is done.

Leaves in the folder `--to`: `whole` (the merged model), and for a GGUF `model.gguf` and `unpacked` (the weights as the
file holds them). Says what it found as one line of JSON; the last line of standard error is the error, if there was
one.
"""

from __future__ import annotations

import argparse
import errno
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from luthier.errors import LuthierError, NoRoom, as_dict
from luthier.lm.chat import Chat, Ids
from luthier.lm.export import gguf_file
from luthier.lm.export.compared import Change, change, require_same, said, texts
from luthier.lm.export.merged import DTYPES, MOST_APART, copy_tokenizer, merge, stored
from luthier.lm.load import load_model
from luthier.process import end_with_parent

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SMALL = ("int8", "int4")


def main(arguments: list[str] | None = None) -> int:
    """Export what the arguments ask for; the exit code."""
    end_with_parent()
    parser = argparse.ArgumentParser(prog="python -m luthier.lm.export", description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="the folder of the base, or of a whole model")
    parser.add_argument("--adapter", type=Path, help="the folder of the adapter to merge into it")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--as", dest="form", required=True, choices=("merged", "gguf", "onnx", *SMALL))
    parser.add_argument("--dtype", default="auto", choices=("auto", *DTYPES), help="of merged and gguf")
    parser.add_argument("--rows", type=Path, help="dialogues to compare the forms on")
    parser.add_argument("--about", default="{}", help="JSON: name, base, licence, more")
    given = parser.parse_args(arguments)
    try:
        with disk_trouble(given.to):
            found = export(given)
    except LuthierError as error:
        sys.stderr.write(f"{json.dumps(as_dict(error))}\n")
        return error.exit_code
    sys.stdout.write(f"{json.dumps(found._asdict())}\n")
    return 0


def export(given: argparse.Namespace) -> Change:
    """Merge; write the GGUF where one is asked for; compare."""
    given.to.mkdir(parents=True, exist_ok=True)
    require_room(given)
    items = texts(Chat.load(given.base), given.rows)
    whole, file, unpacked = given.to / "whole", given.to / "model.gguf", given.to / "unpacked"
    if given.form == "merged":
        return merge(given.base, given.adapter, whole, given.dtype, items)
    # The file is written from full precision, so that it is rounded once.
    merge(given.base, given.adapter, whole, "float32", items)
    if given.form == "onnx":
        return as_onnx(whole, given.to / "onnx", items)
    about = json.loads(given.about)
    about["more"] = tuple((name, value) for name, value in about.get("more", ()))
    wanted = stored(given.base) if given.dtype == "auto" else given.dtype
    precision = given.form if given.form in SMALL else wanted
    gguf_file.write(whole, file, precision, gguf_file.About(**{"name": given.base.name} | about))
    before = said(load_model(whole, "float32"), items)
    gguf_file.unpack(file, whole, unpacked)
    found = change(before, said(load_model(unpacked, "float32"), items))
    if precision in DTYPES:
        require_same(found, MOST_APART[DTYPES[precision]], "the GGUF file")
    return found


def as_onnx(whole: Path, folder: Path, items: Sequence[Ids]) -> Change:
    """The ONNX file with config and tokenizer beside it."""
    from luthier.lm.export import onnx_file

    onnx_file.require_packages()
    onnx_file.write(whole, folder / "model.onnx")
    copy_tokenizer(whole, folder)
    shutil.copyfile(whole / "config.json", folder / "config.json")
    model = load_model(whole, "float32")
    found = change(said(model, items), onnx_file.said(folder / "model.onnx", model.config, items))
    require_same(found, MOST_APART[DTYPES["float32"]], "the ONNX file")
    return found


def require_room(given: argparse.Namespace) -> None:
    """Raises NoRoom before anything is computed, where the disk cannot hold it."""
    weights = sum(path.stat().st_size for path in given.base.glob("*.safetensors"))
    numbers = weights / (4 if stored(given.base) == "float32" else 2)
    wanted = numbers * (4 if given.form == "merged" else 12)
    free = shutil.disk_usage(given.to).free
    if free < wanted:
        raise NoRoom(
            f"the export takes up to {wanted / 1e9:.1f} GB while it is made, and {given.to.parent} has "
            f"{free / 1e9:.1f} GB left",
            "free some space, or give a folder on a larger disk",
        )


@contextmanager
def disk_trouble(folder: Path) -> Iterator[None]:
    """A full disk, said with the mend."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        code = getattr(error, "errno", None)
        if code in FULL or any(f"os error {number}" in str(error) for number in FULL):
            raise NoRoom(
                f"the disk takes no more bytes: the export to {folder.parent} could not be written",
                "free some space and repeat; nothing half-written was kept",
            ) from error
        raise


if __name__ == "__main__":
    sys.exit(main())
