"""Recall and false alarms of the leakage guard on planted leaks.

    python benchmarks/leakage.py [--samples FOLDER]

Real photographs (the folder `photos` of the samples and those of scikit-image) and rendered pictures are changed in
one way at a time and collected as images are; the audit of the pipeline then compares them with the originals, with
the parameters of params.yaml. "training changed": the originals are the evaluation set; "evaluation changed":
the other way round. A hit names the right original. False alarms are counted among training images that are no copy
of anything: frames of indoor scenes and roads, and other rendered pictures of the same domains.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import measuring
import numpy as np
import yaml
from PIL import Image, ImageEnhance, ImageOps

from depth_model import readers, world
from depth_model.audit import findings
from depth_model.audit.settings import AuditRules
from depth_model.readers import scikit_image
from depth_model.reading.collecting import collect_source
from depth_model.shards.images import decode_rgb

PER_DOMAIN, UNRELATED_PER_DOMAIN, SIZE = 8, 40, (192, 256)
ORIGINAL = "original"
PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
FRAMES = (
    "7scenes/redkitchen/*.color.jpg",
    "ddad_dgp/**/*.jpg",
    "kitti/**/image_02/**/data/*.png",
    "tum_rgbd/*/rgb/*.png",
    "icl_nuim/*/rgb/*.png",
    "nyu_depth_v2/**/rgb_*.jpg",
    "ade20k/**/*.jpg",
    "tartanair/**/*_left.png",
)
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def cropped(image: Image.Image, share: float, generator: np.random.Generator) -> Image.Image:
    """Return a crop of `share` of both sides, anywhere in the image."""
    width, height = (round(side * share) for side in image.size)
    left, top = generator.integers(image.width - width + 1), generator.integers(image.height - height + 1)
    return image.crop((left, top, left + width, top + height))


def encoded(image: Image.Image, quality: int) -> Image.Image:
    """Return the image after JPEG of `quality`."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.fromarray(decode_rgb(buffer.getvalue()))


def scaled(image: Image.Image, across: float, down: float) -> Image.Image:
    """Return the image in other sizes."""
    return image.resize((round(image.width * across), round(image.height * down)), Image.Resampling.LANCZOS)


