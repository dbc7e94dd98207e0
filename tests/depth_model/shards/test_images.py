"""Image decoding against pictures whose pixels are known, in every form that folders of photographs hold."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from depth_model.errors import BadInput
from depth_model.shards.images import decode_rgb, stored_image, stored_shape


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def picture() -> Image.Image:
    """40 x 60 pixels, smooth, every corner of another color."""
    rows, columns = np.mgrid[0:40, 0:60]
    return Image.fromarray(np.stack([rows * 6, columns * 4, 255 - rows * 6], axis=2).astype(np.uint8))


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_back_every_pixel(picture, form):
    assert np.array_equal(decode_rgb(encoded(picture, form)), np.asarray(picture))


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_formats_come_near(picture, form):
    decoded = decode_rgb(encoded(picture, form, quality=95)).astype(int)
    assert np.abs(decoded - np.asarray(picture)).mean() < 4


@pytest.mark.parametrize("size", [(60, 40), (61, 43), (8, 1)])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 92, "subsampling": "4:4:4"},
        {"quality": 75, "subsampling": "4:2:2"},
        {"quality": 60, "subsampling": "4:2:0"},
        {"quality": 95, "progressive": True, "optimize": True},
        {"quality": 80, "restart_marker_rows": 1},
        {"quality": 80, "keep_rgb": True},
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_has_the_pixels_that_pillow_gives(picture, size, options, mode):
    noisy = np.random.default_rng(0).integers(0, 40, (size[1], size[0], 3)) + np.asarray(picture.resize(size)) // 2
    data = encoded(Image.fromarray(noisy.astype(np.uint8)).convert(mode), "JPEG", **options)
    decoded = decode_rgb(data)
    assert np.array_equal(decoded, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    decoded[0, 0] = 7  # is the caller's to change


def test_an_irregular_jpeg_is_judged_by_pillow(picture):
    data = encoded(picture, "JPEG", restart_marker_rows=1)
    first_restart = data.index(b"\xff\xd0")
    stray = data[:first_restart] + b"\x00\x11\x22" + data[first_restart:]
    assert np.array_equal(decode_rgb(stray), np.asarray(Image.open(io.BytesIO(stray))))


def test_gray_palette_and_two_level_images_become_rgb(picture):
    gray = picture.convert("L")
    assert np.array_equal(decode_rgb(encoded(gray, "PNG")), np.repeat(np.asarray(gray)[:, :, None], 3, axis=2))
    palette = picture.quantize(16)
    assert np.array_equal(decode_rgb(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))
    assert set(np.unique(decode_rgb(encoded(picture.convert("1"), "PNG")))) == {0, 255}


def test_sixteen_bit_gray_is_scaled_to_eight_bits():
    stored = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    decoded = decode_rgb(encoded(Image.fromarray(stored), "PNG"))
    assert decoded[0, :, 0].tolist() == [0, 1, 128, 255]
    assert decode_rgb(encoded(Image.fromarray(stored), "TIFF"))[0, :, 1].tolist() == [0, 1, 128, 255]


def test_transparent_pixels_are_laid_over_white():
    pixels = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    decoded = decode_rgb(encoded(Image.fromarray(pixels, "RGBA"), "PNG"))
    assert decoded[0, 0].tolist() == [200, 0, 0]
    assert decoded[0, 1].tolist() == [255, 255, 255]
    assert decoded[0, 2].tolist() == [127, 127, 127]


def test_the_first_frame_of_an_animation_is_taken(picture):
    other = Image.new("RGB", picture.size, "red")
    data = encoded(picture, "WEBP", save_all=True, append_images=[other], lossless=True)
    assert np.array_equal(decode_rgb(data), np.asarray(picture))


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda pixels: pixels),
        (2, np.fliplr),
        (3, lambda pixels: np.rot90(pixels, 2)),
        (4, np.flipud),
        (5, lambda pixels: pixels.swapaxes(0, 1)),
        (6, lambda pixels: np.rot90(pixels, -1)),
        (7, lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(picture, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture, "PNG", exif=exif)
    expected = turned(np.asarray(picture))
    assert np.array_equal(decode_rgb(data), expected)
    stored = stored_image(data, 1000)
    assert np.array_equal(decode_rgb(stored.data), expected)
    assert "exif" not in Image.open(io.BytesIO(stored.data)).info or orientation == 1
    assert (stored.height, stored.width) == expected.shape[:2]
    assert stored.rotated == (orientation != 1)
    assert (stored.data == data) == (orientation == 1)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_orientation_of_a_jpeg_is_applied(picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture, "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode_rgb(data), np.asarray(expected))


def _png_claiming(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_what_is_no_image_is_refused_with_a_reason(picture):
    jpeg = encoded(picture, "JPEG")
    cases = {
        b"": "0 bytes",
        b"just some text": "not an image",
        jpeg[: len(jpeg) * 3 // 4]: "damaged image",
        encoded(picture, "PNG")[:-60]: "damaged image",
        encoded(picture, "TIFF")[:300]: "image",
        _png_claiming(30000, 30000): "decode_budget is 1000000000",
    }
    for data, reason in cases.items():
        with pytest.raises(BadInput, match=reason):
            decode_rgb(data)
        with pytest.raises(BadInput, match=reason):
            stored_image(data, 1000)


def test_a_float_image_is_refused(picture):
    with pytest.raises(BadInput, match="floating-point"):
        decode_rgb(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


@pytest.mark.filterwarnings("ignore:.*tag:UserWarning")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_damage_anywhere_is_bad_input_or_an_image_and_nothing_else(picture, form):
    data = encoded(picture, form)
    generator = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for place in generator.integers(0, len(data), 4):
            damaged[place] = generator.integers(0, 256)
        try:
            assert decode_rgb(bytes(damaged)).shape[2] == 3
        except BadInput as error:
            assert str(error)


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "bmp")])
def test_an_image_within_the_limit_is_stored_as_found(picture, form, suffix):
    data = encoded(picture, form)
    stored = stored_image(data, 60)
    assert (stored.data, stored.suffix, stored.height, stored.width) == (data, suffix, 40, 60)


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", "jpg"), ("WEBP", "jpg"), ("PNG", "png"), ("TIFF", "png")])
def test_a_larger_image_is_scaled_to_the_limit(picture, form, suffix):
    stored = stored_image(encoded(picture, form), 30)
    assert (stored.suffix, stored.height, stored.width) == (suffix, 20, 30)
    assert (stored.found_height, stored.found_width) == (40, 60)
    pixels = decode_rgb(stored.data).astype(int)
    assert pixels.shape == (20, 30, 3)
    means = np.asarray(picture).reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(pixels - means).mean() < 4


def test_a_rare_format_is_stored_as_png(picture):
    stored = stored_image(encoded(picture, "PPM"), 1000)
    assert stored.suffix == "png"
    assert np.array_equal(decode_rgb(stored.data), np.asarray(picture))


def test_the_digest_is_that_of_the_stored_bytes(picture):
    data = encoded(picture, "PNG")
    assert stored_image(data, 100).digest == stored_image(data, 100).digest
    assert stored_image(data, 100).digest == int(hashlib.blake2b(data, digest_size=8).hexdigest(), 16)
    assert stored_image(encoded(picture, "BMP"), 100).digest != stored_image(data, 100).digest


def test_the_fingerprint_is_that_of_the_picture_and_not_of_its_file(picture):
    fingerprint = stored_image(encoded(picture, "PNG"), 100).fingerprint
    assert len(fingerprint) == 32
    assert stored_image(encoded(picture, "BMP"), 100).fingerprint == fingerprint
    assert stored_image(encoded(picture.rotate(180), "PNG"), 100).fingerprint != fingerprint


def test_the_stored_shape_is_read_from_the_head_and_ignores_a_turn(picture):
    turned = Image.Exif()
    turned[0x0112] = 6
    data = encoded(picture, "JPEG", exif=turned)
    assert decode_rgb(data).shape == (60, 40, 3)
    assert stored_shape(data) == stored_shape(data[:-20]) == (40, 60)
    with pytest.raises(BadInput, match="not an image"):
        stored_shape(b"not an image")


def test_exif_data_that_cannot_be_written_again_turn_the_pixels_all_the_same(picture):
    fields = [(0x0100, 5, 1, 50), (0x0112, 3, 1, 6 << 16)]  # a width that is a fraction; orientation 6
    told = struct.pack(">2sHIH", b"MM", 42, 8, 2) + b"".join(struct.pack(">HHII", *field) for field in fields)
    exif = b"Exif\0\0" + told + bytes(4) + bytes(50 - len(told) - 4) + struct.pack(">2I", 72, 1)
    data = encoded(picture, "JPEG", exif=exif)
    with pytest.raises(struct.error):
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    stored = stored_image(data, 100)
    assert stored.rotated
    assert decode_rgb(data).shape == (60, 40, 3)
    assert (stored.height, stored.width) == (60, 40)
    np.testing.assert_array_equal(decode_rgb(data), np.rot90(np.asarray(Image.open(io.BytesIO(data))), -1))
