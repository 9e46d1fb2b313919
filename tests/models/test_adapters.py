"""What an adapter learns in, found by looking at the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft.tuners.lora.layer import LoraLayer
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from preceptor.errors import UserError
from preceptor.generation.kv_cache import supports_padded_cache
from preceptor.generation.option_scoring import continuation_log_probabilities
from preceptor.generation.rollouts import sample_rollouts
from preceptor.models import prepare_classifier
from preceptor.models.adapters import DEFAULT_RANK, attach_adapter, describe_adapter_coverage, get_layers, is_linear, unwrap_model
from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
from preceptor.models.completion_scoring import LMHead
from preceptor.models.mean_pooling import MeanPooledClassifier
from tiny_families import DECODERS, ENCODERS, save_family, small_config

EXPERTS = ["experts.down_proj", "experts.gate_up_proj"]
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # transformers renames arguments of its own


def decoder(kind: str):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(small_config(kind, DECODERS[kind], 320)).eval()


def with_adapter(model) -> list[str]:
    """Names of what has an adapter."""
    return [name.replace(".base_layer", "") for name, part in unwrap_model(model).named_modules() if isinstance(part, LoraLayer)]


@pytest.mark.parametrize(
    "kind", ["olmoe", "mixtral", "qwen3_moe", "qwen2_moe", "deepseek_v3", "afmoe", "granitemoe", "gpt_oss", "llama4_text"]
)
def test_experts_learn_and_routers_never(kind):
    """PEFT's "all-linear" adapted routers in some families, and left the experts out in others."""
    model = attach_adapter(decoder(kind), "lora", 8)
    names = with_adapter(model)
    assert not [name for name in names if name.rpartition(".")[2] in ("gate", "router", "shared_expert_gate")]
    learnt, left = describe_adapter_coverage(model)
    assert set(EXPERTS) < set(learnt)
    assert left
    assert set(left) <= {"gate", "router", "shared_expert_gate"}
    trained = {name for name, weights in model.named_parameters() if weights.requires_grad}
    assert all("lora_" in name for name in trained)


@pytest.mark.parametrize("kind", ["afmoe", "deepseek_v3"])
def test_layers_that_are_called_as_experts_were_learn_too(kind):
    """PEFT took the names of dense layers and shared experts for those of experts, and adapted these in their place, at twice the rank."""
    model = attach_adapter(decoder(kind), "lora", 8)
    names = set(with_adapter(model))
    dense = {
        name for name, part in decoder(kind).named_modules() if is_linear(part) and name.endswith(("gate_proj", "up_proj", "down_proj"))
    }
    assert dense <= names
    ranks = {part.r["default"] for part in unwrap_model(model).modules() if isinstance(part, LoraLayer)}
    assert ranks == {8}


def test_dora_leaves_experts_out_and_says_so():
    learnt, left = describe_adapter_coverage(attach_adapter(decoder("qwen3_moe"), "dora"))
    assert learnt == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert set(left) == {*EXPERTS, "gate"}


def test_only_the_upper_experts_learn_where_only_the_upper_layers_do():
    names = with_adapter(attach_adapter(decoder("qwen3_moe"), "lora-top"))
    assert names
    assert all(".layers.1." in name for name in names)


@pytest.mark.parametrize("kind", ["mamba", "mamba2", "falcon_mamba", "bamba", "jamba"])
def test_a_mixer_learns_in_what_leads_into_it(kind):
    """Its kernels read the other weights themselves: an adapter beside those would be merged though it never spoke."""
    model = attach_adapter(decoder(kind), "lora")
    mixers = [name for name, part in unwrap_model(model).named_modules() if hasattr(part, "A_log")]
    inside = {name.rpartition(".")[2] for name in with_adapter(model) if name.startswith(tuple(mixers))}
    assert inside == {"in_proj"}
    assert "out_proj" in describe_adapter_coverage(model)[1]


def test_dense_models_leave_nothing_out():
    for kind in ("llama", "qwen3", "phi3", "gpt2", "falcon"):
        learnt, left = describe_adapter_coverage(attach_adapter(decoder(kind), "lora"))
        assert learnt
        assert left == []