def jittered(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return the image with brightness, contrast and saturation changed by up to 40 %."""
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancer(image).enhance(generator.uniform(0.6, 1.4))
    return image


def other_gamma(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return the image with a gamma of 0.6 to 1.6."""
    gamma = generator.uniform(0.6, 1.6)
    return image.point(lambda value: round(255 * (value / 255) ** gamma))


def other_hue(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return the image with its hue turned by up to 36 degrees."""
    hue, saturation, value = image.convert("HSV").split()
    turned = (np.asarray(hue).astype(int) + generator.integers(-25, 26)) % 256
    return Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value)).convert("RGB")


def crop_and_more(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return a mirrored, recolored, re-encoded crop."""
    return encoded(jittered(ImageOps.mirror(cropped(image, 0.87, generator)), generator), 40)


CHANGES: dict[str, Change] = {
    "JPEG, quality 30": lambda image, _: encoded(image, 30),
    "JPEG, quality 10": lambda image, _: encoded(image, 10),
    "half the size": lambda image, _: scaled(image, 0.5, 0.5),
    "a quarter of the size": lambda image, _: scaled(image, 0.25, 0.25),
    "other aspect (3/4 of the height)": lambda image, _: scaled(image, 1, 0.75),
    "brightness, contrast, saturation": jittered,
    "hue": other_hue,
    "gamma 0.6 to 1.6": other_gamma,
    "gray": lambda image, _: image.convert("L").convert("RGB"),
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "crop of 95 %": lambda image, generator: cropped(image, 0.95, generator),
    "crop of 90 %": lambda image, generator: cropped(image, 0.90, generator),
    "crop of 85 %": lambda image, generator: cropped(image, 0.85, generator),
    "crop of 80 %": lambda image, generator: cropped(image, 0.80, generator),
    "mirrored crop of 85 %": lambda image, generator: ImageOps.mirror(cropped(image, 0.85, generator)),
    "mirrored crop of 87 %, recolored, JPEG 40": crop_and_more,
    "beyond the promise: crop of 70 %": lambda image, generator: cropped(image, 0.70, generator),
}


def originals(samples: Path | None) -> dict[str, dict[str, Image.Image]]:
    """Return kind -> key -> picture."""
    photographs = {one.key: Image.fromarray(decode_rgb(one.image)) for one in scikit_image.READER(subset="photographs")}
    if samples is not None:
        photos = sorted((samples / "photos").glob("*.jpg"))
        there = {path.stem: Image.fromarray(decode_rgb(path.read_bytes())) for path in photos}
        photographs = {key: image for key, image in photographs.items() if f"skimage_{key}" not in there} | there
    return {"photographs": photographs, "rendered": rendered(PER_DOMAIN, 1)}


def rendered(count: int, seed: int) -> dict[str, Image.Image]:
    """Return `count` pictures of every rendered domain."""
    return {
        f"{domain}_{index}": Image.fromarray(world.render_sample(domain, seed, index, *SIZE).image)
        for domain in world.DOMAINS
        for index in range(count)
    }


def unrelated(samples: Path | None) -> dict[str, Image.Image]:
    """Return pictures that are no copy of any original: real frames and rendered ones."""
    real = [path for pattern in FRAMES for path in sorted(samples.glob(pattern))] if samples else []
    frames = {f"frame_{number}": Image.fromarray(decode_rgb(path.read_bytes())) for number, path in enumerate(real)}
    return frames | rendered(UNRELATED_PER_DOMAIN, 2)


def collect(folder: Path, role: str, name: str, pictures: Mapping[str, Image.Image]) -> None:
    """Collect `pictures` as the source `name` of `role`, as the pipeline does it."""
    root = folder / "pictures" / role / name
    root.mkdir(parents=True)
    for key, picture in pictures.items():
        picture.save(root / f"{key}.png")
    reader, settings = readers.get("image_folder"), {"max_side": 1024, "minimum_side": 8, "samples_per_shard": 256}
    places = (folder / part / role / name for part in ("scratch", "data"))
    collect_source(reader, root, reader.options(), *places, **settings, workers=1)


def leaks(folder: Path, training: str, evaluation: str) -> list[tuple[str, str]]:
    """Return (training key, evaluation key) of the leaks between two sources."""
    catalogs = {"unlabeled": {training: None}, "evaluation": {evaluation: None}}
    ours, theirs = (findings.Collection(folder / "data", catalogs, (role,)) for role in catalogs)
    rules = AuditRules(**yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["audit"])
    return [(ours.key(pair.row), theirs.key(pair.other)) for pair in findings.find_leaks(ours, theirs, rules)[0]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, help="folder of real samples")
    samples = parser.parse_args().samples
    kinds = originals(samples)
    pictures = {f"{kind}_{key}": image for kind, found in kinds.items() for key, image in found.items()}
    with tempfile.TemporaryDirectory() as temporary:
        folder, others = Path(temporary), unrelated(samples)
        for role in ("evaluation", "unlabeled"):
            collect(folder, role, ORIGINAL, pictures)
        collect(folder, "unlabeled", "unrelated", others)
        rows = []
        for number, (name, change) in enumerate(CHANGES.items()):
            generator = np.random.default_rng(number)
            changed = {key: change(image, generator) for key, image in pictures.items()}
            for role in ("evaluation", "unlabeled"):
                collect(folder, role, f"change_{number}", changed)
            found = leaks(folder, f"change_{number}", ORIGINAL)
            back = leaks(folder, ORIGINAL, f"change_{number}")
            rows.append([name, *(recall(pairs, kind, kinds) for pairs in (found, back) for kind in kinds)])
        alarms = leaks(folder, "unrelated", ORIGINAL)
    header = [f"{direction}, {kind}" for direction in ("training changed", "evaluation changed") for kind in kinds]
    print(measuring.table(["change", *header], rows))
    print(f"\nfalse alarms: {len(alarms)} of {len(others)} unrelated images, against {len(pictures)} evaluation images")
    print("\n".join(f"  {key} taken for {other}" for key, other in alarms))


def recall(pairs: list[tuple[str, str]], kind: str, kinds: Mapping[str, Mapping[str, Image.Image]]) -> str:
    """Return how many of the pictures of `kind` were found with the right partner."""
    right = sum(key == other and key.startswith(f"{kind}_") for key, other in pairs)
    return f"{right}/{len(kinds[kind])}"


if __name__ == "__main__":
    main()
