"""Every family of transformers that Preceptor is tried on: a tiny random model of it, and what becomes of it in the loop.

A family is its `model_type`, and where its configuration needs more than the usual small sizes, those. What can be done with it
is measured: trained with an adapter, merged, loaded again, held to parity, served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

from preceptor.errors import UserError
from preceptor.generation import LocalClassifier, LocalProvider
from preceptor.generation.offline import generate_answers
from preceptor.generation.sampling import GenerationRequest, SamplingParams
from preceptor.models import load_causal
from preceptor.models.causal_lm import ChatModel
from preceptor.models.chat_template import build_conversation
from preceptor.models.parity import ParityStage, check_parity_stages, compare_with_trained, load_recorded_scores
from preceptor.training import TrainingRun, recipes
from tiny_models import Answered, Answers, made_rows, tokenizer, word_pieces

HIDDEN, LAYERS, HEADS, WIDE, LONG, EXPERTS = 32, 2, 4, 64, 128, 4
# What the sizes of a configuration are called, of all families together; each takes those that it knows.
SIZES: Mapping[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size", "lru_width"), HIDDEN),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), LAYERS),
    **dict.fromkeys(("num_decoder_layers", "encoder_layers", "decoder_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads"), HEADS),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "d_ff", "d_inner", "dff", "hidden_dim"), WIDE),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), WIDE),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), LONG),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), EXPERTS),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "sliding_window", "attention_window_size"), HIDDEN),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("head_dim", "d_kv", "d_head", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "state_size", "mamba_d_state"), 8),
    **dict.fromkeys(("mamba_n_heads", "mamba_d_head", "linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "linear_num_key_heads"), 2),
    **dict.fromkeys(("mamba_n_groups", "n_group", "topk_group"), 1),
    "linear_num_value_heads": 4, "pad_token_id": 0, "dropout": 0.0,
}  # fmt: skip
DECODERS: Mapping[str, Mapping[str, Any]] = {
    **{
        kind: {}
        for kind in (
            "afmoe", "apertus", "arcee", "biogpt", "bitnet", "bloom", "cohere", "cohere2", "ctrl", "cwm",
            "diffllama", "doge", "ernie4_5", "ernie4_5_moe", "exaone4", "falcon_mamba", "flex_olmo", "gemma",
            "gemma2", "gemma3_text", "glm", "glm4", "glm4_moe", "gpt2", "gpt_bigcode", "gpt_neox", "gpt_oss", "granite",
            "granitemoe", "granitemoeshared", "helium", "hunyuan_v1_dense", "jamba", "jetmoe", "lfm2", "llama", "llama4_text", "mamba",
            "minimax", "ministral", "mistral", "mixtral", "modernbert-decoder", "mpt", "nemotron", "olmo", "olmo2", "olmo3", "olmoe",
            "openai-gpt", "opt", "persimmon", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next",
            "recurrent_gemma", "rwkv", "seed_oss", "smollm3", "stablelm", "starcoder2", "vaultgemma", "xglm",
        )
    },
    "bamba": {"attn_layer_indices": [1]},
    "dots1": {"num_key_value_heads": 2, "n_shared_experts": 1, "first_k_dense_replace": 1},
    **{kind: {"rotary_dim": 4} for kind in ("codegen", "gptj")},
    **{kind: {"num_key_value_heads": 4, "first_k_dense_replace": 1} for kind in ("deepseek_v2", "deepseek_v3")},
    "falcon": {"head_dim": None},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"], "mamba_n_heads": 8, "mamba_d_head": 8},
    "mamba2": {"num_heads": 8, "head_dim": 8, "expand": 2, "n_groups": 1},
    "qwen3_next": {"layer_types": ["linear_attention", "full_attention"]},
    "jamba": {"attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2},
    "xlnet": {"max_position_embeddings": None},
}  # fmt: skip
_CLASSIFIERS = ("t5", "umt5", "xlnet", "bart")  # read a text and have no masked language model of their own here
ENCODERS: Mapping[str, Mapping[str, Any]] = {
    **{
        kind: {}
        for kind in (
            "albert", "bert", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra",
            "ernie", "esm", "eurobert", "flaubert", "fnet", "ibert", "layoutlm", "longformer", "megatron-bert", "mobilebert", "modernbert",
            "mpnet", "mra", "nomic_bert", "nystromformer", "rembert", "roberta", "roberta-prelayernorm", "roformer", "squeezebert",
            "tapas", "umt5", "xlm", "xlm-roberta", "xmod", "yoso",
        )
    },
    "bart": {},
    "t5": {"decoder_start_token_id": 0},
    "funnel": {"num_hidden_layers": None, "block_sizes": [1, 1]},
    "roc_bert": {"shape_vocab_size": 8, "pronunciation_vocab_size": 8, "shape_embed_dim": 8, "pronunciation_embed_dim": 8},
    "xlnet": {"max_position_embeddings": None},
}  # fmt: skip


def small_config(kind: str, more: Mapping[str, Any], size: int) -> Any:
    """A family's configuration with so large a vocabulary and small sizes; more: others, None for one that it can't be told."""
    made = CONFIG_MAPPING[kind]
    usual = made()
    chosen = {**{name: value for name, value in SIZES.items() if hasattr(usual, name)}, **more, "vocab_size": size}
    return made(**{name: value for name, value in chosen.items() if value is not None})


def save_family(kind: str, folder: Path, *, decoder: bool) -> Path:
    """A random model of a family with a tokenizer, as a folder."""
    if decoder:
        made = tokenizer(["<pad>", "<s>", "</s>"], pad_token="<pad>", bos_token="<s>", eos_token="</s>")
        named = {"bos_token_id": 1, "eos_token_id": 2}
    else:
        made, named = word_pieces(), {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4}
    config = small_config(kind, (DECODERS if decoder else ENCODERS)[kind], len(made))
    for name, number in named.items():
        setattr(config, name, number)
    torch.manual_seed(0)
    auto = AutoModelForCausalLM if decoder else AutoModelForSequenceClassification if kind in _CLASSIFIERS else AutoModelForMaskedLM
    model = auto.from_config(config)
    for layer in {id(part): part for part in (model.get_input_embeddings(), model.get_output_embeddings()) if part is not None}.values():
        layer.weight.data.normal_(std=0.4)
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


STEPS = ("train", "merge", "reload", "parity", "serve")


@dataclass
class Outcome:
    """What became of a family: for each of `STEPS` "yes", "refused", "FAILS" or, where it didn't come so far, "–".

    notes: what was refused or failed, and in what the adapter learnt.
    """

    kind: str
    steps: dict[str, str] = field(default_factory=lambda: dict.fromkeys(STEPS, "–"))
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, *names: str) -> Iterator[None]:
        """Note these steps as done when the block ends well; else what it said."""
        try:
            yield
        except UserError as error:
            self._mark(names, "refused", f"{error.message}; {error.hint}")
        except Exception as error:
            self._mark(names, "FAILS", f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"[:160])
        else:
            self.steps |= dict.fromkeys(names, "yes")

    def _mark(self, names: Sequence[str], mark: str, note: str) -> None:
        self.steps |= dict.fromkeys(names, mark)
        self.notes.append(note)

    def hold(self, found: Sequence[ParityStage]) -> None:
        """Take over what parity's stages say."""
        by_name = {stage.stage: stage for stage in found}
        for step, names in {"merge": ("unmerged", "merged"), "reload": ("reloaded",), "parity": tuple(by_name)}.items():
            held = [by_name[name] for name in names if name in by_name]
            self.steps[step] = "–" if not held else "yes" if all(stage.passed for stage in held) else "FAILS"
        self.notes += [f"{stage.stage}: {stage.summary}" for stage in found if not stage.passed]


