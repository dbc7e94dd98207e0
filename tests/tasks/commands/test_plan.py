"""`depth-anything plan` as a user calls it."""

from __future__ import annotations

import json

import pytest

from tasks.commands import main
from tasks.settings import presets


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["depth-anything", "plan", *arguments])
    main.main()


def test_the_papers_preset_holds_the_papers_values(repository):
    settings = presets.load(repository / "presets/paper-vitl.yaml")
    assert settings.alpha == 0.85
    assert (settings.teacher.encoder, settings.teacher.epochs) == ("vitl", 20)
    assert (settings.student.encoder, settings.student.epochs) == ("vitl", 1)
    for stage in (settings.teacher, settings.student):
        assert (stage.encoder_learning_rate, stage.decoder_learning_rate) == (5e-6, 5e-5)
    assert settings.student.unlabeled_per_batch == 2 * settings.student.labeled_per_batch
    assert settings.training.crop == settings.pseudo_label.short_side == settings.evaluation.short_side == 518
    assert settings.student.perturbation.cutmix_probability == 0.5
    assert settings.encoder.weights == "hub"
    assert settings.feature_alignment.block == 23
    assert {one.partition("_")[0] for one in settings.sources.labeled} == {
        "blendedmvs",
        "diml",
        "hrwsi",
        "irs",
        "megadepth",
        "tartanair",
    }
    assert len(settings.sources.unlabeled) == 8
    assert set(settings.sources.evaluation) == {"kitti", "nyu", "sintel", "ddad", "eth3d", "diode"}
    trained_on = settings.sources.metric[settings.finetune_metric["nyu"].source]
    assert trained_on.options["list"].endswith("nyudepthv2_train_files_with_gt.txt")  # 24,231 frames, not 795
    table_5 = {"sun_rgbd", "ibims", "hypersim", "vkitti2", "diode_outdoor"}
    assert table_5 == set(settings.evaluate_metric) - set(settings.finetune_metric)
    assert {settings.evaluate_metric[name].protocol for name in table_5} == {f"{name}/zoedepth" for name in table_5}


@pytest.mark.parametrize(("encoder", "hours"), [("vits", "1,211.7"), ("vitb", "1,317.9"), ("vitl", "2,024.1")])
def test_the_papers_three_sizes(monkeypatch, capsys, repository, encoder, hours):
    monkeypatch.chdir(repository)
    call(monkeypatch, "--preset", "paper-vitl", "--encoder", encoder, "--workers", "128")
    shown = capsys.readouterr().out
    assert "1,599,000 labeled and 62,300,000 unlabeled images (the paper's counts)" in shown
    assert f"| train student | v100 | {hours} |" in shown
    assert "Bottleneck: train student" in shown
    assert ("30,720 GPU-hours" in shown) == (encoder == "vitl")


def test_the_catalogs_are_counted(monkeypatch, capsys, repository, tmp_path):
    (tmp_path / "params.yaml").write_text((repository / "params.yaml").read_text())
    for role, counts in (("labeled", (3, 4)), ("unlabeled", (10, 20))):
        path = tmp_path / "data/catalog" / f"{role}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({str(number): {"samples": count} for number, count in enumerate(counts)}))
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "--device", "cpu-core")
    assert "7 labeled and 30 unlabeled images (the catalogs)" in capsys.readouterr().out
    call(monkeypatch, "--labeled", "100", "--unlabeled", "200")
    assert "100 labeled and 200 unlabeled images (as given)" in capsys.readouterr().out


def test_an_unknown_device_is_one_line(monkeypatch, capsys, repository):
    monkeypatch.chdir(repository)
    with pytest.raises(SystemExit):
        call(monkeypatch, "--preset", "paper-vitl", "--device", "mi300")
    assert (
        "error: device 'mi300' is unknown: choose one of v100, a100, t4, l4, a10, h100, rtx-4090, cpu-core"
        in capsys.readouterr().err
    )