def test_layers_are_found_under_other_names():
    """A DistilBERT's configuration calls them `n_layers`: KeyError, 'num_hidden_layers'."""
    torch.manual_seed(0)
    body = AutoModelForMaskedLM.from_config(small_config("distilbert", ENCODERS["distilbert"], 320)).base_model
    model = MeanPooledClassifier.from_encoder(body, {0: "a", 1: "b"})
    assert len(get_layers(model)) == 2
    assert describe_adapter_coverage(attach_adapter(model, "lora-top"))[0] == ["k_lin", "lin1", "lin2", "out_lin", "q_lin", "v_lin"]


def test_a_layer_that_says_more_than_a_linear_one_is_none():
    """A router that returned a tuple was folded, and broke."""
    routers = [part for name, part in decoder("phimoe").named_modules() if name.endswith("router")]
    assert routers
    assert not any(map(is_linear, routers))
    assert all(is_linear(part) for name, part in decoder("falcon").named_modules() if name.endswith("query_key_value"))


@pytest.mark.parametrize(
    ("kind", "told"), [("ibert", "no linear layers"), ("funnel", "as its head"), ("xmod", "by its tokens alone"), ("xlnet", "alone")]
)
def test_what_an_encoder_cannot_do_is_said_before_training(kind, told, tmp_path):
    folder = save_family(kind, tmp_path / "base", decoder=False)
    with pytest.raises(UserError, match=told):
        attach_adapter(prepare_classifier(folder, ("a", "b"), 0), "lora", DEFAULT_RANK)


def test_a_model_that_reads_ahead_is_no_decoder(tmp_path):
    """It sees the answer that it is to learn."""
    folder = save_family("xlnet", tmp_path / "base", decoder=True)
    model = prepare_causal(folder, prepare_tokenizer(folder))
    with pytest.raises(UserError, match="beginning once it has read on"):
        LMHead.from_model(model)


@pytest.mark.parametrize("kind", ["fnet", "convbert"])
def test_padding_that_is_not_nothing_is_left_out(kind, tmp_path):
    """They said another thing of a text alone than in a batch, by up to 0.3."""
    torch.manual_seed(0)
    body = AutoModelForMaskedLM.from_config(small_config(kind, ENCODERS[kind], 320)).base_model
    model = MeanPooledClassifier.from_encoder(body, {0: "a", 1: "b"}).eval()
    assert model.config.alone
    rows = [[5, 6, 7], [8, 9, 10, 11, 12, 13], [14, 15, 16], [17]]
    ids, mask = torch.zeros((4, 6), dtype=torch.long), torch.zeros((4, 6), dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = torch.tensor(row), 1
    with torch.no_grad():
        together = model(ids, mask).logits
        alone = torch.cat([model(torch.tensor([row]), torch.ones((1, len(row)), dtype=torch.long)).logits for row in rows])
        model.config.alone = False
        padded = model(ids, mask).logits
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(padded, alone, atol=1e-4)


def test_attention_reads_rows_together_and_recurrence_does_not():
    kinds = {
        kind: supports_padded_cache(decoder(kind))
        for kind in ("llama", "gpt2", "bloom", "gemma3_text", "mamba", "rwkv", "qwen3_next", "llama4_text")
    }
    assert [kind for kind, together in kinds.items() if together] == ["llama", "gpt2", "bloom", "gemma3_text"]


def test_a_recurrent_model_scores_continuations_one_by_one():
    model, prompts, answers = decoder("jamba"), [[5, 6, 7, 8], [5, 6, 9]], [[11], [12, 13]]
    found = continuation_log_probabilities(model, prompts, answers)
    for row, prompt in enumerate(prompts):
        for column, answer in enumerate(answers):
            with torch.no_grad():
                scores = torch.log_softmax(model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].double(), dim=-1)
            wanted = sum(float(scores[len(prompt) - 1 + at, token]) for at, token in enumerate(answer))
            np.testing.assert_allclose(found[row, column], wanted, atol=1e-5)


def test_a_recurrent_model_is_refused_where_many_answers_are_drawn_at_once(tmp_path):
    folder = save_family("mamba", tmp_path / "base", decoder=True)
    tokenizer = prepare_tokenizer(folder)
    with pytest.raises(UserError, match="can't draw many answers at once"):
        sample_rollouts(prepare_causal(folder, tokenizer), tokenizer, [[5, 6]], choices=2, max_tokens=3, ends=frozenset({2}), seed=0)
