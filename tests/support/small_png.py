"""Small PNG pictures of text with few colours: a palette instead of three bytes per pixel."""

import base64
import struct
import zlib
from collections import Counter

from playwright.sync_api import Page

COLOURS = 24

Colour = tuple[int, int, int]


PIXELS = """async url => {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  const drawn = canvas.getContext("2d");
  drawn.drawImage(image, 0, 0);
  const bytes = new Blob([drawn.getImageData(0, 0, image.width, image.height).data]);
  return new Promise(done => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.readAsDataURL(bytes);
  });
}"""


def small_picture(page: Page, width: int) -> bytes:
    """Return a small PNG of the full page at that width."""
    taken = base64.b64encode(page.screenshot(full_page=True)).decode()
    return small_png(width, base64.b64decode(page.evaluate(PIXELS, f"data:image/png;base64,{taken}")))


def small_png(width: int, rgba: bytes) -> bytes:
    """Return a PNG (ISO/IEC 15948) of the pixels in a few colours; each other colour becomes the nearest of these."""
    pixels = list(zip(rgba[0::4], rgba[1::4], rgba[2::4], strict=True))
    counted = Counter(pixels)
    palette = _palette(counted)
    indexes = {colour: _nearest(colour, palette) for colour in counted}
    indexed = bytes(map(indexes.__getitem__, pixels))
    rows = [b"\0" + indexed[start : start + width] for start in range(0, len(indexed), width)]
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)
    chunks = {
        b"IHDR": header,
        b"PLTE": b"".join(map(bytes, palette)),
        b"IDAT": zlib.compress(b"".join(rows), 9),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks.items())


def _palette(counted: Counter[Colour]) -> list[Colour]:
    """Choose the most important colours: frequent ones, and those far from all others, such as one red mark."""
    palette = [counted.most_common(1)[0][0]]
    missed = {colour: _distance(colour, palette[0]) for colour in counted}
    while len(palette) < COLOURS and any(missed.values()):
        palette.append(max(missed, key=lambda colour: counted[colour] * missed[colour]))
        missed = {colour: min(far, _distance(colour, palette[-1])) for colour, far in missed.items()}
    return palette


def _nearest(colour: Colour, palette: list[Colour]) -> int:
    return min(range(len(palette)), key=lambda index: _distance(colour, palette[index]))


def _distance(one: Colour, other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
