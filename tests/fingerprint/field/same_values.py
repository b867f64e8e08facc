"""The same values written in two ways: means, scales, whitening, quantised inputs. What differs is rounding."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from PIL import Image

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


# ImageNet statistics on 0…1 (PyTorch) against mean_vals and norm_vals on 0…255 (ncnn)
def torch_statistics(path):
    rgb = np.asarray(Image.open(path).convert("RGB").resize((128, 128), Image.BILINEAR))
    t = rgb.astype(np.float32).transpose(2, 0, 1) / 255.0
    for c in range(3):
        t[c] = (t[c] - IMAGENET[0][c]) / IMAGENET[1][c]
    return t[None]


def ncnn_statistics(path):
    im = Image.open(path).convert("RGB").resize((128, 128), resample=2)
    mean_vals = (123.675, 116.28, 103.53)
    norm_vals = (0.01712475, 0.0175070, 0.01742919)
    planes = [
        (np.float32(band) - np.float32(m)) * np.float32(n)
        for band, m, n in zip(im.split(), mean_vals, norm_vals, strict=True)
    ]
    return np.stack(planes)[np.newaxis]


# 1/255 as a constant of a configuration file
def by_division(path):
    x = cv2.resize(cv2.imread(path), (256, 160))
    return (x[:, :, ::-1] / 255.0).astype("float32").transpose(2, 0, 1)[None].copy()


def by_net_scale_factor(path):
    x = cv2.resize(cv2.imread(path), dsize=(256, 160), interpolation=cv2.INTER_LINEAR)
    b, g, r = cv2.split(x)
    return np.float32(0.0039215697906911373) * np.array([[r, g, b]], np.float32)


# (x - 127.5) / 128 against a blob with a rounded factor
def insight(path):
    x = cv2.imread(path)
    x = cv2.cvtColor(cv2.resize(x, (112, 112)), cv2.COLOR_BGR2RGB)
    x = x.transpose((2, 0, 1)).astype(np.float64)
    return np.expand_dims((x - 127.5) * 0.0078125, 0).astype(np.float32)


def insight_blob(img):
    return cv2.dnn.blobFromImages([img], 1.0 / 128.0, (112, 112), (127.5, 127.5, 127.5), True)


def insight_go(path):
    """A loop over bytes as a Go or Java port has it."""
    x = np.ascontiguousarray(cv2.resize(cv2.imread(path), (112, 112)))
    data, out = x.tobytes(), bytearray()
    for channel in (2, 1, 0):
        plane = data[channel::3]
        out += struct.pack(f"<{len(plane)}f", *[(v - 127.5) / 128 for v in plane])
    return np.frombuffer(bytes(out), "<f4").reshape(1, 3, 112, 112)


# Caffe's means on BGR
def caffe_mode(path):
    x = np.array(Image.open(path).convert("RGB").resize((224, 224), Image.NEAREST), dtype="float32")
    x = x[..., ::-1]
    x[..., 0] -= 103.939
    x[..., 1] -= 116.779
    x[..., 2] -= 123.68
    return x[None]


def caffe_mode_of_planes(path):
    r, g, b = Image.open(path).convert("RGB").resize((224, 224), 0).split()
    return np.stack(
        [
            np.asarray(b, np.float32) - 103.939,
            np.asarray(g, np.float32) - 116.779,
            np.asarray(r, np.float32) - 123.68,
        ],
        axis=-1,
    ).reshape(1, 224, 224, 3)


# whitened by the picture's own statistics, one pass against two
def prewhiten(path):
    x = cv2.resize(cv2.imread(path)[:, :, ::-1], (160, 160), interpolation=cv2.INTER_AREA)
    mean, std = np.mean(x), np.std(x)
    adjusted = np.maximum(std, 1.0 / np.sqrt(x.size))
    return np.multiply(np.subtract(x, mean), 1 / adjusted)[None].astype(np.float32)


def prewhiten_one_pass(path):
    x = cv2.resize(cv2.imread(path), (160, 160), interpolation=cv2.INTER_AREA)
    v = x[:, :, ::-1].astype(np.int64)
    n, s, q = v.size, int(v.sum()), int((v * v).sum())
    mean = s / n
    deviation = max((q / n - mean * mean) ** 0.5, n**-0.5)
    return ((v - mean) / deviation).astype(np.float32).reshape(1, 160, 160, 3)


# bytes for an int8 model whose scale is 1/255 and zero point -128
def int8_formula(path):
    x = cv2.resize(cv2.imread(path), (96, 96))[..., ::-1] / 255.0
    q = np.round(x / (1 / 255) + -128)
    return np.clip(q, -128, 127).astype(np.int8)[None]


def int8_by_xor(path):
    x = np.ascontiguousarray(cv2.resize(cv2.imread(path), (96, 96))[..., ::-1])
    return (x ^ np.uint8(0x80)).view(np.int8)[None]


# gray copied to three channels
def gray_to_three(path):
    g = cv2.imread(path, 0)
    g = cv2.resize(g, (100, 100), interpolation=cv2.INTER_CUBIC)
    x = cv2.cvtColor(g, cv2.COLOR_GRAY2BGR).astype(np.float32)
    return (x.transpose(2, 0, 1)[None] / 255 - 0.5) / 0.5


def gray_repeated(path):
    g = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY)
    g = cv2.resize(g, (100, 100), interpolation=cv2.INTER_CUBIC)
    return np.tile(g.astype(np.float32) / 127.5 - 1, (1, 3, 1, 1))


# a table of 256 floats, as a microcontroller has it
LUT = (np.arange(256) / 255.0 - 0.449) / 0.226


def by_table(path):
    g = cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (64, 64), interpolation=cv2.INTER_AREA)
    return LUT.astype(np.float32)[g][None, None]


def by_formula(path):
    g = cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (64, 64), interpolation=cv2.INTER_AREA)
    x = g.astype(np.float32)[None, None]
    x *= 1 / 255
    x -= 0.449
    x /= 0.226
    return x


# half precision inside, float out
def half_inside(path):
    x = cv2.resize(cv2.imread(path), (112, 112))[..., ::-1].transpose(2, 0, 1)[None]
    return (np.float16(x) / np.float16(127.5) - np.float16(1)).astype(np.float32)


def float_throughout(path):
    x = cv2.resize(cv2.imread(path), (112, 112))[..., ::-1].transpose(2, 0, 1)[None]
    return x.astype(np.float32) / 127.5 - 1


def keras_standardised(path):
    import tensorflow as tf

    x = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    return tf.image.per_image_standardization(tf.image.resize(x, (96, 96)))[None]


def numpy_standardised(path):
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    x = cv2.imread(path, flags)[..., ::-1].astype(np.float32)
    x = cv2.resize(x, (96, 96), interpolation=cv2.INTER_LINEAR).astype(np.float64)
    return ((x - x.mean()) / max(x.std(), 1 / np.sqrt(x.size)))[None].astype(np.float32)


def onnx_inside(path):
    """Resize, subtraction and division are nodes of the exported graph."""
    x = cv2.imread(path)[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None]
    return _session().run(None, {"x": np.ascontiguousarray(x)})[0]


def onnx_outside(path):
    x = cv2.resize(cv2.imread(path), (80, 80))[..., ::-1].astype(np.float32)
    x = (x - [120.0, 115.0, 105.0]) / [60.0, 58.0, 57.0]
    return x.transpose(2, 0, 1)[None].astype(np.float32)


_SESSION = []


def _session():
    if not _SESSION:
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        constants = {
            "sizes": np.array([1, 3, 80, 80], np.int64),
            "mean": np.float32([120, 115, 105]).reshape(1, 3, 1, 1),
            "std": np.float32([60, 58, 57]).reshape(1, 3, 1, 1),
        }
        nodes = [
            helper.make_node(
                "Resize",
                ["x", "", "", "sizes"],
                ["r"],
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            ),
            helper.make_node("Sub", ["r", "mean"], ["s"]),
            helper.make_node("Div", ["s", "std"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes,
            "prepare",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 80, 80])],
            [numpy_helper.from_array(v, k) for k, v in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        _SESSION.append(
            onnxruntime.InferenceSession(
                model.SerializeToString(), providers=["CPUExecutionProvider"]
            )
        )
    return _SESSION[0]
