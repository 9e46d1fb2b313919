"""Behaviour cloning and DAgger: what is learnt of a correction, which answers are asked about, rounds that wait and go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from preceptor import Estimate
from preceptor.errors import UserError
from preceptor.formats.durable_files import load_sealed_json
from preceptor.models import load_causal
from preceptor.models.causal_lm import ChatModel, prepare_tokenizer
from preceptor.models.chat_template import build_conversation, render_conversation
from preceptor.models.completion_scoring import LMHead, collate_completions, completion_loss
from preceptor.training import TrainingRun, recipes
from preceptor.training.dagger import DAggerObjective, ExpertCorrection, build_correction_examples, dagger_summary_lines
from preceptor.training.drafts import AnswerDraft, generate_drafts, select_drafts, tfidf_vectors
from preceptor.training.recipe import FeedbackPending, FeedbackRequest, UnlabelledItem
from tiny_models import DECODERS, Answered, Answers, next_words, save_decoder

FAST = {
    "learning_rate": 1e-2,
    "epochs": 1,
    "dtype": "float32",
    "adapter": "none",
    "budget": 4,
    "candidate_pool": 8,
    "samples": 1,
    "max_tokens": 64,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder("llama", tmp_path_factory.mktemp("bases") / "tiny-llama")


@pytest.fixture
def snapshot() -> Answers:
    return Answers(next_words(8, "t"), next_words(3, "v"))


class Experts:
    """Who know what comes next, and answer so many of what they are asked, all when `most` is None."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.calls = most, list[tuple[str, ...]]()
        self.right = {f"p-{at}": next(iter(row.target)) for at, row in enumerate(next_words(18, "p"))}

    def __call__(self, kind: str, asked: Sequence[FeedbackRequest]) -> Mapping[str, str]:
        assert kind == "correct"
        assert all(len(each.content["responses"]) == 1 and each.content["prompt"] for each in asked)
        self.calls.append(tuple(each.id for each in asked))
        return {each.id: self.right[each.id.split(":")[1]] for each in asked[: self.most]}


def pool() -> Iterator[UnlabelledItem]:
    return (UnlabelledItem(row.id, row.content, row.group) for row in next_words(18, "p"))


def dagger(folder: Path, base: Path, snapshot: Answers, experts: Experts | None, **options: Any) -> Any:
    recipe = recipes.get("dagger")
    run = TrainingRun(folder, base, snapshot, seed=1, ask=experts, unlabelled=pool if experts else None)
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="dagger"))


def correction(draft: str, answer: str) -> ExpertCorrection:
    return ExpertCorrection("p", {"prompt": "What comes after red?"}, "g", 1, draft, answer)


def parts(tokenizer: Any, one: ExpertCorrection, learnt: str = "human") -> tuple[str, str]:
    """What is only read of the answer, and what is learnt, as text."""
    examples = build_correction_examples([one], tokenizer, max_tokens=200, learnt=learnt)
    tokens, mask = examples.tokens[0], examples.targets[0]
    prompt = render_conversation(tokenizer, build_conversation(one.content, one.answer), 200).prompt_length
    assert not mask[:prompt].any()
    first = int(mask.argmax())
    assert mask[first:].all(), "what the expert wrote is one piece, up to the end"
    return tokenizer.decode(tokens[prompt:first]), tokenizer.decode(tokens[first:])


