"""Ways to train a model from a snapshot, found by name: `recipes.get("classify")(run, options) -> Model`.

A recipe is a function of a `Run` and its typed options. Whatever it needs to continue after a kill stays in the
run's folder; the finished model appears there at once or not at all. This package is light to import: torch and
transformers load with the recipe that is asked for.
"""

from __future__ import annotations

from preceptor.training.recipe import Recipe, TrainingData, TrainingProgress, TrainingRow, TrainingRun, recipes

__all__ = ["Recipe", "TrainingData", "TrainingProgress", "TrainingRow", "TrainingRun", "recipes"]
