"""What became of a reinforcement, for its manifest: in figures, in sentences, and in answers to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.domain.results import Estimate
from preceptor.recipes.finish import told
from preceptor.recipes.reinforcing.guard import CONFIDENCE, worth
from preceptor.recipes.reinforcing.guard import Round as Seen
from preceptor.recipes.reinforcing.samples import kept_samples
from preceptor.recipes.reinforcing.trainer import ReinforcingTrainer
from preceptor.recipes.trainer import step_of
from preceptor.statistics import compare_paired, mean


def told_of(trainer: ReinforcingTrainer) -> dict[str, Any]:
    """The run's course; `reward` on held-out prompts before and now, `looks`, `samples` of the weights that were kept.

    These weights are the best of all looks at these very prompts, so that intervals of what they earn hold for all looks together.
    """
    looks, step = trainer.guard.rounds, kept_step(trainer)
    now = next(look for look in looks if look.step == step)
    groups, chosen = trainer.validation.groups, 1 - (1 - CONFIDENCE) / max(1, len(looks) - 1)
    reward = {
        "base": mean(looks[0].proxy, clusters=groups).to_dict(),
        "now": mean(now.proxy, clusters=groups, confidence=chosen).to_dict(),
        "change": compare_paired(now.proxy, looks[0].proxy, clusters=groups, confidence=chosen).to_dict(),
    }
    tally = {"rounds": trainer.tally.rounds, "groups": trainer.tally.groups, "equal": trainer.tally.equal}
    stopped = [trainer.stop.words] if trainer.stop else []
    asked = [] if trainer.asking is None else trainer.asking.words()
    return {
        **told(trainer),
        "best_step": step,
        "reward": reward,
        "looks": trainer.guard.table(),
        "groups": tally,
        "stopped": None if trainer.stop is None else {"sign": trainer.stop.sign, "words": trainer.stop.words},
        "samples": kept_samples(trainer.run.folder, step),
        "words": [*words(reward, looks, now, tally), *stopped, *trainer.guard.words(), *asked],
    }


def kept_step(trainer: ReinforcingTrainer) -> int:
    """The step whose weights the trainer holds."""
    if trainer.stop is None:
        return int(trainer.state.best_global_step)
    return max(step_of(folder) for folder in trainer.checkpoints.glob("checkpoint-*"))


def words(reward: Mapping[str, Any], looks: Sequence[Seen], now: Seen, tally: Mapping[str, int]) -> list[str]:
    """What the rewards and the distance came to, in plain sentences."""
    base, change = Estimate.of(reward["base"]), Estimate.of(reward["change"])
    clear = "clearly up" if change.low > 0 else "clearly down" if change.high < 0 else "not clearly another"
    told_ = [
        f"The reward on {len(now.proxy):,} held-out prompts is {Estimate.of(reward['now'])} after {now.step:,} steps, the base's was "
        f"{base}: {clear}, by {change}. Those weights are kept; as they were chosen by these prompts, the intervals hold for all "
        f"{len(looks) - 1} looks together.",
        f"The policy is {now.kl:.2f} nats an answer from its base, and answers have {now.lengths.mean():.0f} tokens "
        f"({looks[0].lengths.mean():.0f} at first).",
    ]
    if worth(now) <= worth(looks[0]):
        by = "the reward" if now.measured is None else "the judge of human preference"
        told_.append(f"No look was better than the base by {by}: use the base, or mend what is rewarded.")
    if tally["equal"]:
        told_.append(
            f"In {tally['equal']:,} of {tally['groups']:,} groups all answers earned the same, so that there was nothing to prefer in them."
        )
    return told_
