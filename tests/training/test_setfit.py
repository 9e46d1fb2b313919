from __future__ import annotations

import numpy as np
import pytest
import torch

from preceptor.errors import UserError
from preceptor.models import class_probabilities, load_classifier, load_tokenizer
from preceptor.models.batching import encode_texts
from preceptor.models.embeddings import mean_token_vectors
from preceptor.models.loading import prepare_classifier
from preceptor.training import TrainingRun, recipes
from preceptor.training.examples import build_label_examples
from preceptor.training.setfit import contrastive_losses, to_unsorted_examples

FAST = {"learning_rate": 3e-3, "dtype": "float32", "min_steps": 40, "batch_size": 16}


def train(run, **options):
    recipe = recipes.get("setfit")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="setfit"))


def test_pair_losses_are_the_expectation_over_pairs():
    """Written out pair by pair: each is of the same answer with probability T_i · T_j."""
    random = np.random.default_rng(0)
    vectors, targets, weights = random.normal(size=(5, 4)), random.dirichlet([1, 1, 1], 5), random.uniform(0.5, 2, 5)
    wanted = []
    for i in range(5):
        alike = unlike = attracted = repelled = 0.0
        for j in range(5):
            if i == j:
                continue
            cosine = vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
            same = float(targets[i] @ targets[j])
            alike, attracted = alike + weights[j] * same, attracted + weights[j] * same * (1 - cosine) ** 2
            unlike, repelled = unlike + weights[j] * (1 - same), repelled + weights[j] * (1 - same) * cosine**2
        wanted.append((attracted / alike + repelled / unlike) / 2)
    found = contrastive_losses(torch.as_tensor(vectors), torch.as_tensor(targets), torch.as_tensor(weights))
    assert found.numpy() == pytest.approx(wanted)


def test_a_row_without_pairs_counts_nothing_and_breaks_nothing():
    vectors = torch.randn(1, 3, requires_grad=True)
    loss = contrastive_losses(vectors, torch.tensor([[1.0, 0.0]]), torch.ones(1)).sum()
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert torch.isfinite(vectors.grad).all()
    same = contrastive_losses(torch.ones(2, 3), torch.tensor([[1.0, 0.0]] * 2), torch.ones(2))
    assert same.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_batches_mix_texts_of_every_length(snapshot, base):
    examples = build_label_examples(snapshot.train, snapshot.answers, load_tokenizer(base), max_tokens=64, hard=False)
    flat = to_unsorted_examples(examples)
    assert set(flat.lengths) == {1}
    assert flat.select([3, 1]).tokens == [examples.tokens[3], examples.tokens[1]]
    assert set(flat.sample(7, 0).lengths) == {1}


def test_texts_of_one_answer_come_together_and_the_head_uses_it(snapshot, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, snapshot))
    texts = [row.text for row in snapshot.validation]
    truth = np.array([snapshot.answers.index(max(row.target, key=row.target.get)) for row in snapshot.validation])
    assert np.mean(class_probabilities(model.path, texts).argmax(1) == truth) > 0.8
    contrast = model.manifest["setfit"]
    assert contrast["history"][-1]["validation_loss"] < contrast["history"][0]["validation_loss"]
    tokenizer = load_tokenizer(model.path)

    def apart(classifier) -> float:
        vectors = mean_token_vectors(classifier.eval().body, encode_texts(tokenizer, texts, 64), tokenizer.pad_token_id)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosine, alike = unit @ unit.T, truth[:, None] == truth
        return float(cosine[alike].mean() - cosine[~alike].mean())

    assert apart(load_classifier(model.path)) > apart(prepare_classifier(base, snapshot.answers, 0)) + 0.1
    again = train(TrainingRun(tmp_path / "run", base, snapshot, progress=pytest.fail))
    assert again == model


def test_an_interrupted_run_ends_with_the_same_weights(snapshot, base, tmp_path):
    whole = train(TrainingRun(tmp_path / "whole", base, snapshot), evals_per_epoch=1)

    class Stopped(Exception):
        pass

    def stop(step):
        if step.stage == "training" and step.done == 20:
            raise Stopped

    with pytest.raises(Stopped):
        train(TrainingRun(tmp_path / "stopped", base, snapshot, progress=stop), evals_per_epoch=1)
    assert list((tmp_path / "stopped" / "checkpoints").glob("checkpoint-*"))
    assert train(TrainingRun(tmp_path / "stopped", base, snapshot), evals_per_epoch=1).manifest["weights"] == whole.manifest["weights"]


def test_a_base_that_writes_is_refused(snapshot, decoder, tmp_path):
    with pytest.raises(UserError, match="setfit needs an encoder"):
        train(TrainingRun(tmp_path / "run", decoder, snapshot))
