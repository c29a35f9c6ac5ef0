"""A GGUF file in llama.cpp: run by `benchmarks.export` with a Python that has xllamacpp.

Takes the task's JSON; prints {"texts": ids, "prompts": ids, "answers": [{"top": {token: log-probability}, "said"}]}.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

TOP = 200
"""The likeliest tokens whose log-probabilities are compared."""


def main() -> None:
    import xllamacpp

    task: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    params = xllamacpp.CommonParams()
    params.model.path = task["file"]
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 1024, 1, False, -1
    params.cpuparams.n_threads = 2
    # Keys, values and attention go through half precision otherwise: that is the server's doing, not the file's.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        asked = urllib.request.Request(
            server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=120) as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def tokens(text: str) -> list[int]:
        ids: list[int] = post("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]
        return ids

    prompts = []
    for question in task["questions"]:
        rendered = post("/apply-template", {"messages": [{"role": "user", "content": question}]})["prompt"]
        # Whole: with what the file says is put around every text.
        whole = post("/tokenize", {"content": rendered, "add_special": True, "parse_special": True})
        prompts.append(whole["tokens"])
    answers = []
    for ids in prompts:
        asked = {"prompt": ids, "n_predict": task["tokens"], "temperature": 0.0, "n_probs": TOP, "cache_prompt": False}
        reply = post("/completion", asked | {"return_tokens": True, "samplers": ["temperature"]})
        first = reply["completion_probabilities"][0]["top_logprobs"]
        top = {str(entry["id"]): entry["logprob"] for entry in first if entry["logprob"] > -20}
        answers.append({"top": top, "said": reply["tokens"]})
    result = {"texts": [tokens(text) for text in task["texts"]], "prompts": prompts, "answers": answers}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
