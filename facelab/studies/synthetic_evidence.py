"""Do real models take synthetic faces for faces? Measurements on models that never saw such pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.progress import track
from facelab.datasets import synthetic
from facelab.datasets.synthetic import EMOTIONS, THREE_CLASSES, Spread, bilinear_sample, parallel
from facelab.metrics.landmarks import normalised_mean_error as nme_of

IOU = 0.35
# Side of a face crop for the classifiers, in heights of the true box: hair and neck left out (.949 against .930 at 1.0,
# chosen on seed 30).
MARGIN = 0.85
# The public network learned from crops that end at the brow, not at the hair line as the true box does. Chosen on seeds
# 7, 23, 41 and 99 (.42, .65 at 1.0; .48, .71 at 0.8; flat from 0.7 to 0.85); the notebook reports on another seed.
NETWORK_MARGIN = 0.8
# The last stage's threshold of the package that carries MTCNN's weights. The catalogue's stricter one is set so that
# photographs' known counts come out.
OPERATING: dict[str, dict[str, Any]] = {
    name: {"score_threshold": 0.8} for name in ("mtcnn", "mtcnn-tflite")
}
FALSE_ALARM_IOU = 0.1
FER_NAMES = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
CELLS = ("frontal", "yaw 30°", "yaw 45°", "48 px", "32 px", "24 px", "scenes")
_YAW = {"frontal": 0.0, "yaw 30°": 30.0, "yaw 45°": 45.0}


@dataclass(frozen=True)
class Picture:
    """A picture with its faces: `boxes` (n, 4) xyxy, `landmarks` (n, 5, 2); `ignored` (m, 4): faces too hidden."""

    image: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    ignored: np.ndarray


@dataclass(frozen=True)
class CellScore:
    """How a detector did on one cell: per face found or not and its IoU, NME; false alarms per picture.

    A false alarm is a detection that overlaps no face at all, hidden ones included, by an IoU of 0.1 or more.
    """

    detector: str
    cell: str
    found: np.ndarray
    iou: np.ndarray
    nme: np.ndarray
    false_alarms: np.ndarray

    @property
    def recall(self) -> float:
        """Return the share of faces found at an IoU of at least 0.35."""
        return float(self.found.mean())


# ---------------------------------------------------------------- detectors
def detection_cells(
    n: int, seed: int = 11, workers: int = 1, cells: Sequence[str] = CELLS
) -> dict[str, list[Picture]]:
    """Draw n pictures of each cell: one face by pose (240 px) or by height (320×240), and scenes (512×384)."""
    jobs = [(cell, seed, k) for cell in cells for k in range(n)]
    pictures = list(track(parallel(_cell_picture, jobs, workers), "pictures", len(jobs)))
    return {cell: pictures[i * n : (i + 1) * n] for i, cell in enumerate(cells)}


def _cell_picture(job: tuple[str, int, int]) -> Picture:
    cell, seed, k = job
    if cell in _YAW:
        s = synthetic.sample(
            seed,
            k,
            size=240,
            fill=0.5,
            yaw=_YAW[cell] * (1 if k % 2 else -1),
            pitch=0,
            roll=0,
            occluder=None,
        )
        return Picture(s.image, s.box[None], s.landmarks[None], np.zeros((0, 4)))
    if cell == "scenes":
        drawn = synthetic.scene(seed, k, (512, 384), smallest=24)
    else:
        px = float(cell.split()[0])
        drawn = synthetic.scene(
            seed, k, (320, 240), faces=1, smallest=px, largest=px, worn=0, spread=Spread()
        )
    faces = [f for f in drawn.faces if not f.invalid]
    return Picture(
        drawn.image,
        np.array([f.box for f in faces]).reshape(-1, 4),
        np.array([f.landmarks for f in faces]).reshape(-1, 5, 2),
        np.array([f.box for f in drawn.faces if f.invalid]).reshape(-1, 4),
    )


def score_detector(detector: Any, cell: str, pictures: Iterable[Picture]) -> CellScore:
    """Run a detector (`facelab.detection`) over a cell and match its boxes to the truth, best IoU first."""
    found, ious, nme, alarms = [], [], [], []
    for picture in pictures:
        got = detector.detect(picture.image)
        overlap = box_iou(picture.boxes, got.boxes.astype(np.float64))
        pairs = match(overlap)
        every = np.concatenate([overlap, box_iou(picture.ignored, got.boxes.astype(np.float64))])
        alarms.append(int((every.max(0, initial=0) < FALSE_ALARM_IOU).sum()))
        matched = dict(pairs)
        for k in range(len(picture.boxes)):
            j = matched.get(k)
            found.append(j is not None)
            ious.append(overlap[k, j] if j is not None else np.nan)
            nme.append(
                nme_of(got.landmarks[[j]], picture.landmarks[[k]], normaliser="inter-ocular")[0]
                if j is not None and got.landmarks is not None
                else np.nan
            )
    return CellScore(
        detector.name, cell, np.array(found), np.array(ious), np.array(nme), np.array(alarms)
    )


def score_all(
    names: Sequence[str],
    cells: dict[str, list[Picture]],
    everywhere: Sequence[str] = (),
    threads: int = 1,
    few: int | None = None,
) -> list[CellScore]:
    """Load each detector and score it.

    Those in `everywhere` see every picture, the others frontal faces and the first `few` scenes.
    """
    from facelab import detection

    out = []
    for name in track(names, "detectors"):
        detector = detection.load(name, threads=threads, **OPERATING.get(name, {}))
        out += [
            score_detector(
                detector,
                cell,
                pictures if name in everywhere or cell != "scenes" else pictures[:few],
            )
            for cell, pictures in cells.items()
            if name in everywhere or cell in ("frontal", "scenes")
        ]
    return out


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return (n, m) intersection over union of xyxy boxes (n, 4) and (m, 4).

    >>> box_iou(np.array([[0, 0, 2, 2.]]), np.array([[1, 0, 3, 2.]])).round(3).tolist()
    [[0.333]]
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    area = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
    return both / np.maximum(area[0][:, None] + area[1][None] - both, 1e-9)


def match(overlap: np.ndarray, threshold: float = IOU) -> list[tuple[int, int]]:
    """Return pairs (truth, detection) with IoU of at least the threshold, greedily by falling IoU, each used once."""
    pairs: list[tuple[int, int]] = []
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        i, j = np.unravel_index(flat, overlap.shape)
        if overlap[i, j] < threshold:
            break
        if all(i != a and j != b for a, b in pairs):
            pairs.append((int(i), int(j)))
    return pairs


# ---------------------------------------------------------------- identities
def identity_pairs(
    n: int, seed: int = 11, size: int = 160, workers: int = 1
) -> tuple[list[Any], list[Any], Any]:
    """Return (faces a, faces b, same (2n,)): n genuine and n impostor pairs with other expression, light and pose."""
    jobs = [(seed, k, size) for k in range(2 * n)]
    pairs = list(track(parallel(_identity_pair, jobs, workers), "pairs", len(jobs)))
    return [a for a, _ in pairs], [b for _, b in pairs], np.arange(2 * n) % 2 == 0


def _identity_pair(job: tuple[int, int, int]) -> tuple[Any, Any]:
    seed, k, size = job
    # pictures of the set emotion at far-apart places: other expression, light, pose, background, camera
    a = synthetic.sample(seed, 2 * k, size=size)
    other = a.identity if k % 2 == 0 else synthetic.sample(seed, 2 * k + 1, size=16).identity
    b = synthetic.sample(seed, 2 * k + 100_001, size=size, identity=other)
    return a, b


def similarities(embedder: Any, a: Sequence, b: Sequence) -> np.ndarray:
    """Return the cosine similarity (n,) of pairs of samples, aligned by their true landmarks and boxes."""

    def embed(s):
        e = embedder.embed(s.image, s.landmarks[None], boxes=s.box[None])[0].astype(np.float64)
        return e / np.linalg.norm(e)

    return np.array([float((embed(x) * embed(y)).sum()) for x, y in zip(a, b, strict=True)])


def hard_factor_pairs(n: int, seed: int = 11, size: int = 160, workers: int = 1) -> dict[Any, Any]:
    """Return {factor: (a, b, same)}: anchors against pictures in which one factor is extreme; n identities.

    Impostors pair an anchor with another identity's changed picture; for `lookalike` they are the look-alikes, the
    genuine ones two anchors' own second pictures (`expression`).
    """
    places = [(block, person) for block in range((n + 1) // 2) for person in range(2)][:n]
    jobs = [
        (seed, block * 62 + 40 + person * 11 + step, size)
        for block, person in places
        for step in range(1 + len(synthetic.HARD_FACTORS))
    ]
    shots = list(track(parallel(_verification_sample, jobs, workers), "pictures", len(jobs)))
    step = 1 + len(synthetic.HARD_FACTORS)
    anchors, changed = (
        shots[::step],
        {f: shots[k + 1 :: step] for k, f in enumerate(synthetic.HARD_FACTORS)},
    )
    out = {}
    for factor, variants in changed.items():
        if factor == "lookalike":
            out[factor] = (anchors * 2, changed["expression"] + variants, np.arange(2 * n) < n)
        else:
            out[factor] = (
                anchors * 2,
                variants + variants[1:] + variants[:1],
                np.arange(2 * n) < n,
            )
    return out


def hard_factor_auc(embedder: Any, factors: dict) -> dict[str, float]:
    """Return {factor: AUC} of an embedder on the pairs of `hard_factor_pairs`; each picture is embedded once."""
    cache: dict[int, np.ndarray] = {}

    def embed(s) -> np.ndarray:
        if id(s) not in cache:
            e = embedder.embed(s.image, s.landmarks[None], boxes=s.box[None])[0].astype(np.float64)
            cache[id(s)] = e / np.linalg.norm(e)
        return cache[id(s)]

    return {
        factor: auc(
            np.array([float((embed(x) * embed(y)).sum()) for x, y in zip(a, b, strict=True)]), same
        )
        for factor, (a, b, same) in factors.items()
    }


def _verification_sample(job: tuple[int, int, int]) -> Any:
    seed, index, size = job
    return synthetic.sample(seed, index, "verification", size=size)


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative (ties count half).

    >>> auc(np.array([.9, .8, .2, .1]), np.array([True, False, True, False]))
    0.75
    """
    from scipy.stats import rankdata

    ranks = rankdata(score)
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


