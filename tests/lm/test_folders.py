import json
import os

import pytest

from luthier.errors import BadConfig, LuthierError, Missing, Tampered, UnknownName
from luthier.lm.catalogue import entries, entry
from luthier.lm.folders import check, folder_digest, read_manifest, seal
from luthier.lm.pull import local


def safetensors(bytes_=8):
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "w": {"dtype": "U8", "shape": [bytes_], "data_offsets": [0, bytes_]}}
    )
    return len(header).to_bytes(8, "little") + header.encode() + b"\1" * bytes_


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "llama"}')
    (made / "tokenizer.json").write_text("{}")
    (made / "model.safetensors").write_bytes(safetensors())
    return made


def test_a_whole_folder_passes_and_is_found_by_its_path(folder):
    check(folder)
    assert local(str(folder)) == folder.resolve()
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-00001-of-00001.safetensors"}}')
    (folder / "pytorch_model.bin").write_bytes(b"pickle beside safetensors is left alone")
    check(folder)


BROKEN = {
    "no config": (lambda f: (f / "config.json").unlink(), Missing, "no config.json"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), BadConfig, "is not JSON"),
    "no object": (lambda f: (f / "config.json").write_text("[1]"), BadConfig, "no JSON object"),
    "code": (lambda f: (f / "config.json").write_text('{"auto_map": {"AutoModel": "x.Y"}}'), BadConfig, "auto_map"),
    "tokenizer code": (
        lambda f: (f / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["x.Y", null]}}'),
        BadConfig,
        "auto_map",
    ),
    "pickle": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), BadConfig, "pickles run code"),
    "gguf": (lambda f: (f / "model.safetensors").rename(f / "m.gguf"), BadConfig, "luthier.lm.convert"),
    "cut short": (lambda f: os.truncate(f / "model.safetensors", 90), Tampered, "cut short"),
    "empty": (lambda f: os.truncate(f / "model.safetensors", 0), Tampered, "cut short"),
    "html": (lambda f: (f / "model.safetensors").write_text("<html>not found</html>"), Tampered, "cut short"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), Missing, "no tokenizer"),
    "no shard": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-2.safetensors"}}'),
        Missing,
        "lacks model-2.safetensors",
    ),
}


@pytest.mark.parametrize(("spoil", "error", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_folder_is_refused_with_the_mend(folder, spoil, error, words):
    spoil(folder)
    with pytest.raises(error, match=words) as caught:
        local(str(folder))
    assert caught.value.mend


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("smollm2-135m-instrct", UnknownName, "did you mean 'smollm2-135m-instruct'"),
        ("zebra", UnknownName, "there are: smollm2-135m-instruct, "),
        ("./nowhere", Missing, "no model folder"),
        ("Qwen/Qwen3-0.6B", Missing, "hf download"),
    ],
)
def test_what_is_not_there_is_said_with_the_mend(name, error, words):
    with pytest.raises(error, match=words):
        local(name)


def test_a_model_that_is_not_pulled_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path))
    with pytest.raises(Missing, match="run: luthier models pull en-core-web-sm"):
        local("en-core-web-sm")


def test_the_digest_is_of_what_decides_the_answers(folder):
    before = folder_digest(folder)
    (folder / "README.md").write_text("words")
    (folder / "optimizer.pt").write_bytes(b"x")
    assert folder_digest(folder) == before
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert folder_digest(folder) != before
    (folder / "chat_template.jinja").unlink()
    (folder / "model.safetensors").write_bytes(safetensors(9))
    assert folder_digest(folder) != before


def test_a_sealed_folder_notices_what_changes(folder):
    digest = seal(folder, {"name": "toy"})
    assert folder_digest(folder) == digest == read_manifest(folder)["digest"]
    path = folder / "model.safetensors"
    stat = path.stat()
    flipped = bytearray(path.read_bytes())
    flipped[-1] ^= 1
    path.write_bytes(flipped)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(Tampered, match=f"{digest} was pulled") as caught:
        folder_digest(folder)
    assert caught.value.exit_code == 6
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a disk that rots changes no times
    assert folder_digest(folder) == digest
    with pytest.raises(Tampered):
        folder_digest(folder, reread=True)


def test_every_catalogued_source_is_pinned():
    for model in entries().values():
        assert model.room > 0
        for source in model.sources:
            assert source.files
            if source.kind == "hub":
                assert len(source.revision) == 40
    assert entry("all-minilm-l6-v2").purpose == "embedding"


def test_any_config_is_read_or_refused(folder):
    for junk in (b"", b"\xff\xfe", b"null", b'{"auto_map": 1}', b'"' + b"[" * 5000):
        (folder / "config.json").write_bytes(junk)
        with pytest.raises(LuthierError):
            check(folder)
