"""The main job: plan, read, run, commit parts, finish."""