# ---------------------------------------------------------------- emotions
def emotion_crops(
    faces: synthetic.Faces, size: int = 64, margin: float = 1.0, antialias: bool = True
) -> np.ndarray:
    """Return (n, size, size) uint8 gray squares around the true boxes, `margin` times their longer side.

    With `antialias` areas are averaged; without, pixels are interpolated bilinearly, as mini-XCEPTION's own
    preprocessing does.
    """
    from PIL import Image

    out = np.empty((len(faces), size, size), np.uint8)
    for k, (image, (x1, y1, x2, y2)) in enumerate(zip(faces.images, faces.boxes, strict=True)):
        half = max(x2 - x1, y2 - y1) * margin / 2
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        gray = np.asarray(Image.fromarray(image).convert("L"))
        if not antialias:
            x, y = (c - half - 0.5 + (np.arange(size) + 0.5) * (2 * half / size) for c in (cx, cy))
            out[k] = bilinear_sample(gray[..., None], *np.broadcast_arrays(x[None], y[:, None]))[
                ..., 0
            ]
            continue
        pad = int(
            np.ceil(
                max(0, half - cx, half - cy, cx + half - image.shape[1], cy + half - image.shape[0])
            )
        )
        box = (cx - half + pad, cy - half + pad, cx + half + pad, cy + half + pad)
        padded = Image.fromarray(np.pad(gray, pad, mode="edge"))
        out[k] = np.asarray(padded.resize((size, size), Image.Resampling.BOX, box))
    return out


