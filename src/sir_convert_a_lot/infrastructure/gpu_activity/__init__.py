"""GPU activity: what a device does while this process computes on it, read from beside the engine.

Owns the readers of the two vendors and the sampling. What cannot be read is told as that, never as zero, and never
raised into the job. Refuses to judge (`domain.gpu_activity`, `domain.receipt`).
"""