@pytest.mark.parametrize("family", ["llama", "gemma", "mistral", "gpt2", "falcon-7b"])
def test_what_is_learnt_of_a_correction_is_what_the_expert_wrote(family):
    tokenizer = DECODERS[family][1]()
    if tokenizer.chat_template is None:
        from preceptor.models.chat_template import make_plain_template

        tokenizer.chat_template = make_plain_template(tokenizer)
    end = tokenizer.decode([render_conversation(tokenizer, build_conversation({"prompt": "a"}, "b"), 99).end_token])
    for draft, answer in [
        ("It is blue, and so on", "It is green, and so on"),
        ("It is", "It is green."),
        ("It is green. It is blue.", "It is green."),
        ("It is green.", "It is green."),
        ("One cat", "It is green."),
    ]:
        one = correction(draft, answer)
        read, learnt = parts(tokenizer, one)
        stands = answer[: one.kept_prefix]
        assert read.strip() + learnt.replace(end, "").strip() in (answer, answer.replace(" ", ""), *_respaced(answer, read))
        assert stands.startswith(read.strip()), "nothing of the expert's own is left out"
        assert len(stands) - len(read.strip()) < 12, "of what stands at most one token is learnt: that in which the expert's part begins"
        assert learnt.endswith(end), "and that the answer ends"
    assert parts(tokenizer, correction("It is green.", "It is green."))[1] == end
    assert parts(tokenizer, correction("It is green.", "It is green."), "whole")[0].strip() == ""


def _respaced(answer: str, read: str) -> list[str]:
    at = len(read.strip())
    return [answer[:at].strip() + answer[at:].strip()]


def test_the_gradient_is_that_of_the_experts_tokens_alone(base):
    """Against the plain sum of −log p over the expert's tokens, through the whole model: what stands has no part in it."""
    tokenizer, model = prepare_tokenizer(base), load_causal(base)
    one = correction("It is blue, and so on", "It is green, and so on")
    examples = build_correction_examples([one], tokenizer, max_tokens=99, learnt="human")
    (ids,), (mask,) = examples.tokens, examples.targets
    inputs = {**collate_completions([ids], [mask], 0), "weights": torch.ones(1)}
    completion_loss(model, LMHead.from_model(model), inputs).backward()
    ours = {name: weights.grad.clone() for name, weights in model.named_parameters()}
    model.zero_grad()
    scores = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
    first = int(mask.argmax())
    (-sum(scores[at - 1, ids[at]] for at in range(first, len(ids)))).backward()
    assert first > render_conversation(tokenizer, build_conversation(one.content, one.answer), 99).prompt_length
    for name, weights in model.named_parameters():
        assert torch.allclose(ours[name], weights.grad, atol=1e-5), name


def test_drafts_say_how_sure_the_model_is(base):
    chat = ChatModel(base)
    prompts = [*next_words(3, "p"), UnlabelledItem("bad", {"prompt": "<|im_end|>"}, "g")]
    found = generate_drafts(chat, prompts, max_tokens=5, samples=3, seed=0)
    assert [draft.id for draft in found] == ["p-0", "p-1", "p-2"], "a text with marks of the template is left out"
    for draft in found:
        asked = chat.encode_prompt(build_conversation(draft.content, "")[:-1])
        said, tokens = list[float](), list(asked)
        for _ in range(5):
            scores = torch.log_softmax(chat.model(torch.tensor([tokens])).logits[0, -1].detach(), dim=-1)
            if int(scores.argmax()) in chat.end_tokens:
                break
            said.append(-float(scores.max()))
            tokens.append(int(scores.argmax()))
        assert draft.surprise == pytest.approx(np.mean(said), abs=1e-4)
        assert 0 <= draft.disputed <= 1
    assert generate_drafts(chat, prompts, max_tokens=5, samples=0, seed=0)[0].disputed == 0


def draft(id_: str, text: str, surprise: float, disputed: float = 0.0) -> AnswerDraft:
    return AnswerDraft(id_, {"prompt": text}, id_, "It is red.", surprise, disputed)


def test_what_the_model_doubts_is_chosen_and_nothing_twice():
    said = [
        draft("sure", "the sun rises in the east", 0.01),
        draft("unsure", "my card has not come", 2.0, 0.9),
        draft("twin", "my card has not come", 1.9, 0.9),
        draft("other", "exchange rates abroad", 1.0, 0.5),
        draft("known", "how do I close my account", 3.0, 1.0),
    ]
    chosen = select_drafts(said, 2, [UnlabelledItem("k", {"prompt": "How do I close my account?"}, "g")])
    assert [each.id for each in chosen] == ["unsure", "other"]
    assert chosen[0].value > chosen[1].value > 0
    assert len(select_drafts(said, 9)) == 5
    assert select_drafts([], 3) == []


