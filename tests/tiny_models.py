"""Tiny models of every family with random weights, tokenizers trained on the spot, and rows to train them on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    ErnieConfig,
    ErnieForMaskedLM,
    FalconConfig,
    FalconForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

WORDS = "red green blue one two three cat dog bird sun moon star"
CORPUS = [
    f"What comes after {a}? It is {b}, and so on; a question of {c}."
    for a in WORDS.split()
    for b in WORDS.split()
    for c in ("fact", "taste")
]
CHATML = (
    "{% for turn in messages %}{{ '<|im_start|>' + turn['role'] + '\\n' + turn['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for turn in messages %}{{ '<start_of_turn>' + ('model' if turn['role'] == 'assistant' else turn['role']) + '\\n'"
    " + turn['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for turn in messages %}{% if turn['role'] == 'user' %}{{ '[INST] ' + turn['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + turn['content'] + eos_token }}{% endif %}{% endfor %}"
)
VOCABULARY = 320
GATED = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 128}


def tokenizer(special: list[str], *, template: str | None = None, begins: bool = False, **named: str) -> Any:
    """Byte-level BPE, as of GPT-2, Llama 3, Qwen and Falcon."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    if begins:
        bos = named["bos_token"]
        raw.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, raw.token_to_id(bos))])
    made = PreTrainedTokenizerFast(tokenizer_object=raw, **named)
    made.chat_template = template
    return made


def word_pieces() -> Any:
    """WordPiece with [CLS] and [SEP], as of BERT, ERNIE and (here) ModernBERT."""
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    raw.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False))
    raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **names)


def _chat(*special: str, eos: str, template: str, **named: str) -> Callable[[], Any]:
    return lambda: tokenizer([*special], template=template, eos_token=eos, **named)


def _galactica() -> Any:
    return tokenizer(["<s>", "<pad>", "</s>", "<unk>"])  # it has these, and names none of them


_IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_QWEN = _chat(*_IM, eos="<|im_end|>", template=CHATML, pad_token="<|endoftext|>")
_END = {"bos_token_id": 0, "eos_token_id": 0}

DECODERS: dict[str, tuple[Callable[[int], Any], Callable[[], Any]]] = {
    "llama": (
        lambda v: LlamaForCausalLM(LlamaConfig(vocab_size=v, **GATED, tie_word_embeddings=True)),
        _chat(*_IM, eos="<|im_end|>", template=CHATML),
    ),
    "qwen2": (lambda v: Qwen2ForCausalLM(Qwen2Config(vocab_size=v, **GATED, tie_word_embeddings=True)), _QWEN),
    "qwen3": (lambda v: Qwen3ForCausalLM(Qwen3Config(vocab_size=v, **GATED, head_dim=8)), _QWEN),
    "mistral": (
        lambda v: MistralForCausalLM(MistralConfig(vocab_size=v, **GATED, sliding_window=None)),
        lambda: tokenizer(["<unk>", "<s>", "</s>"], template=MISTRAL, begins=True, bos_token="<s>", eos_token="</s>", unk_token="<unk>"),
    ),
    "gemma": (
        lambda v: GemmaForCausalLM(GemmaConfig(vocab_size=v, **GATED, head_dim=8)),
        lambda: tokenizer(
            ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
            template=GEMMA, begins=True, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>",
        ),
    ),
    "gemma2": (
        lambda v: Gemma2ForCausalLM(Gemma2Config(vocab_size=v, **GATED, head_dim=8, final_logit_softcapping=3.0)),
        lambda: tokenizer(
            ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
            template=GEMMA, begins=True, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>",
        ),
    ),
    "gpt2": (
        lambda v: GPT2LMHeadModel(GPT2Config(vocab_size=v, n_embd=32, n_layer=2, n_head=4, n_positions=128, **_END)),
        lambda: tokenizer(["<|endoftext|>"], eos_token="<|endoftext|>", bos_token="<|endoftext|>"),
    ),
    "galactica": (
        lambda v: OPTForCausalLM(
            OPTConfig(
                vocab_size=v, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, max_position_embeddings=128,
                word_embed_proj_dim=32, activation_function="gelu", dropout=0.0, pad_token_id=1, bos_token_id=0, eos_token_id=2,
            )
        ),
        _galactica,
    ),
    "falcon-7b": (
        lambda v: FalconForCausalLM(
            FalconConfig(
                vocab_size=v, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, multi_query=True, parallel_attn=True,
                new_decoder_architecture=False, bias=False, alibi=False, **_END,
            )
        ),
        lambda: tokenizer(["<|endoftext|>"], eos_token="<|endoftext|>"),
    ),
    "falcon-40b": (
        lambda v: FalconForCausalLM(
            FalconConfig(
                vocab_size=v, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2,
                new_decoder_architecture=True, bias=False, alibi=False, **_END,
            )
        ),
        lambda: tokenizer(["<|endoftext|>"], eos_token="<|endoftext|>"),
    ),
    "pythia, which families.py doesn't name": (
        lambda v: GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=v, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=128,
                **_END,
            )
        ),
        lambda: tokenizer(["<|endoftext|>"], eos_token="<|endoftext|>"),
    ),
}  # fmt: skip
_NAMED = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
ENCODERS: dict[str, Callable[[int], Any]] = {
    "bert": lambda v: BertForMaskedLM(BertConfig(vocab_size=v, **ENCODER)),
    "ernie": lambda v: ErnieForMaskedLM(ErnieConfig(vocab_size=v, **ENCODER)),
    "modernbert": lambda v: ModernBertForMaskedLM(ModernBertConfig(vocab_size=v, **ENCODER, **_NAMED)),
}


