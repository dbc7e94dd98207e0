"""params.yaml is refused with the key, the value and what is allowed."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from typing import get_args

import pytest
import yaml

from depth_model.errors import UserError
from depth_model.training.settings import Size
from tasks.commands import main
from tasks.settings import params, presets, structure

ROOMS = "sources.labeled.rooms"


@pytest.fixture(scope="module")
def demo(repository):
    return presets.content(repository / "presets" / "demo.yaml")


def test_every_preset_is_valid(repository):
    found = sorted((repository / "presets").glob("*.yaml"))
    assert found
    for preset in found:
        presets.load(preset)


def test_params_are_the_demo_written_out(repository):
    written = presets.written(repository / "presets" / "demo.yaml")
    assert (repository / "params.yaml").read_text(encoding="utf-8") == written


def test_a_preset_written_out_is_whole_and_explained_and_gives_the_same(repository, tmp_path, capsys, monkeypatch):
    preset, out = repository / "presets" / "paper-vitl.yaml", tmp_path / "params.yaml"
    monkeypatch.setattr("sys.argv", ["depth-anything", "params", str(preset), "-o", str(out)])
    main.main()
    text = out.read_text(encoding="utf-8")
    assert params.load(out) == presets.load(preset)
    assert yaml.safe_load(text) == presets.content(preset)  # YAML 1.1 and 1.2 agree
    assert "  precision: bf16                 # fp32 | bf16: not published\n" in text
    assert "  labeled:                        # Table 1 of the paper\n" in text
    again = presets.written(out).splitlines()
    assert [line.partition("#")[0] for line in again if line[:1] != "#"] == [
        line.partition("#")[0] for line in text.splitlines() if line[:1] != "#"
    ]


def test_a_preset_holds_nothing_that_is_the_default(repository):
    for preset in (repository / "presets").glob("*.yaml"):
        given = params.read(preset)
        for section, default in structure.completed(params.Params, {}).items():
            settings = given.get(section, {}) if isinstance(default, dict) else {section: given.get(section)}
            defaults = default if isinstance(default, dict) else {section: default}
            assert not [key for key, value in settings.items() if defaults.get(key) == value], preset.name


def test_a_preset_may_extend_another(repository, tmp_path):
    shutil.copy(repository / "presets" / "demo.yaml", tmp_path)
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("# One.\nextends: demo\nteacher: {epochs: 7}\n")
    two.write_text("extends: one\nsources: {labeled: {rooms: {options: {count: 5}}}}\nseed: 4  # of mine\n")
    expected = presets.content(tmp_path / "demo.yaml")
    expected["teacher"]["epochs"], expected["seed"] = 7, 4
    expected["sources"]["labeled"]["rooms"]["options"]["count"] = 5
    assert presets.content(two) == expected
    assert yaml.safe_load(presets.written(two)) == expected
    assert presets.written(one).startswith("# One.\n# Written by")
    assert "  epochs: 7                       # over the labeled images (paper: 20)\n" in presets.written(one)
    assert "# of mine\n" in presets.written(two)
    one.write_text("extends: two\n")
    with pytest.raises(UserError, match=r"two\.yaml: extends leads back to it"):
        presets.load(two)
    one.write_text("extends: three\n")
    with pytest.raises((UserError, FileNotFoundError), match=r"three\.yaml"):
        presets.load(two)


def test_parameters_are_checked_without_torch_and_pandas(repository):
    script = "import sys; from tasks.settings import params; params.load(); print({'torch', 'pandas'} & {*sys.modules})"
    ended = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def changed(content, path, value):
    content = copy.deepcopy(content)
    *parents, last = path.split(".")
    at = content
    for part in parents:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("alpha", "high", ["alpha = 'high'", "number"]),
        ("data.store", "gs://bucket/x", ["data.store", "must be local or s3://BUCKET/PREFIX"]),
        ("data.store", "s3://", ["data.store", "must be local or s3://BUCKET/PREFIX"]),
        ("alpha", 1.2, ["alpha = 1.2", "less than or equal to 1"]),
        ("alhpa", 0.8, ["alhpa: unknown key", "did you mean 'alpha'"]),
        ("alpha", None, ["alpha: missing key"]),
        ("teacher.epocs", 3, ["teacher.epocs: unknown key", "did you mean 'epochs'"]),
        ("teacher.epochs", 2.5, ["teacher.epochs = 2.5", "integer"]),
        ("training.crop", 100, ["training.crop = 100", "multiple of 14"]),
        ("training.workers", 2, ["training.workers: unknown key"]),
        ("machine.training.workers", -1, ["machine.training.workers = -1", "greater than or equal to 0"]),
        ("machine.collect.engine", "rai", ["machine.collect.engine = 'rai'", "'local' or 'ray'"]),
        ("machine.training", None, ["machine.training: missing key"]),
        ("sources.labeled", 3, ["sources.labeled = 3"]),
        ("training.precision", "fp16", ["training.precision = 'fp16'", "'fp32' or 'bf16'"]),
        (f"{ROOMS}.reader", "rendered_word", [ROOMS, "did you mean 'rendered_world'"]),
        (f"{ROOMS}.options.domian", "rooms", [f"{ROOMS}.options.domian: unknown key", "'domain'"]),
        (f"{ROOMS}.options.count", "many", [f"{ROOMS}.options.count = 'many'", "integer"]),
        ("sources.unlabeled.photographs.root", None, ["sources.unlabeled.photographs", "needs a 'root'"]),
        ("sources.labeled", {"../up": {"reader": "rendered_world"}}, ["sources.labeled", "small letters, digits"]),
        ("feature_alignment.block", 12, ["feature_alignment.block = 12", "blocks 0 to 11"]),
        ("teacher.encoder", "vitl", ["'packaged' is a ViT-S"]),
        ("sources.evaluation.columns.protocol", "kitti/mariogld", ["evaluation.columns", "'kitti/mariogld'"]),
        ("sources.evaluation.columns.protocol", "ibims", ["'ibims'", "metric depth"]),
        ("validation.sources", ["room"], ["validation.sources = 'room'", "did you mean 'rooms'"]),
        ("validation.sources", ["rooms", "streets"], ["holds out every labeled source"]),
        ("teacher.initial", "models/student", ["teacher.initial = 'models/student'", "cannot be its start", "a copy"]),
        ("student.initial", "models/teacher", ["student.initial = 'models/teacher'", "cannot be its start"]),
        ("student.initial", "data/models/mien", ["student.initial = 'data/models/mien'", "allowed: encoder"]),
        ("teacher.model", "LiheYoung/depth-anything-large-hf", ["teacher.model = 'LiheYoung", "no such model"]),
        ("pseudo_label.teachers", {"data/models/mine": 0}, ["pseudo_label.teachers", "greater than 0"]),
        ("student.perturbation.blur_sigma", [0.1], ["student.perturbation.blur_sigma", "at least 2"]),
        ("class_map", {"hills": "labels"}, ["class_map.hills = 'labels'", "unlabeled.hills.class_labels: true"]),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_its_path(demo, path, value, said):
    with pytest.raises(UserError) as refusal:
        params.check(changed(demo, path, value))
    for part in said:
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_whole_model_as_start_needs_no_encoder_weights_of_its_size(demo):
    content = changed(demo, "models", {"mine": {"source": "mine.pth", "version": "v2"}})
    content = changed(content, "student.encoder", "vitb")
    with pytest.raises(UserError, match="'packaged' is a ViT-S"):
        params.check(content)
    content = changed(content, "student.initial", "data/models/mine")
    content = changed(changed(content, "teacher.model", "data/models/mine"), "teacher.encoder", "vitl")
    found = params.check(content)
    assert found.starts_whole("student") and not found.starts_whole("teacher")


def test_all_faults_are_named_at_once(demo):
    content = changed(changed(demo, "alpha", 2), "seed", -1)
    with pytest.raises(UserError) as refusal:
        params.check(content)
    assert len(str(refusal.value).splitlines()) == 2


def test_a_learning_rate_without_a_point_is_a_number(tmp_path, demo):
    text = yaml.safe_dump(demo).replace("encoder_learning_rate: 2.0e-05", "encoder_learning_rate: 5e-6")
    (tmp_path / "params.yaml").write_text(text)
    assert params.load(tmp_path / "params.yaml").teacher.encoder_learning_rate == 5e-6


def test_broken_yaml_and_a_missing_file_are_one_line(tmp_path):
    with pytest.raises(UserError, match="not found"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("alpha: [1")
    with pytest.raises(UserError, match="not valid YAML") as refusal:
        params.load(tmp_path / "params.yaml")
    assert "\n" not in str(refusal.value)


def test_sides_fit_the_patch_of_the_encoder_that_sees_them(demo):
    hub = changed(demo, "encoder.weights", "hub")
    three = changed(changed(hub, "teacher.encoder", "dinov3_vits16"), "student.encoder", "dinov3_vits16")
    with pytest.raises(UserError, match=r"training\.crop = .*'dinov3_vits16' needs a multiple of 16"):
        params.check(three)
    for key in ("training.crop", "pseudo_label.short_side", "evaluation.short_side"):
        three = changed(three, key, 256)
    for section, keys in (("finetune_metric", ("height", "width")), ("finetune_semantic", ("crop",))):
        for name in three[section]:
            for key in keys:
                three = changed(three, f"{section}.{name}.{key}", 256)
    with pytest.raises(UserError, match=r"evaluate_semantic\.ade20k\.short_side = \d+: .* multiple of 16"):
        params.check(three)
    for name in three["evaluate_semantic"]:
        three = changed(three, f"evaluate_semantic.{name}.short_side", 256)
    assert params.check(three).training.crop == 256
    with pytest.raises(UserError, match=r"training\.crop = 256: encoder 'vits' needs a multiple of 14"):
        params.check(changed(three, "student.encoder", "vits"))
    mixed = changed(changed(three, "student.encoder", "vits"), "training.crop", 448)
    mixed = changed(mixed, "evaluation.short_side", 448)
    for section in ("finetune_metric", "finetune_semantic"):
        mixed = changed(mixed, section, {})
        mixed = changed(mixed, section.replace("finetune", "evaluate"), {})
    assert params.check(mixed).pseudo_label.short_side == 256


def test_the_encoders_are_those_of_the_networks():
    from depth_model.networks.encoder import Encoder
    from depth_model.networks.variants import VARIANTS

    assert set(get_args(Size)) == set(VARIANTS)
    for size in ("tiny", "tiny_reg", "dinov3_tiny16"):
        encoder = Encoder(size)
        assert (VARIANTS[size].depth, VARIANTS[size].patch) == (encoder.depth, encoder.patch)
    assert VARIANTS["dinov3_vitl16"].depth == VARIANTS["vitl_reg"].depth == 24


LAUGHS = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
BOMBS = {
    "aliases of aliases": (LAUGHS, r"its aliases \(\*\) make 1234\d* values of it"),
    "a list in itself": ("x: &a [*a]\n", "part of itself"),
    "a mapping in itself": ("x: &a {b: *a}\n", "part of itself"),
    "deep lists": ("x: " + "[" * 500 + "]" * 500 + "\n", "nested too deeply"),
    "a list as key": ("? [1, 2]\n: 3\n", "keys must be"),
    "a number without end": ("x: " + "9" * 10_000 + "\n", "not valid YAML: Exceeds the limit"),
    "no date": ("x: 2024-99-99\n", "not valid YAML: month"),
    "a program": ("x: !!python/object/apply:os.system ['touch owned']\n", "could not determine a constructor"),
    "half a character": ('x: "\\ud800"\n', "Invalid JSON"),
    "another text": ("seed: " + "y" * 100_000 + "\n", "duplicate key|seed = "),
}


@pytest.mark.hostile
@pytest.mark.parametrize("name", BOMBS)
def test_a_file_made_to_harm_is_one_line(repository, tmp_path, name):
    added, said = BOMBS[name]
    (tmp_path / "params.yaml").write_text((repository / "params.yaml").read_text() + added)
    with pytest.raises(UserError, match=said) as caught:
        params.load(tmp_path / "params.yaml")
    assert all(len(line) < 1000 for line in str(caught.value).split("\n"))