def test_alike_words_make_alike_vectors():
    found = tfidf_vectors(["red cat", "Cat, red!", "blue dog", "red dog", ""])
    alike = (found @ found.T).toarray()
    assert alike[0, 1] == pytest.approx(1)
    assert alike[0, 2] == 0 < alike[0, 3] < 1
    assert alike[4].sum() == 0


def test_without_people_it_is_behaviour_cloning(base, snapshot, tmp_path):
    model = dagger(tmp_path / "bc", base, snapshot, None)
    sft = recipes.get("sft")
    same = {name: FAST[name] for name in ("learning_rate", "epochs", "dtype", "adapter", "max_tokens")}
    cloned = sft(TrainingRun(tmp_path / "sft", base, snapshot, seed=1), sft.Options.parse(same, of="sft"))
    assert model.manifest["weights"] == cloned.manifest["weights"]
    assert "plain behaviour cloning" in " ".join(model.manifest["summary"])
    assert [point["corrections"] for point in model.manifest["dagger"]["curve"]] == [0]
    with pytest.raises(UserError, match="rounds=2 needs experts"):
        dagger(tmp_path / "none", base, snapshot, None, rounds=2)


def test_rounds_wait_for_answers_are_all_kept_and_end_with_the_same_weights(base, snapshot, tmp_path):
    """A run that stops between rounds, because answers come later, against one that was never stopped."""
    at_once = Experts()
    whole = dagger(tmp_path / "whole", base, snapshot, at_once, rounds=2)
    for most, stopped in ((0, 1), (2, 1), (None, 0)):
        late = Experts(most)
        if stopped:
            with pytest.raises(FeedbackPending, match=rf"{4 - (most or 0)} of 4 answers of round 1 wait") as told:
                dagger(tmp_path / "late", base, snapshot, late, rounds=2)
            assert "the same command goes on" in told.value.hint
        else:
            resumed = dagger(tmp_path / "late", base, snapshot, late, rounds=2)
    assert at_once.calls == late.calls
    ours, theirs = (load_file(model.path / "model.safetensors") for model in (whole, resumed))
    assert all(torch.equal(weights, theirs[name]) for name, weights in ours.items())
    about = whole.manifest["dagger"]
    assert [point["corrections"] for point in about["curve"]] == [0, 4, 8]
    assert [each["asked"] for each in about["rounds"]] == [4, 4]
    asked = [item for each in about["rounds"] for item in each["items"]]
    assert len(set(asked)) == 8, "no prompt is asked about twice"
    assert whole.manifest["rows"]["train"] == 8 + 8
    assert {"value", "low", "high"} <= about["curve"][-1]["validation_loss"].keys()
    assert about["curve"][-1]["validation_loss"]["value"] == pytest.approx(
        min(entry["validation_loss"] for entry in whole.manifest["history"]), abs=1e-5
    )
    assert "After 8 corrections in 2 rounds" in " ".join(whole.manifest["summary"])
    first, last = (at["validation_loss"]["value"] for at in (about["curve"][0], about["curve"][-1]))
    assert about["change"]["value"] == pytest.approx(last - first, abs=1e-6)
    again = Experts()
    assert dagger(tmp_path / "whole", base, snapshot, again, rounds=2) == whole
    assert not again.calls


