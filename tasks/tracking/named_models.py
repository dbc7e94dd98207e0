"""A model by any of its names: a file or folder, `models:/NAME@ALIAS` of the registry, or `ORG/NAME[@REVISION]` of the
model hub. What is at the path is for those that read it to find out.

Of a hub only the JSON and safetensors files at the top of the model are taken, so nothing from there can run code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model.errors import UserError
from depth_model.shown import shown
from tasks.tracking.registry import MODELS_URI, registered_folder, registered_name, registered_names

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MODEL_NAMES = "a folder, a file, models:/NAME@ALIAS, or ORG/NAME[@REVISION] of the model hub"
"""For the help of every option that takes a model."""
_HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w.-]+))?")
_FILES = (".pth", ".pt", ".bin", ".safetensors", ".onnx")
"""Suffixes that names of files have and hub ids have not."""
_TAKEN = (".json", ".safetensors")
_NEEDED = ("config.json", "model.safetensors")
_SECONDS = 10.0


@dataclass(frozen=True)
class NamedModel:
    """A model that was found: the `path` of its file or folder here, and its `origin`: the name that was given, of a
    hub with the revision it is of, `ORG/NAME@<40 hexadecimal digits>`."""

    path: Path
    origin: str


def find_model(name: str, base: Path | None = None) -> NamedModel:
    """Return the model called `name`; a relative path begins at `base`, by default the current folder.

    A file or folder of that name comes before the hub. Raises UserError in one line for a name that leads nowhere, and
    for a hub that cannot be reached, with what to download and where to put it.
    """
    if name.startswith(MODELS_URI):
        return NamedModel(registered_folder(name), name)
    here = Path(name) if base is None else base / name
    if here.exists():
        return NamedModel(here, name)
    matched = _HUB_NAME.fullmatch(name)
    if matched is None or name.endswith(_FILES):
        raise UserError(f"{shown(name)}: there is no such file or folder")
    folder = _hub_folder(matched[1], matched[2], here)
    return NamedModel(folder, f"{matched[1]}@{folder.name}")


def known_models() -> list[str]:
    """Return names that `find_model` knows of models of depth at hand: those with an alias in the registry, then the
    folders below models/ and data/models/ of the current folder."""
    found = [name for name in registered_names() if not name.startswith(f"{MODELS_URI}{registered_name('semantic')}")]
    for top in (Path("models"), Path("data/models")):
        folders = sorted(one.parent for one in top.rglob("config.json") if (one.parent / _NEEDED[1]).is_file())
        found += [str(one) for one in folders if one.parent.name != "semantic"]
    return found


def _hub_folder(model: str, revision: str | None, here: Path) -> Path:
    """Return the folder in the hub's cache, which is named by the commit; of the cache alone where no hub answers."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi()
    try:
        return _downloaded(api, model, revision)
    except UserError:
        raise
    except GatedRepoError as error:
        raise UserError(f"{model}: accept its terms at {api.endpoint}/{model} and log in: hf auth login") from error
    except RevisionNotFoundError as error:
        raise UserError(f"{model}@{revision}: the model is on the hub, and has no such revision") from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{model}: there is no such file or folder, and no such model on the hub, or not for you (hf auth login)"
        ) from error
    except Exception as error:  # The hub client raises a dozen unrelated types; each means "not available".
        try:
            return Path(snapshot_download(model, revision=revision, local_files_only=True, allow_patterns=_NEEDED))
        except Exception:
            raise UserError(
                f"{model}: there is no such file or folder, and the model hub does not answer "
                f"({type(error).__name__}): download {' and '.join(_NEEDED)} from "
                f"{api.endpoint}/{model}/tree/{revision or 'main'} elsewhere and put them into the folder {here}"
            ) from error


def _downloaded(api: HfApi, model: str, revision: str | None) -> Path:
    """Return the folder of the newest or given revision, downloaded where the cache lacks it."""
    found = api.model_info(model, revision=revision, timeout=_SECONDS)
    present = [one.rfilename for one in found.siblings or []]
    taken = [name for name in present if name.endswith(_TAKEN) and "/" not in name]
    if not any(name.endswith(".safetensors") for name in taken):
        raise UserError(
            f"{model}: this model of the hub holds no safetensors file, and no other is taken from there; it holds "
            f"{', '.join(sorted(present)[:5]) or 'nothing'}: take one whose name ends in -hf, or download the file "
            "yourself and give its path"
        )
    # By the name of the revision, which the cache then knows without the hub.
    return Path(api.snapshot_download(model, revision=revision, allow_patterns=taken, etag_timeout=_SECONDS))
