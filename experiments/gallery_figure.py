"""The picture of a gallery for a README: a row an image, a column a mask or a map.

python -m experiments.gallery_figure runs/quickstart/align --compared_with=runs/quickstart/erm --to=docs/gallery.png
"""

import argparse
import io
import pathlib
import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

from PIL import Image, ImageDraw, ImageFont

from align_jax.cli.exit_status import exit_status
from align_jax.errors import one_line
from align_jax.reporting import names
from align_jax.reporting.compared import named_methods
from align_jax.reporting.gallery_cards import gallery_layers, sharing_images
from align_jax.runs.read import read_run
from align_jax.runs.read_arrays import Gallery
from align_jax.runtime.files import write_atomically
from align_jax.runtime.paths import local_path

FIGURE_TILE = 116
FIGURE_BYTES = 300_000
INK, GREY = "#1c1f26", "#6a7080"


def chosen(gallery: Gallery, count: int) -> list[int]:
    """Indices of images for a short picture, the held-out domain first, roles, domains and classes in turn.

    Neither predictions nor maps are looked at: the picture shows what came, not what came out well.
    """
    order = list(reversed(names.ROLES))
    rank = {role: order.index(role) if role in order else len(order) for role in gallery.role}
    queues: dict[tuple[int, str, str], list[int]] = {}
    for i in sorted(range(len(gallery)), key=lambda i: (rank[gallery.role[i]], i)):
        queues.setdefault((rank[gallery.role[i]], gallery.role[i], gallery.domain[i]), []).append(i)
    picked: list[int] = []
    shown = dict.fromkeys(map(int, gallery.label), 0)
    while len(picked) < min(count, len(gallery)):
        for queue in queues.values():
            if queue and len(picked) < count:
                i = min(queue, key=lambda i: shown[int(gallery.label[i])])
                queue.remove(i)
                shown[int(gallery.label[i])] += 1
                picked.append(i)
    return sorted(picked, key=lambda i: (rank[gallery.role[i]], gallery.domain[i], i))


def gallery_figure(
    run: pathlib.Path, path: pathlib.Path, *, compared_with: pathlib.Path | None = None, rows: int = 6
) -> pathlib.Path:
    """Writes a picture of a gallery for a README: a row an image, a column a mask or a map.

    Columns: image | learned mask | true mask | Grad-CAM before | Grad-CAM after | the other method's Grad-CAM,
    those of them that the runs kept.

    Args:
      run: the run folder.
      path: the PNG to write; at most about 300 kB, for which its colours are reduced as far as it takes.
      compared_with: a run folder that kept the same images, typically that of ERM.
      rows: how many images; `chosen` says which.

    Raises:
      ValueError: a file is missing or broken, or the two galleries hold different images.
    """
    runs = named_methods([read_run(folder) for folder in (run, compared_with) if folder is not None])
    shown, _ = sharing_images(runs)
    if len(shown) < len(runs):
        raise ValueError(
            f"no picture can be made of {' and '.join(str(r.path / 'gallery') for r in runs.values())}: each needs a "
            "final.npz, with the same images; run the methods with one data set, seed and gallery size"
        )
    gallery, layers = next(iter(shown.values())), gallery_layers(shown)
    class_names = next(iter(runs.values())).class_names
    picked = chosen(gallery, rows)
    label_width, title_height, gap, margin = 88, 40, 4, 12
    tiles = [[layer.drawn(gallery.image[i], i, FIGURE_TILE) for layer in layers] for i in picked]
    height, width = tiles[0][0].shape[:2]
    left, top = margin + label_width, margin + title_height
    size = (left + len(layers) * (width + gap) - gap + margin, top + len(picked) * (height + gap) - gap + margin)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    small, normal = ImageFont.load_default(12), ImageFont.load_default(13)
    for column, layer in enumerate(layers):
        centre = left + column * (width + gap) + width // 2
        title = f"{layer.method}\n{layer.title}".strip()
        draw.multiline_text((centre, top - 7), title, INK, normal, anchor="md", align="center", spacing=2)
    for row, i in enumerate(picked):
        y = top + row * (height + gap)
        name = names.class_name(class_names, int(gallery.label[i]))
        middle = y + height // 2
        draw.text((margin, middle - 1), _cut(draw, name, normal, label_width - 8), INK, normal, anchor="ls")
        draw.text((margin, middle + 4), _cut(draw, gallery.domain[i], small, label_width - 8), GREY, small, anchor="la")
        for column, tile in enumerate(tiles[row]):
            sheet.paste(Image.fromarray(tile), (left + column * (width + gap), y))
    return write_atomically(path, _png(sheet, FIGURE_BYTES))


def _png(sheet: Image.Image, at_most: int) -> bytes:
    """A PNG with as many levels a channel as the size allows (a palette would need dithering, which shows)."""
    for levels in (256, 128, 64, 48, 32, 24, 16):
        step = 255 / (levels - 1)
        stream = io.BytesIO()
        sheet.point([round(round(value / step) * step) for value in range(256)] * 3).save(stream, format="PNG")
        content = stream.getvalue()
        if len(content) <= at_most:
            break
    return content


def _cut(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """The text, shortened with an ellipsis to fit."""
    text = " ".join(text.split())
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…"


def main() -> int:
    """Runs `python -m experiments.gallery_figure`; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--compared_with", help="a run that kept the same images")
    parser.add_argument("--to", required=True, help="the PNG to write")
    parser.add_argument("--rows", type=int, default=6, help="how many images")
    arguments = parser.parse_args()

    def draw() -> None:
        run, to = local_path(arguments.run, "RUN"), local_path(arguments.to, "--to")
        compared = None if arguments.compared_with is None else local_path(arguments.compared_with, "--compared_with")
        print(one_line(str(gallery_figure(run, to, compared_with=compared, rows=arguments.rows))))

    return exit_status(
        draw, on_os_error="can the runs be read and --to be written?", on_interrupt="nothing was written."
    )


if __name__ == "__main__":
    sys.exit(main())