def test_the_change_of_the_loss_is_told_with_its_interval():
    def told(value: float, low: float, high: float) -> str:
        at = {"validation_loss": {"value": 1.0}, "exact": Estimate(0.5, 0.4, 0.6, 9, "share").to_dict(), "corrections": 4}
        return dagger_summary_lines([at, at], Estimate(value, low, high, 9, "paired"), [{"asked": 4, "right": at["exact"]}], 1)[0]

    assert "lower, row by row, -0.300 [-0.400, -0.200]" in told(-0.3, -0.4, -0.2)
    assert "a change that may be chance, row by row, -0.100 [-0.300, +0.100]" in told(-0.1, -0.3, 0.1)
    assert "higher, row by row" in told(0.3, 0.2, 0.4)
    assert "one group of rows doesn't say" in told(-0.3, -np.inf, np.inf)


def test_an_answer_that_comes_late_is_learnt_in_a_later_round(base, snapshot, tmp_path, monkeypatch):
    monkeypatch.setattr("preceptor.training.dagger.MIN_ANSWERED_SHARE", 0.5)

    class Slow(Experts):
        def __call__(self, kind: str, asked: Sequence[FeedbackRequest]) -> Mapping[str, str]:
            said = dict(super().__call__(kind, asked))
            return said if len(self.calls) > 1 else dict(list(said.items())[:2])

    people = Slow()
    model = dagger(tmp_path / "run", base, snapshot, people, rounds=2)
    assert [each["asked"] for each in model.manifest["dagger"]["rounds"]] == [2, 6]
    assert set(people.calls[1]) == {*people.calls[0][2:], *(id_ for id_ in people.calls[1] if id_.startswith("round-2"))}
    kept = load_sealed_json((tmp_path / "run" / "rounds" / "2" / "corrections.json").read_bytes())
    assert sorted(each["round"] for each in kept) == [1, 1, 2, 2, 2, 2]


def test_answers_to_choose_among_are_corrected_by_the_right_one(base, tmp_path):
    """A choice question, and no unlabelled items: the training prompts themselves are answered and corrected."""
    answers = ("red", "green")
    made = [
        Answered(f"c-{at}", {"text": f"{answers[at % 2]} cat {at}"}, {answers[at % 2]: 0.9, answers[1 - at % 2]: 0.1}, group=f"g-{at}")
        for at in range(12)
    ]
    snapshot = Answers(made[:8], made[8:], answers=answers, target_kind="nominal")
    seen = list[FeedbackRequest]()

    def ask(kind: str, asked: Sequence[FeedbackRequest]) -> Mapping[str, str]:
        seen.extend(asked)
        return {each.id: each.content["prompt"].split()[0] for each in asked}

    recipe = recipes.get("dagger")
    run = TrainingRun(tmp_path / "run", base, snapshot, seed=1, ask=ask)
    model = recipe(run, recipe.Options.parse({**FAST, "rounds": 3, "budget": 9}, of="dagger"))
    assert len(seen) == 8
    assert model.manifest["rows"]["train"] == 8 * 2 + 8  # both answers of each row, by their probability
    assert [each.priority for each in seen] == sorted((each.priority for each in seen), reverse=True)
    assert "Of 3 rounds 1 were held: then no prompt was left to ask about." in model.manifest["summary"]
    assert [point["corrections"] for point in model.manifest["dagger"]["curve"]] == [0, 8]


def test_the_dry_run_counts_corrections_and_asks_for_none(base, snapshot, tmp_path):
    recipe, people = recipes.get("dagger"), Experts()
    seen = recipe.preview(
        TrainingRun(tmp_path / "run", base, snapshot, ask=people), recipe.Options.parse({**FAST, "rounds": 2}, of="dagger")
    )
    assert (seen["rounds_of_corrections"], seen["corrections"]) == (2, 8)
    assert seen["rows"]["train"] == 8
    assert not people.calls
    assert not (tmp_path / "run").exists()


def test_a_rounds_model_is_not_read_with_the_head_of_one_that_is_gone(base):
    """A number by which a model is known may come again once that model is freed."""
    teaches = DAggerObjective(base, prepare_tokenizer(base), "none", 8)
    gone, now = teaches.create_model(), teaches.create_model()
    teaches._heads[id(now)] = teaches._head(gone)
    assert teaches._head(now).layer is now.get_output_embeddings()