SFT = {"learning_rate": 1e-2, "epochs": 1, "batch_size": 12, "dtype": "float32", "rank": 4, "evals_per_epoch": 1}
CLASSIFY = {
    "learning_rate": 1e-2,
    "epochs": 1,
    "batch_size": 12,
    "dtype": "float32",
    "min_steps": 1,
    "evals_per_epoch": 1,
    "adapter": "lora",
}


def decoder_outcome(kind: str, folder: Path) -> Outcome:
    """A decoder through `sft` with an adapter, to the answers that it is served with."""
    found, snapshot = Outcome(kind), Answers(made_rows(24, 1), made_rows(6, 2))
    base, sft = save_family(kind, folder / "base", decoder=True), recipes.get("sft")
    with found.step("train"):
        model = sft(TrainingRun(folder / "run", base, snapshot, base_name="tiny"), sft.Options(**SFT))
    if found.steps["train"] != "yes":
        return found
    found.notes += [words for words in model.manifest["summary"] if words.startswith("The adapter")]
    talks = {row.id: build_conversation(row.content, next(iter(row.target))) for row in snapshot.validation}
    with found.step("merge", "reload", "parity"):
        held = check_parity_stages(model.path, talks, base=base)
        held.append(
            compare_with_trained(
                "served", load_recorded_scores(model.path)[1], lambda: LocalProvider(model.path).score_rows(talks), "float32"
            )
        )
    if found.steps["parity"] == "yes":
        found.hold(held)
    with found.step("serve"):
        check_served(model.path, [turns[:-1] for turns in talks.values()])
    return found


