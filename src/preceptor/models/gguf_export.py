"""Export a Llama model as a GGUF file (llama.cpp, Ollama) with its tokenizer, and an Ollama Modelfile.

The file holds weights, a byte-level BPE tokenizer (tokens with their types, merges, the pre-tokenizer's name, special tokens), the chat
template and end tokens. What wouldn't give the same outputs there is refused with the reason. Names of fields and tensors: the GGUF
specification (ggml-org/ggml, docs/gguf.md) and llama.cpp's own converter.

Ollama doesn't run a GGUF file's chat template, and has templates in Go's language: a template that lays turns one after another, with a
default system message, is taken apart into what stands around each turn and rebuilt; any other is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from preceptor.errors import UserError
from preceptor.models.causal_lm import ChatTokenizer
from preceptor.models.chat_template import ChatMessage, RenderError, render_chat_text, render_conversation
from preceptor.models.loading import convert_gguf, load_causal

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # gguf.TokenType
_LLAMA_3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # fmt: skip


@dataclass(frozen=True)
class GgufTokenizer:
    """A tokenizer in GGUF's terms.

    tokens, token_types: by token id. merges: of the BPE. pre_tokenizer: llama.cpp's name for it. special_ids: begin, end, pad and other
    tokens by GGUF's names. adds_bos: whether texts begin with the begin-of-text token. template: the chat template.
    """

    tokens: list[str]
    token_types: list[int]
    merges: list[str]
    pre_tokenizer: str
    special_ids: Mapping[str, int]
    adds_bos: bool
    template: str


def build_gguf_tokenizer(chat: ChatTokenizer, count: int) -> GgufTokenizer:
    """Build the tokenizer of a model with `count` token embeddings.

    Raises UserError for a tokenizer that llama.cpp doesn't read as transformers does.
    """
    tokenizer = chat.tokenizer
    made = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else {}
    if (made.get("model") or {}).get("type") != "BPE" or made["model"].get("byte_fallback") or made.get("normalizer"):
        raise UserError("the tokenizer isn't byte-level BPE, and no other is written into a GGUF file", "export the folder instead")
    splitting = _pre_tokenizer_name(made["pre_tokenizer"])
    tokens = [f"[unused {number}]" for number in range(count)]
    kinds = [UNUSED] * count
    for token, number in tokenizer.get_vocab().items():
        tokens[number], kinds[number] = token, NORMAL
    for added in made["added_tokens"]:
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in made["model"]["merges"]]
    return GgufTokenizer(tokens, kinds, merges, splitting, _special_token_ids(chat), _adds_bos(tokenizer), tokenizer.chat_template)


def _pre_tokenizer_name(given: Any) -> str:
    """Return llama.cpp's name for how a text is split before its bytes are merged. Raises UserError for one without a name here."""
    steps = given["pretokenizers"] if given and given["type"] == "Sequence" else [given]
    kinds = [step and step["type"] for step in steps]
    last = steps[-1]
    if kinds[-1] == "ByteLevel" and not last["add_prefix_space"]:
        if kinds == ["ByteLevel"] and last["use_regex"]:
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and last["use_regex"]:
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and steps[0]["pattern"].get("Regex") == _LLAMA_3_PATTERN and not last["use_regex"]:
            return "llama-bpe"
    raise UserError(
        f"the tokenizer splits texts in a way that a GGUF file has no name for ({', '.join(map(str, kinds))})", "export the folder instead"
    )


def _special_token_ids(chat: ChatTokenizer) -> dict[str, int]:
    """Return special tokens by GGUF's names; the end of turn is what the template puts after an answer, or generation wouldn't stop."""
    tokenizer = chat.tokenizer
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        end = render_conversation(tokenizer, turn, 1_000_000).end_token
    except RenderError:  # a template without an end of turn
        end = tokenizer.eos_token_id
    found = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id, "unk": tokenizer.unk_token_id}
    return {kind: number for kind, number in {**found, "eot": end}.items() if number is not None}


def _adds_bos(tokenizer: Any) -> bool:
    """Return whether a text's tokens begin with the begin-of-text token."""
    return bool(tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])