def save_decoder(name: str, folder: Path) -> Path:
    """A random model of this family with its tokenizer, as a folder."""
    make, cut = DECODERS[name]
    made = cut()
    torch.manual_seed(0)
    model = make(len(made))
    # Fresh weights spread by 0.02: a frozen head of those could tell no token from another, whatever an adapter learns.
    for layer in {id(part): part for part in (model.get_input_embeddings(), model.get_output_embeddings())}.values():
        layer.weight.data.normal_(std=0.4)
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def save_encoder(name: str, folder: Path) -> Path:
    """A random encoder of this family with its tokenizer, as a folder."""
    made = word_pieces()
    torch.manual_seed(0)
    ENCODERS[name](len(made)).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


NEXT = dict(zip(["red", "green", "blue", "one", "two", "three"], ["green", "blue", "one", "two", "three", "red"], strict=True))


@dataclass(frozen=True)
class Answered:
    id: str
    content: dict[str, Any]
    target: dict[str, float]
    weight: float = 1.0
    group: str = "g"

    @property
    def text(self) -> str:
        return str(self.content.get("prompt", self.content))


@dataclass(frozen=True)
class Answers:
    train: list[Answered]
    validation: list[Answered]
    digest: str = "e" * 64
    answers: tuple[str, ...] = ()
    target_kind: str = "text"
    test: list[Answered] = field(default_factory=list)

    def rows(self, split: str) -> Iterator[Answered]:
        return iter(getattr(self, split))


def made_rows(count: int, seed: int) -> list[Answered]:
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        word = random.choice(list(NEXT))
        asked = f"What comes after {word}{', ' * int(random.integers(0, 4))}?"
        rows.append(Answered(f"{seed}-{number}", {"prompt": asked}, {f"It is {NEXT[word]}.": 1.0}, float(random.uniform(0.5, 2))))
    return rows


def next_words(count: int, name: str) -> list[Answered]:
    """Questions of which no two are alike, each a group of its own."""
    rows = []
    for at in range(count):
        word, id_ = list(NEXT)[at % 6], f"{name}-{at}"
        asked = f"What comes after {word}{', ' * (at // 6)}?"
        rows.append(Answered(id_, {"prompt": asked}, {f"It is {NEXT[word]}.": 1.0}, group=id_))
    return rows


def made_snapshot() -> Answers:
    return Answers(made_rows(60, 1), made_rows(12, 2))