def check_served(folder: Path, talks: list[Any]) -> None:
    """AssertionError unless answers that are drawn together are those that the model itself gives one by one, without a cache."""
    chat, plain = ChatModel(folder), load_causal(folder)
    prompts = [chat.encode_prompt(turns) for turns in talks]
    drawn = [
        answer
        for (answer,) in generate_answers(
            chat, [GenerationRequest(prompt, 6, SamplingParams(0.0, 1.0, 0), top_logprobs=0) for prompt in prompts]
        )
    ]
    for prompt, answer in zip(prompts, drawn, strict=True):
        ids = list(prompt)
        for at, said in enumerate(answer.logprobs):
            with torch.inference_mode():
                likely = torch.log_softmax(plain(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double(), dim=-1)
            ids.append(int(likely.argmax()))
            apart = abs(said.log_probability - float(likely.max()))
            assert apart < 1e-3, f"token {at + 1} of an answer is {apart:.3f} nats off"


@dataclass(frozen=True)
class Labelled:
    train: list[Answered]
    validation: list[Answered]
    digest: str = "f" * 64
    answers: tuple[str, ...] = ("colour", "number")
    target_kind: str = "nominal"

    def rows(self, split: str) -> Iterator[Answered]:
        return iter(getattr(self, split, []))


def labelled() -> Labelled:
    words = {"one": "number", "two": "number", "three": "number", "red": "colour", "green": "colour", "blue": "colour"}
    rows = [
        Answered(f"r{at}", {"prompt": f"What comes after {word}? {'It is. ' * (at % 4)}"}, {words[word]: 1.0})
        for at, word in enumerate([*words] * 5)
    ]
    return Labelled(rows[:24], rows[24:])


def encoder_outcome(kind: str, folder: Path) -> Outcome:
    """An encoder through `classify` with an adapter, or where it takes none with all its weights, to the chances that it is served with."""
    base = save_family(kind, folder / "base", decoder=False)
    found = _encoder_outcome(kind, base, folder / "lora", "lora")
    if found.steps["train"] == "refused" and "adapter=none" in found.notes[0]:
        whole = _encoder_outcome(kind, base, folder / "none", "none")
        whole.notes = [f"without an adapter: {found.notes[0]}", *whole.notes]
        return whole
    return found


def _encoder_outcome(kind: str, base: Path, run: Path, adapter: str) -> Outcome:
    found, snapshot, classify = Outcome(kind), labelled(), recipes.get("classify")
    with found.step("train"):
        model = classify(TrainingRun(run, base, snapshot, base_name="tiny"), classify.Options(**{**CLASSIFY, "adapter": adapter}))
    if found.steps["train"] != "yes":
        return found
    texts = {row.id: row.text for row in snapshot.validation}
    with found.step("merge", "reload", "parity"):
        held = check_parity_stages(model.path, texts, base=base)
        held.append(
            compare_with_trained(
                "served", load_recorded_scores(model.path)[1], lambda: LocalClassifier(model.path).score_rows(texts), "float32"
            )
        )
    if found.steps["parity"] == "yes":
        found.hold(held)
    with found.step("serve"):
        served = LocalClassifier(model.path)
        together = served.probabilities([*texts.values()])
        alone = [served.probabilities([text])[0] for text in texts.values()]
        apart = max(abs(a - b).max() for a, b in zip(together, alone, strict=True))
        assert apart < 1e-4, f"says another thing alone than in a batch, by {apart:.3f}"
    return found