GGUF_ARCHITECTURE = "llama"
GgufDtype = Literal["float32", "bfloat16"]
_FOLDER_HINT = "a Hugging Face folder holds it as it is: preceptor export model MODEL FOLDER"


def export_gguf(folder: Path, file: Path, *, name: str, dtype: GgufDtype = "float32") -> Path:
    """Write a causal model's folder into a new GGUF file. Norms stay in float32.

    file: must not exist yet. Raises UserError for another family than Llama, and for a part of a Llama that the format can't hold.
    """
    import gguf

    model, chat = load_causal(folder), ChatTokenizer(folder)
    check_gguf_exportable(model.config)
    writer = gguf.GGUFWriter(file, GGUF_ARCHITECTURE)
    try:
        writer.add_name(name)
        _write_architecture(writer, model.config, gguf.LlamaFileType.ALL_F32 if dtype == "float32" else gguf.LlamaFileType.MOSTLY_BF16)
        _write_tokenizer(writer, build_gguf_tokenizer(chat, model.get_input_embeddings().num_embeddings))
        for tensor, weight in _named_tensors(model):
            kept = dtype if weight.dim() > 1 else "float32"
            if kept == "bfloat16":
                raw = weight.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
                writer.add_tensor(tensor, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
            else:
                writer.add_tensor(tensor, weight.float().contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return file


def unpack_gguf(file: Path, folder: Path) -> Path:
    """Convert a GGUF file to a folder with transformers, which shares no code with `export_gguf`: what other software finds in it."""
    return convert_gguf(file, folder)


def check_gguf_exportable(config: Any) -> None:
    """Raise UserError unless the configuration is that of a Llama as llama.cpp computes it."""
    if config.model_type != GGUF_ARCHITECTURE:
        raise UserError(f"a GGUF file is written of the Llama family, and this is {config.model_type}", _FOLDER_HINT)
    rope = getattr(config, "rope_parameters", None) or {}
    for odd, why in {
        "its positions are scaled": rope.get("rope_type", "default") != "default",
        "its attention has a bias": getattr(config, "attention_bias", False),
        "its feed-forward layers have a bias": getattr(config, "mlp_bias", False),
        f"its activation is {config.hidden_act}": config.hidden_act != "silu",
    }.items():
        if why:
            raise UserError(f"this Llama can't be put into a GGUF file: {odd}, and it wasn't shown to be the same there", _FOLDER_HINT)


def _write_architecture(writer: Any, config: Any, file_type: int) -> None:
    heads, kept = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_file_type(file_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kept)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _write_tokenizer(writer: Any, words: GgufTokenizer) -> None:
    writer.add_tokenizer_model("gpt2")  # llama.cpp's name for byte-level BPE
    writer.add_tokenizer_pre(words.pre_tokenizer)
    writer.add_vocab_size(len(words.tokens))
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.token_types)
    writer.add_token_merges(words.merges)
    for kind, token in words.special_ids.items():
        getattr(writer, f"add_{kind}_token_id")(token)
    writer.add_add_bos_token(words.adds_bos)
    writer.add_chat_template(words.template)


def _named_tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and weights as llama.cpp has them; a tied head isn't written twice."""
    import gguf

    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        ours = names.get_name(name, try_suffixes=(".weight",))
        if ours is None:
            raise UserError(f"this Llama has a part that a GGUF file has no place for: {name}", _FOLDER_HINT)
        yield ours, _interleave_rotary_pairs(weight, _rotary_heads(name, config))


def _rotary_heads(name: str, config: Any) -> int:
    """Return the number of heads of a query's or a key's weights; 0 for all others."""
    if name.endswith("q_proj.weight"):
        return int(config.num_attention_heads)
    return int(config.num_key_value_heads) if name.endswith("k_proj.weight") else 0


def _interleave_rotary_pairs(weight: Any, heads: int) -> Any:
    """Put rotated pairs next to each other in each head: transformers has them half a head apart."""
    if not heads:
        return weight
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


_SAMPLE_TEXTS = ("first-said", "then-said", "last-said")


@dataclass(frozen=True)
class ChatMarkup:
    """What stands around the turns of a conversation.

    prefix: before the first turn. system, user: before and after such a turn; after a user's turn the model's begins. after_answer: after
    the model's turn. default_system: the system message of a conversation without one; empty for none.
    """

    prefix: str
    system: tuple[str, str]
    user: tuple[str, str]
    after_answer: str
    default_system: str

    def render_text(self, turns: Sequence[ChatMessage]) -> str:
        """Render a conversation as Ollama does."""
        if self.default_system and turns[0]["role"] != "system":
            turns = [{"role": "system", "content": self.default_system}, *turns]
        around = {"system": self.system, "user": self.user, "assistant": ("", self.after_answer)}
        return self.prefix + "".join(around[turn["role"]][0] + turn["content"] + around[turn["role"]][1] for turn in turns)

    def ollama_template(self) -> str:
        """Return the markup as an Ollama template."""
        roles = {"system": self.system, "user": self.user}
        parts = [f'if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}{{{{ else ' for role, (before, after) in roles.items()]
        return (
            f"{self.prefix}{{{{ range .Messages }}}}{{{{ {''.join(parts)}}}}}{{{{ "
            f".Content }}}}{self.after_answer}{{{{ end }}}}{{{{ end }}}}"
        )


def render_modelfile(chat: ChatTokenizer, file: str) -> str:
    """Return the text of a Modelfile for a GGUF file beside it.

    Raises UserError where the chat template does more than lay turns one after another.
    """
    around = _extract_markup(chat)
    tokenizer = chat.tokenizer
    if tokenizer.bos_token and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:  # which Ollama adds itself
        around = replace(around, prefix=around.prefix.removeprefix(tokenizer.bos_token))
    if any(
        mark in around.render_text(_sample_conversation("user", "assistant")) + around.render_text(_sample_conversation("system"))
        for mark in ("{{", '"""')
    ):
        raise _unsupported_template()
    usual = [f'SYSTEM """{around.default_system}"""'] if around.default_system else []
    stops = [f'PARAMETER stop "{stop}"' for stop in sorted(tokenizer.convert_ids_to_tokens(list(chat.end_tokens)))]
    return "\n".join([f"FROM ./{file}", f'TEMPLATE """{around.ollama_template()}"""', *usual, *stops]) + "\n"


def _extract_markup(chat: ChatTokenizer) -> ChatMarkup:
    def text(*roles: str, answering: bool = True) -> str:
        try:
            return render_chat_text(chat.tokenizer, _sample_conversation(*roles), answering=answering)
        except RenderError:
            raise _unsupported_template() from None

    once, thrice, instructed = text("user"), text("user", "assistant", "user"), text("system", "user")
    begin, after = _split_around_samples(once, 1)
    opening, answered, again, end = _split_around_samples(thrice, 3)
    before_system, between, _ = _split_around_samples(instructed, 2)
    *_, after_answer = _split_around_samples(text("user", "assistant", answering=False), 2)
    before = again.removeprefix(after_answer)
    first, usual = begin.removesuffix(before), ""
    system = (before_system.removeprefix(first), between.removesuffix(before))
    if not before_system.startswith(first):  # then `first` is the default system message
        first, usual = "", first.removeprefix(system[0]).removesuffix(system[1])
    found = ChatMarkup(first, system, (before, after), after_answer, usual)
    same = opening == begin and answered == after == end
    long = ("system", "user", "assistant", "user")
    if not same or any(found.render_text(_sample_conversation(*roles)) != text(*roles) for roles in (long[1:2], long[:2], long[1:], long)):
        raise _unsupported_template()
    return found


def _sample_conversation(*roles: str) -> list[ChatMessage]:
    return [{"role": role, "content": said} for role, said in zip(roles, (*_SAMPLE_TEXTS, *_SAMPLE_TEXTS), strict=False)]


def _split_around_samples(text: str, count: int) -> list[str]:
    """Return what stands around the sample texts. Raises UserError where one doesn't occur exactly once."""
    pieces = []
    for said in _SAMPLE_TEXTS[:count]:
        if text.count(said) != 1:
            raise _unsupported_template()
        piece, _, text = text.partition(said)
        pieces.append(piece)
    return [*pieces, text]


def _unsupported_template() -> UserError:
    return UserError(
        "this model's chat template does more than lay turns one after another, which Ollama's templates can't be given word for word",
        "use llama.cpp, which runs the file's own template: llama-server --jinja -m FILE",
    )
