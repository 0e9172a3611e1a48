"""What transformers' image processor makes of images: crates/peft-train/tests/golden/images/

Small images (colour, grey, with transparency, JPEG, turned by an EXIF note) and expected.safetensors: for every image and every
processor of processors.json its pixel values, from ViTImageProcessor or CLIPImageProcessor with the Python Imaging Library behind them.

Regenerate from the repository root:  python3 tools/golden/images.py   (needs pillow beside the requirements)
"""

from pathlib import Path

from common import fresh, versions, write_json, write_tensors

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps
from transformers import CLIPImageProcessorPil, ViTImageProcessorPil

FOLDER = Path(__file__).resolve().parents[2] / "crates/peft-train/tests/golden/images"
VIT = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
PROCESSORS = {
    **{f"vit-{resample}": {**VIT, "size": {"height": 12, "width": 12}, "resample": resample} for resample in (0, 1, 2, 3)},
    "vit-int": {**VIT, "size": 20, "resample": 2},
    "clip": {
        **VIT,
        "size": {"shortest_edge": 14},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 12, "width": 12},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
    "plain": {"do_resize": True, "size": {"height": 12, "width": 12}, "resample": 2, "do_rescale": True, "rescale_factor": 1 / 16, "do_normalize": False},
}


def pictures():
    """Smooth shapes with a sharp edge, so that filters differ."""
    rng = np.random.default_rng(601)

    def values(height, width, channels):
        y, x = np.mgrid[0:height, 0:width]
        waves = [127 + 100 * np.sin(x / (3 + c) + y / (5 - c) + c) for c in range(channels)]
        image = np.stack(waves, -1) + rng.normal(scale=8, size=(height, width, channels))
        image[height // 3 : height // 2] += 90
        return image.clip(0, 255).astype(np.uint8)

    yield "colour.png", Image.fromarray(values(29, 41, 3)), {}
    yield "grey.png", Image.fromarray(values(37, 23, 1)[..., 0]), {}
    clear = values(26, 31, 4)
    yield "clear.png", Image.fromarray(clear, "RGBA"), {}
    yield "photo.jpg", Image.fromarray(values(33, 24, 3)), {"quality": 95, "subsampling": 0}
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "turned.jpg", Image.fromarray(values(22, 35, 3)), {"quality": 95, "subsampling": 0, "exif": exif}


def processor(settings):
    kind = CLIPImageProcessorPil if "crop_size" in settings else ViTImageProcessorPil
    return kind(**settings)


def main():
    fresh(FOLDER)
    out = {}
    for name, image, how in pictures():
        image.save(FOLDER / name, **how)
        opened = ImageOps.exif_transpose(Image.open(FOLDER / name)).convert("RGB")
        for processor_name, settings in PROCESSORS.items():
            made = processor(settings)(opened, return_tensors="pt")["pixel_values"][0]
            out[f"{name}.{processor_name}"] = made.to(torch.float32)
    grey = np.asarray(Image.open(FOLDER / "colour.png").convert("L"))
    out["colour.png.grey"] = torch.from_numpy(grey.copy()).to(torch.float32)
    write_tensors(FOLDER / "expected.safetensors", out)
    write_json(FOLDER / "processors.json", PROCESSORS)
    write_json(FOLDER / "expected.json", {"generator": "tools/golden/images.py", "pillow": PIL.__version__, **versions()})


main()
