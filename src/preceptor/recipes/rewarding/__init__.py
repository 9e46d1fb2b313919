"""What reinforcement is rewarded by: one reward a file, each made of what a spec says of it, weighed and added up in `rewards`."""