def emotion_network(name: str = "mini-xception-107") -> Callable[..., np.ndarray] | None:
    """Return a function from crops (n, 64, 64) uint8 gray to probabilities (n, 7), or None where it is not here."""
    from facelab.zoo import find, load_catalogue
    from facelab.zoo.runtimes import open_model

    entry = load_catalogue().model(name)
    if find(entry) is None:
        return None
    model = open_model(entry)

    def classify(crops: np.ndarray) -> np.ndarray:
        tensors = crops[..., None].astype(np.float32) / np.float32(127.5) - np.float32(1)
        return np.concatenate([np.asarray(model.run(t[None])[0]).reshape(1, -1) for t in tensors])

    return classify


def emotion_confusion(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return counts (7, 7): rows intended, columns answered, both in the order of EMOTIONS."""
    guess = np.array(FER_NAMES)[probabilities.argmax(1)]
    return np.array(
        [[int(((truth == t) & (guess == g)).sum()) for g in EMOTIONS] for t in EMOTIONS]
    )


def emotion_agreement(
    probabilities: np.ndarray, names: Sequence[str], truth: np.ndarray
) -> dict[str, float]:
    """Return a network's agreement with the intended emotions: `seven`, `three` (among three), AUC a class.

    `probabilities` (n, 7) in the order of `names`; `truth` (n,) names.
    """
    names = list(names)
    guess = np.array(names)[probabilities.argmax(1)]
    three = np.isin(truth, THREE_CLASSES)
    among = np.array(THREE_CLASSES)[
        probabilities[:, [names.index(c) for c in THREE_CLASSES]].argmax(1)
    ]
    out = {"seven": float((guess == truth).mean()), "three": float((among == truth)[three].mean())}
    return out | {f"auc {c}": auc(probabilities[:, names.index(c)], truth == c) for c in EMOTIONS}


# ---------------------------------------------------------------- learnability
@dataclass(frozen=True)
class Learned:
    """Held-out accuracy of a classifier, its right answers (n,) bool, and the seconds that training took."""

    accuracy: float
    right: np.ndarray
    seconds: float


def linear_on_pixels(train: synthetic.Faces, test: synthetic.Faces, size: int = 48) -> Learned:
    """Fit a regularised linear classifier on raw gray pixels of face crops, and test it on other identities."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.preprocessing import StandardScaler

    began = time.perf_counter()
    scaler = StandardScaler()
    x, z = (emotion_crops(f, size, MARGIN).reshape(len(f), -1) / 255.0 for f in (train, test))
    model = RidgeClassifierCV(alphas=np.logspace(1, 5, 5)).fit(
        scaler.fit_transform(x), train.emotion
    )
    right = np.asarray(model.predict(scaler.transform(z))) == test.emotion
    return Learned(float(right.mean()), right, time.perf_counter() - began)


def small_cnn(
    train: synthetic.Faces,
    test: synthetic.Faces,
    *,
    epochs: int = 8,
    size: int = 64,
    seed: int = 0,
    threads: int = 2,
) -> Learned:
    """Train a CNN of 96 000 parameters on gray face crops, and test it on other identities.

    Keras is imported here only. Four convolutions with batch normalisation, mirrored pictures, Adam with a falling
    rate. Training is not reproducible to the bit; accuracies vary by about a percentage point.
    """
    import keras

    keras.utils.set_random_seed(seed)
    classes = sorted(set(train.emotion))
    x, z = (
        emotion_crops(f, size, MARGIN)[..., None].astype(np.float32) / 127.5 - 1
        for f in (train, test)
    )
    y, t = (np.searchsorted(classes, f.emotion) for f in (train, test))
    layers = [keras.Input((size, size, 1))]
    for filters in (16, 32, 48, 64):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.MaxPooling2D(),  # before what follows, which then has a quarter to do
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
        ]
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(48, activation="relu"),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(len(classes), activation="softmax"),
    ]
    model: Any = keras.Sequential(layers)
    steps = epochs * -(-2 * len(x) // 32)
    rate: Any = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    x, y = np.concatenate([x, x[:, :, ::-1]]), np.concatenate([y, y])
    began = time.perf_counter()
    model.fit(x, y, epochs=epochs, batch_size=32, verbose=0)
    seconds = time.perf_counter() - began
    right = model.predict(z, verbose=0).argmax(1) == t
    return Learned(float(right.mean()), right, seconds)


# ---------------------------------------------------------------- speed
def seconds_a_face(n: int = 24, size: int = 160, seed: int = 5) -> np.ndarray:
    """Return the processor seconds (n,) of each of n faces of `size` pixels, drawn in this process after one to warm.

    Processor time of one thread does not grow when others use the machine.
    """
    from threadpoolctl import threadpool_limits

    out = np.empty(n)
    with threadpool_limits(1):
        synthetic.sample(seed, 0, size=size)
        for k in range(n):
            began = time.process_time()
            synthetic.sample(seed, k + 1, size=size)
            out[k] = time.process_time() - began
    return out
