"""Open Depth Anything: networks, objectives, data, training and evaluation of affine-invariant depth.

Knows nothing of DVC, Prefect or MLflow; `tasks` and `flows` call it.
"""

from depth_model.quiet import keep_quiet

keep_quiet()
