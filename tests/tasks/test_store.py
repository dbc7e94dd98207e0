"""A project with `data.store: s3://...`: every stage that writes or reads shards, as a user starts it."""

from __future__ import annotations

import json

import pytest
import yaml

from depth_model import files
from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.shards import shard_store, store
from depth_model.shards.pool import SamplePool
from depth_model.shards.store import StoreError
from depth_model.shown import run_command
from depth_model.training.batches import labeled_batch, loader
from depth_model.training.sampling import WHOLE
from tasks.settings import presets
from tasks.tracking import mlflow_runs
from tasks.training import stage
from tasks.workspace.paths import SCENES_REPORT, catalog_path
from tests.tasks.starting import start

ROLES = ("labeled", "unlabeled", "evaluation")
SIDECARS = ("sky", "pseudo")


@pytest.fixture
def project(tmp_path, repository, bucket, monkeypatch):
    """Write params.yaml with one rendered source per role and `data.store` in an empty bucket; return its content."""
    content = presets.content(repository / "presets" / "demo.yaml")
    content |= {name: {} for name in ("export", "finetune_metric", "evaluate_metric", "finetune_semantic")}
    content |= {"evaluate_semantic": {}, "sources": {"metric": {}, "semantic": {}}}
    for seed, role in enumerate(ROLES):
        options = {"domain": "hills", "count": 3, "seed": seed, "height": 64, "width": 96}
        content["sources"][role] = {"world": {"reader": "rendered_world", "options": options}}
    content["collect"]["samples_per_shard"] = 2
    content["machine"]["collect"]["workers"] = 1
    content["sky"]["segmenter"] = "none"
    content["pseudo_label"] |= {"short_side": 28, "batch": 2}
    content["data"]["store"] = f"s3://{bucket[1]}/depth"
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI", shard_store.GIGABYTES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(shard_store.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_PAUSE", 0.001)
    DepthAnything("tiny").save(tmp_path / "models" / "teacher")
    return content


def run_all(monkeypatch, content, store):
    content["data"]["store"] = store
    with open("params.yaml", "w", encoding="utf-8") as handle:
        yaml.safe_dump(content, handle, sort_keys=False)
    start("inventory")
    for role in ROLES:
        start(f"collect_{role}@world")
        start(f"validate@{role}")
    for role in ("metric", "semantic"):
        start(f"validate@{role}")
    start("audit")
    for taught in ("teacher", "student"):
        start(f"given_model@{taught}")
    start("describe")
    start("sky_mask@world")
    start("pseudo_label@world")
    for role in SIDECARS:
        start(f"validate_{role}")
    pools = stage.pool("labeled", "sky"), stage.pool("unlabeled", "pseudo")
    samples = [pool.load(index) for pool in pools for index in range(len(pool))]
    return [
        (one.key, one.image.tobytes(), one.target.tobytes(), None if one.sky is None else one.sky.tobytes())
        for one in samples
    ]


def runs(stage):
    client = mlflow_runs.connect()
    return client.search_runs([mlflow_runs.experiment_id(client)], f"run_name LIKE '{stage}-%'")


@pytest.mark.slow
def test_every_stage_works_from_a_bucket_as_from_folders(project, bucket, tmp_path, monkeypatch):
    remote = run_all(monkeypatch, project, project["data"]["store"])
    assert not list((tmp_path / "data").rglob("*.tar"))
    assert not list((tmp_path / ".work").rglob("*.tar"))
    held = bucket[0].list_objects_v2(Bucket=bucket[1], Prefix="depth/")["Contents"]
    catalogs = [json.loads((tmp_path / f"data/catalog/{role}.json").read_text()) for role in (*ROLES, *SIDECARS)]
    assert sum(one["Size"] for one in held) == sum(one["world"]["bytes"] for one in catalogs)
    shown = {path.name: path.read_bytes() for path in SCENES_REPORT.iterdir()}
    (run,) = runs("describe")
    assert run.data.metrics["samples/evaluation/world"] == 3
    assert run.data.metrics["effective_scenes/labeled"] >= 1
    assert run_all(monkeypatch, project, "local") == remote
    assert {path.name: path.read_bytes() for path in SCENES_REPORT.iterdir()} == shown


def test_a_shard_that_is_gone_stops_the_gate_and_a_store_that_is_down_the_training(
    project, bucket, tmp_path, monkeypatch, capsys
):
    project["sources"] |= {"unlabeled": {}, "evaluation": {}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
    start("inventory")
    start("collect_labeled@world")
    start("validate@labeled")
    pool = SamplePool(tmp_path / "data", "labeled", files.read_json(catalog_path("labeled")))
    bucket[2].fault = lambda method, path, number: "drop"
    with pytest.raises(StoreError, match="run the same command again") as caught:
        list(loader(lambda step, share: labeled_batch(pool, 0, 2, 28, step, share), [WHOLE], 0, 1, 1))
    assert "\n" not in str(caught.value)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run_command(lambda: start("validate@labeled"))
    assert capsys.readouterr().err.count("\n") == 1
    bucket[2].fault = lambda method, path, number: None
    name = bucket[0].list_objects_v2(Bucket=bucket[1])["Contents"][0]["Key"]
    bucket[0].delete_object(Bucket=bucket[1], Key=name)
    with pytest.raises(UserError, match="damaged_shards"):
        start("validate@labeled")
