"""Speed, as ratios: against the target, and against a baseline measured in the same run on the same machine."""
