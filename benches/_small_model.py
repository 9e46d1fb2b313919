"""A small causal model that is taught to write on the spot: about 3 million weights, its own tokens, a chat template.

It knows the texts that it was taught from and nothing else, which is what a base should be that training then has to better.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, get_cosine_schedule_with_warmup

CHATML = (
    "{% for turn in messages %}{{ '<|im_start|>' + turn['role'] + '\\n' + turn['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
WIDTH, LAYERS, VOCABULARY, WINDOW = 192, 4, 4096, 512
ROWS, LENGTH, RATE = 16, 128, 2e-3
Turns = Sequence[dict[str, str]]


def small_decoder(texts: Iterable[str | Turns], folder: Path, *, seed: int = 0, steps: int = 600, width: int = WIDTH) -> Path:
    """Teach a fresh model these texts (plain, or conversations, which are laid out by its template) by predicting each next token.

    The folder is made once; the same call again finds it there. About half a second a step on one core.
    """
    if (folder / "taught.json").exists():
        return folder
    kept = list(texts)
    tokenizer = _tokenizer([text if isinstance(text, str) else " ".join(turn["content"] for turn in text) for text in kept])
    model = _fresh(tokenizer, width, seed)
    loss = _teach(model, _stream(kept, tokenizer), seed, steps)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    about = {"texts": len(kept), "parameters": model.num_parameters(), "steps": steps, "seed": seed, "loss": loss}
    (folder / "taught.json").write_text(json.dumps(about))
    return folder


def _tokenizer(texts: Sequence[str]) -> Any:
    """Byte-level BPE of the texts."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|pad|>")
    made.chat_template = CHATML
    return made


def _fresh(tokenizer: Any, width: int, seed: int) -> Any:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=3 * width, max_position_embeddings=WINDOW, tie_word_embeddings=True,
            bos_token_id=0, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def _stream(texts: Sequence[str | Turns], tokenizer: Any) -> Any:
    """All texts one after another, each ended, in rows of equal length."""
    ids: list[int] = []
    for text in texts:
        laid = text if isinstance(text, str) else tokenizer.apply_chat_template(list(text), tokenize=False)
        ids += [*tokenizer(laid, add_special_tokens=False)["input_ids"], 0]
    rows = max(1, len(ids) // LENGTH)
    return torch.tensor((ids * (LENGTH // len(ids) + 1))[: rows * LENGTH]).reshape(rows, LENGTH)


def _teach(model: Any, rows: Any, seed: int, steps: int) -> float:
    """The mean loss of the last fiftieth of the steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    model.train()
    losses = []
    for batch in _batches(len(rows), seed, steps):
        ids = rows[batch]
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return float(np.mean(losses[-max(1, steps // 50) :]))


def _batches(rows: int, seed: int, steps: int) -> Iterator[Any]:
    random = np.random.default_rng(seed)
    for _ in range(steps):
        yield torch.as_tensor(random.integers(0, rows, ROWS))
