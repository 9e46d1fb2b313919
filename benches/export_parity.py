"""SmolLM2-135M exported as a folder and as GGUF files, read by other software: how far its log-probabilities move, and its answers.

Texts are shared general questions with their answers (30), laid out by the chat template. `differences`: of the log-probability of each
token that the answer has, in nats, against our own reading of the model; mean with a 95 % interval over texts, and the largest.
`same_tokens`: texts that the other reader cuts into the same tokens. `same_answers`: of greedy answers to the first six questions, to
their end or 16 tokens. llama.cpp keeps keys and values in 16 bits unless told otherwise, which is most of its difference.

llama.cpp comes from the folder that LLAMA_SITE names (`pip install --target DIR llama-cpp-python`), and is left out where there is none.

Run: python -m benches.export_parity
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from preceptor.generation.offline import generate_answers
from preceptor.generation.sampling import GenerationRequest, SamplingParams
from preceptor.models.base_models import find_base_folder
from preceptor.models.causal_lm import ChatModel
from preceptor.models.chat_template import render_chat_text
from preceptor.models.gguf_export import export_gguf
from preceptor.statistics import estimate_mean

GENERAL = Path(__file__).parents[2] / "shared" / "data" / "general" / "replay_general" / "items.jsonl"
TEXTS, ASKED, LONGEST, ANSWER = 30, 6, 200, 16
Reader = Callable[[str], tuple[list[int], Any]]  # a laid-out text -> its tokens, and log-probabilities (tokens, vocabulary)


@cache
def conversations() -> list[list[dict[str, str]]]:
    """Questions with answers, of at most so many characters."""
    rows = [json.loads(line) for line in GENERAL.read_text(encoding="utf-8").splitlines()]
    turns = [(f"{row['instruction']}\n{row['input']}".strip(), row["output"].strip()) for row in rows]
    said = [[{"role": "user", "content": asked}, {"role": "assistant", "content": answer}] for asked, answer in turns if answer]
    return [each for each in said if sum(len(turn["content"]) for turn in each) <= LONGEST][:TEXTS]


def by_transformers(folder: Path, **how: Any) -> tuple[Reader, Callable[[str], str]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True, **how).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **how)

    def read(text: str) -> tuple[list[int], Any]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            return ids, torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1).numpy()

    def answer(text: str) -> str:
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            written = model.generate(ids, max_new_tokens=ANSWER, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        return str(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))

    return read, answer


def by_llama_cpp(file: Path) -> tuple[Reader, Callable[[str], str]]:
    sys.path.insert(0, os.environ["LLAMA_SITE"])
    from llama_cpp import Llama

    model = Llama(str(file), n_ctx=512, logits_all=True, verbose=False, n_threads=1)

    def read(text: str) -> tuple[list[int], Any]:
        ids = model.tokenize(text.encode(), add_bos=False, special=True)
        model.reset()
        model.eval(ids)
        logits = torch.tensor(np.array(model.scores[: len(ids)])).double()
        return ids, torch.log_softmax(logits, dim=-1).numpy()

    def answer(text: str) -> str:
        found: Any = model.create_completion(text, max_tokens=ANSWER, temperature=0)
        return str(found["choices"][0]["text"])

    return read, answer


def row(
    name: str, reader: tuple[Reader, Callable[[str], str]], ours: Sequence[tuple[list[int], Any]], said: Sequence[str], chat: Any
) -> Any:
    read, answer = reader
    differences, largest, same = [], 0.0, 0
    for turns, (ids, known) in zip(conversations(), ours, strict=True):
        theirs, found = read(render_chat_text(chat.tokenizer, turns, answering=False))
        same += theirs == ids
        if theirs == ids:
            at = np.arange(len(ids) - 1)
            apart = np.abs(found[at, ids[1:]] - known[at, ids[1:]])
            differences.append(float(apart.mean()))
            largest = max(largest, float(apart.max()))
    asked = [render_chat_text(chat.tokenizer, turns[:1], answering=True) for turns in conversations()[:ASKED]]
    equal = sum(answer(text).strip() == known.strip() for text, known in zip(asked, said, strict=True))
    return {
        "read_by": name, "texts": len(ours), "same_tokens": same, "differences": estimate_mean(differences).to_dict() if largest else 0.0,
        "largest": largest,
        "greedy_answers": len(asked), "same_answers": equal,
    }  # fmt: skip


def run() -> dict[str, Any]:
    """Each reader beside our own."""
    base = find_base_folder("smollm2")
    chat = ChatModel(base)
    requests = [GenerationRequest(chat.encode_prompt(turns[:1]), ANSWER, SamplingParams(0.0, 1.0, 0)) for turns in conversations()[:ASKED]]
    said = [found[0].text for found in generate_answers(chat, requests)]
    own, _ = by_transformers(base)
    ours = [own(render_chat_text(chat.tokenizer, turns, answering=False)) for turns in conversations()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(base, folder / "merged")
        files = {dtype: export_gguf(base, folder / f"{dtype}.gguf", name="smollm2", dtype=dtype) for dtype in ("float32", "bfloat16")}
        rows = [row("transformers, folder", by_transformers(folder / "merged"), ours, said, chat)]
        rows += [
            row(f"transformers, GGUF {dtype}", by_transformers(folder, gguf_file=file.name), ours, said, chat)
            for dtype, file in files.items()
        ]
        if "LLAMA_SITE" in os.environ:
            rows += [row(f"llama.cpp, GGUF {dtype}", by_llama_cpp(file), ours, said, chat) for dtype, file in files.items()]
    left_out = {} if "LLAMA_SITE" in os.environ else {"left_out": "llama.cpp: LLAMA_SITE names no folder with it"}
    return {"rows": rows, **left_out}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(run(), indent=2))
