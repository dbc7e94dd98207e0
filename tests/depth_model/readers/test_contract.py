"""Every reader there is keeps the contract, on a tiny data set in its official layout."""

from __future__ import annotations

import inspect

import pytest

from depth_model import readers

from .contract import CHECKS
from .layouts import layout

LANDED = """
blendedmvs diml hrwsi irs megadepth tartanair
seven_scenes tum_rgbd icl_nuim middlebury
image_folder rgbd_folder rendered_world scikit_image
kitti nyu sun_rgbd ddad hypersim ade20k
bdd100k google_landmarks imagenet21k lsun objects365 open_images places365 sa1b image_archives
diode sintel eth3d vkitti2 ibims cityscapes da2k
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function from a reader's name to (reader, root, layout), written once."""
    done = {}

    def of(name):
        if name not in done:
            root = tmp_path_factory.mktemp(name) / "root"
            root.mkdir()
            done[name] = readers.get(name), root, layout(name, root)
        return done[name]

    return of


@pytest.mark.parametrize("name", readers.names())
@pytest.mark.parametrize("check", CHECKS)
def test_contract(name, check, written, request):
    given = dict(zip(("reader", "root", "layout"), written(name)))
    wanted = inspect.signature(CHECKS[check]).parameters
    CHECKS[check](**given, **{one: request.getfixturevalue(one) for one in wanted if one not in given})


def test_every_data_set_has_its_reader():
    assert set(LANDED.split()) <= set(readers.names())
