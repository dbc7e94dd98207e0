"""A secret in every credential that the project's programs take, and where it may stand."""

from __future__ import annotations

CANARY = "canary8d1f0c"
"""A word that no log, result, table or page may hold."""

ENVIRONMENT = {"MLFLOW_TRACKING_USERNAME": "somebody"} | {  # who it was is what MLflow records
    name: f"{CANARY}-{name.lower().replace('_', '-')}"
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
    )
}
REMOTE = f"https://me:{CANARY}@127.0.0.1:9/project.git"
"""The address of a remote with a password, as git and DVC keep it in the files of MAY_HOLD."""

MAY_HOLD = (".git/config", ".dvc/config.local", ".env", "tests/canaries.py")


def leaks(folder, *said):
    """Return the files below `folder` that hold the canary, and every text of `said` that does."""
    found = [text for text in said if CANARY in text]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and name not in MAY_HOLD and CANARY.encode() in path.read_bytes():
            found.append(name)
    return found
