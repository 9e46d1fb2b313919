"""Whether trainers' own loaders read the files that we write as they are meant. Run by hand: neither tool is a dependency.

    pip install --target SIDE --no-deps trl==1.16.* datasets dill multiprocess xxhash
    pip download llamafactory --no-deps, and unpack the wheel into SIDE (with an empty torchaudio.py, and omegaconf, if they are asked for)
    python benches/tools_read_ours.py SIDE [MORE SIDES]

Written are rows of every shape. LLaMA-Factory: its parser, loader and converters on `dataset_info.json` and the files, then its
preparation of tokens; no row may come out empty. TRL: SFTTrainer, DPOTrainer and RewardTrainer train a random model; shown is which tokens
are learnt.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "red?"},
    {"role": "assistant", "content": "green"},
    {"role": "user", "content": "💩 two?"},
    {"role": "assistant", "content": "three\r\n"},
]
TOOL = {
    "type": "function",
    "function": {"name": "moon", "description": "The moon", "parameters": {"type": "object", "properties": {"day": {"type": "string"}}}},
}
CALLS = [
    {"role": "user", "content": "the moon?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "moon", "arguments": '{"day": "one"}'}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "blue"},
    {"role": "assistant", "content": "It is blue."},
]
TAUGHT = [
    {"id": "1", "text": "the cat sat", "answer": "cat", "target": {"cat": 0.9, "dog": 0.1}, "weight": 1.0, "split": "train", "group": "g"},
    {"id": "2", "prompt": "What comes after one?", "completion": "two"},
    {"id": "3", "messages": TURNS},
    {"id": "4", "prompt": "three or four?", "judgments": [{"question": "q", "kind": "write", "answer": {"text": "three", "from": None}}]},
]
CALLED = {"id": "5", "messages": CALLS, "metadata": {"openai_chat": {"columns": {"tools": [TOOL]}}}}
COMPARED = [{"question": "better", "kind": "compare", "answer": {"winner": 1, "order": [1, 0], "reasons": ""}}]
PREFERRED = [
    {"id": "1", "prompt": "2 + 2?", "responses": ["five", "four"], "judgments": COMPARED},
    {"id": "2", "messages": TURNS[:-1], "responses": ["five", "four"], "judgments": COMPARED},
    {"id": "3", "prompt": "red?", "responses": ["blue", "green"], "answer": "1"},
]
THUMBS = [
    {"id": "1", "prompt": "hi", "completion": "go away", "answer": "down"},
    {"id": "2", "messages": TURNS, "judgments": [{"question": "t", "kind": "choice", "answer": "up"}]},
    {"id": "3", "prompt": "red?", "responses": ["blue", "green"], "answer": "1"},
]


def main(sides: list[str]) -> None:
    sys.path[:0] = [*sides, str(ROOT / "tests")]
    os.environ |= {"DISABLE_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["HF_HOME"] = str(folder / "cache")
        from tiny_models import save_decoder

        model = save_decoder("qwen2", folder / "model")
        write_for_llamafactory(folder)
        read_by_llamafactory(folder, model)
        read_by_trl(folder, model)


def write_for_llamafactory(folder: Path) -> None:
    from preceptor.formats import write
    from preceptor.formats.training.llama_factory import dataset_info

    files = {
        "alpaca.json": ("alpaca", TAUGHT), "sharegpt.jsonl": ("sharegpt", [*TAUGHT, CALLED]), "chat.jsonl": ("openai_chat", TAUGHT),
        "alpaca_ranking.json": ("alpaca", PREFERRED), "sharegpt_ranking.jsonl": ("sharegpt", PREFERRED), "kto.jsonl": ("kto", THUMBS),
        "pretraining.json": ("alpaca", [{"id": "1", "text": "one two three"}]),
    }  # fmt: skip
    info: dict[str, Any] = {}
    for name, (format, rows) in files.items():
        write(rows, folder / name, format)
        info |= dataset_info(folder / name)
    for name in ("alpaca", "alpaca-ranking", "sharegpt", "sharegpt-ranking", "kto", "kto-conversations", "kto-instruction"):
        (example,) = (ROOT / "tests/formats").glob(f"**/examples/{name}.*")
        copy = folder / f"example_{example.name}"
        copy.write_bytes(example.read_bytes())
        info |= dataset_info(copy)
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=1))
    print(json.dumps(info))


def read_by_llamafactory(folder: Path, model: Path) -> None:
    from llamafactory.data.loader import _get_dataset_processor, _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    names = list(json.loads((folder / "dataset_info.json").read_text()))
    data = DataArguments(dataset_dir=str(folder), template="qwen", cutoff_len=4096, overwrite_cache=True)
    where = SimpleNamespace(cache_dir=None, hf_hub_token=None)
    run = SimpleNamespace(local_process_index=0, dataloader_num_workers=0)
    for attributes in get_dataset_list(names, str(folder)):
        aligned = _load_single_dataset(attributes, where, data, run)
        empty = sum(not row["_prompt"] for row in aligned)
        tokenizer = AutoTokenizer.from_pretrained(model)
        template = get_template_and_fix_tokenizer(tokenizer, data)
        stage = "kto" if attributes.kto_tag else "rm" if attributes.ranking else "pt" if attributes.prompt == "text" else "sft"
        processor = _get_dataset_processor(data, stage, template, tokenizer, None)
        aligned = aligned.filter(lambda row: not row["_images"])  # the random model reads texts only
        made = processor.preprocess_dataset(aligned[:])
        count = len(next(iter(made.values())))
        print(f"LLaMA-Factory, {attributes.dataset_name}: {len(aligned)} rows, {empty} of them empty, {count} prepared for {stage}")
        assert not empty, "rows came out empty"
        assert count == len(aligned) or stage == "pt", "rows were dropped"
        for row, tags in zip(aligned, made.get("kto_tags", [None] * len(aligned)), strict=True):
            print("   ", json.dumps({name: row[name] for name in ("_system", "_prompt", "_response", "_tools")}, ensure_ascii=False), tags)
        for labels in made.get("labels", []) if stage == "sft" else []:
            print("    learnt:", repr(tokenizer.decode([token for token in labels if token >= 0])))


def read_by_trl(folder: Path, model: Path) -> None:
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

    from preceptor.formats import read, write

    tokenizer = AutoTokenizer.from_pretrained(model)
    plain = {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": 2,
        "max_steps": 2,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
    }
    for name in ("trl", "trl-preference", "trl-preference-standard", "trl-unpaired", "trl-stepwise", "trl-prompt-only"):
        (example,) = (ROOT / "tests/formats").glob(f"**/examples/{name}.jsonl")
        write(read(example), folder / f"{name}.jsonl", "trl")
        print(f"TRL, {name}: {load_dataset('json', data_files=str(folder / f'{name}.jsonl'), split='train')[:2]}")
    for name, rows in {"turns": TAUGHT, "texts": [{"prompt": "2+2=", "completion": " 4"}, {"prompt": "one ", "completion": "two"}]}.items():
        write(rows, folder / f"{name}.jsonl", "trl")
        data = load_dataset("json", data_files=str(folder / f"{name}.jsonl"), split="train")
        trainer = SFTTrainer(str(model), SFTConfig(**plain), train_dataset=data, processing_class=tokenizer)
        batch = trainer.data_collator([trainer.train_dataset[number] for number in range(len(data))])
        for tokens, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            print(f"TRL, SFTTrainer, {name}: {tokenizer.decode(tokens)!r} learns {tokenizer.decode(labels[labels >= 0])!r}")
        trainer.train()
    write(PREFERRED, folder / "pairs.jsonl", "trl")
    pairs = load_dataset("json", data_files=str(folder / "pairs.jsonl"), split="train")
    dpo = DPOTrainer(str(model), args=DPOConfig(**plain), train_dataset=pairs, processing_class=tokenizer)
    for row in dpo.train_dataset:
        print("TRL, DPOTrainer:", {name: tokenizer.decode(value) for name, value in row.items() if name.endswith("ids")})
    print("TRL, DPOTrainer:", dpo.train().metrics)
    reward = RewardTrainer(str(model), args=RewardConfig(**plain), train_dataset=pairs, processing_class=tokenizer)
    print("TRL, RewardTrainer:", reward.train().metrics)


if __name__ == "__main__":
    main(sys.argv[1:])
