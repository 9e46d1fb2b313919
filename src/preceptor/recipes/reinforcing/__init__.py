"""Reinforcement: a policy answers prompts, its answers are rewarded, and better ones become more probable (`grpo`, `rloo`)."""
