"""Train a model from a snapshot by a recipe that is found by name: `recipes.get("classify")(run, options) -> Model`.

A recipe is a function of a `TrainingRun` and its typed options. Whatever it needs to resume after a kill stays in the run's folder; the
finished model appears there whole or not at all. This package is light to import: torch and transformers are loaded only with the recipe
that is requested.
"""

from __future__ import annotations

from preceptor.training.recipe import Recipe, TrainingData, TrainingProgress, TrainingRow, TrainingRun, recipes

__all__ = ["Recipe", "TrainingData", "TrainingProgress", "TrainingRow", "TrainingRun", "recipes"]
