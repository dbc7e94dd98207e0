"""A model from elsewhere is taken as it is, or by the digest of its weights alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from depth_model import files
from depth_model.errors import UserError
from tasks import resolve_model
from tasks.settings import params
from tasks.settings.sections import Model

pytestmark = pytest.mark.hostile


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the stage for a `models` entry; returns the folder it left."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "bare.pth").write_bytes(b"bare")
    monkeypatch.chdir(tmp_path)

    def resolve(**entry):
        out = tmp_path / "out"
        settings = SimpleNamespace(section=lambda section, name: Model(**entry))
        resolve_model.run(SimpleNamespace(key="one", out=lambda: out), settings)
        return out

    return resolve


@pytest.mark.parametrize(("source", "weights"), [("model", "model.safetensors"), ("bare.pth", "bare.pth")])
def test_weights_of_another_digest_are_refused(run, tmp_path, source, weights):
    digest = files.sha256(tmp_path / source / weights if source == "model" else tmp_path / weights)
    assert files.sha256(run(source=source, sha256=digest) / weights) == digest
    assert (run(source=source) / weights).exists()
    with pytest.raises(UserError, match=f"models.one.sha256 = {'0' * 64}: {weights} is another file \\({digest}"):
        run(source=source, sha256="0" * 64)


def test_a_digest_that_is_none_is_refused(repository):
    content = params.read(repository / "params.yaml") | {"models": {"one": {"source": "model", "sha256": "abc"}}}
    with pytest.raises(UserError, match=r"models\.one\.sha256 = 'abc'"):
        params.check(content)
