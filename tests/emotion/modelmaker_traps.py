"""Shows Model Maker 0.4.3's traps; run by the isolated kernel: `python modelmaker_traps.py PACKAGE FOLDER`.

FOLDER holds photo.jpg, classes/<label>/*.png, faces.npz and int8.tflite; the findings go to FOLDER/traps.npz.
"""

import importlib.util
import os
import random
import sys


def main(package, folder):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import numpy as np
    import tensorflow as tf
    from tensorflow_examples.lite.model_maker.core.task import image_preprocessing, model_util
    from tflite_model_maker.image_classifier import DataLoader

    spec = importlib.util.spec_from_file_location("job", f"{package}/_modelmaker_job.py")
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)
    found = {}

    # decoding
    raw = tf.io.read_file(f"{folder}/photo.jpg")
    found["default_decode"] = tf.image.decode_jpeg(raw, channels=3).numpy()
    found["accurate_decode"] = tf.image.decode_jpeg(
        raw, channels=3, dct_method="INTEGER_ACCURATE"
    ).numpy()

    # order of from_folder with and without its shuffle, and of our loader
    for k in range(2):
        random.seed(1000 + k)  # what a fresh process does by itself
        loader = DataLoader.from_folder(f"{folder}/classes")
        order = loader.gen_dataset(1).unbatch().as_numpy_iterator()
        found[f"folder_order_{k}"] = np.array([label for _, label in order])
    arrays = dict(np.load(f"{folder}/faces.npz"))
    for k in range(2):
        passes = job.image_loader(arrays, ["a", "b", "c"], seed=3)
        for turn in range(2):
            found[f"seeded_{k}_{turn}"] = np.array(
                [i[0, 0, 0] for i, _ in passes.gen_dataset(1).unbatch().as_numpy_iterator()]
            )

    # what the network is shown, at the input's size and at another, without and with use_augmentation
    image = tf.constant(arrays["images"][0])
    for name, size, augmented in [
        ("same_size", 64, False),
        ("half_size", 32, False),
        ("augmented_evaluation", 64, True),
    ]:
        step = image_preprocessing.Preprocessor(
            [size, size], 3, [127.5], [127.5], use_augmentation=augmented
        )
        step.mean_rgb = step.stddev_rgb = [127.5] * 3
        found[name] = step(image, tf.constant(0), is_training=False)[0].numpy()

    # what evaluate_tflite feeds an INT8 model
    runner = model_util.get_lite_runner(f"{folder}/int8.tflite")
    fed = []
    detail = runner.input_details[0]

    class Spy:
        def __init__(self, inner):
            self.inner = inner

        def set_tensor(self, index, value):
            fed.append(np.array(value))
            return self.inner.set_tensor(index, value)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    runner.interpreter = Spy(runner.interpreter)
    wide = ((arrays["images"][:4].astype(np.float32) - 127.5) / 127.5)[0][None]
    runner.run(tf.constant(wide).numpy())
    found["fed"], found["scale"], found["zero_point"] = fed[0], *detail["quantization"]
    found["wanted_float"] = wide
    np.savez(f"{folder}/traps.npz", **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
