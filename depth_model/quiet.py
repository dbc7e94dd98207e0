"""Nothing that we run tells anybody that it ran: every opt-out, set once, before any library is imported.

Bare commands of others (`mlflow ui`, `dvc`, `prefect`) do not pass here; `.dvc/config` and `prefect.toml` are quiet by
themselves, and `depth-anything runs` is the quiet `mlflow ui`.
"""

from __future__ import annotations

import os
import sys

OPT_OUTS = {
    "DO_NOT_TRACK": "true",  # MLflow takes no other word
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def keep_quiet() -> None:
    """Set every opt-out in the environment, unless the user has set it otherwise.

    OpenVINO has no such variable: it reports its import through a package of its own, and works without that.
    """
    for name, value in OPT_OUTS.items():
        os.environ.setdefault(name, value)
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
