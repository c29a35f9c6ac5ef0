"""The ONNX file computes what the model does, with and without a past, whatever the lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")


def test_onnx_says_what_the_model_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    from luthier.lm.export.__main__ import main
    from luthier.lm.load import load_model
    from tests.tiny import tiny_model

    base = tiny_model(tmp_path / "base")
    assert main(["--base", str(base), "--to", str(tmp_path / "out"), "--as", "onnx"]) == 0
    folder = tmp_path / "out" / "onnx"
    assert {"model.onnx", "config.json", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    names = [given.name for given in session.get_inputs()]
    assert names[:4] == ["input_ids", "attention_mask", "position_ids", "past_key_values.0.key"]
    model = load_model(base, "float32")
    for texts, length in ((1, 1), (3, 17)):
        ids = torch.randint(3, 300, (texts, length))
        given = [ids, torch.ones_like(ids), torch.arange(length).repeat(texts, 1)]
        given += [torch.zeros(texts, 2, 0, 16)] * (len(names) - 3)
        logits = session.run(["logits"], {n: t.numpy() for n, t in zip(names, given, strict=True)})[0]
        with torch.no_grad():
            assert (torch.from_numpy(logits) - model(ids).logits).abs().max() < 1e-4
