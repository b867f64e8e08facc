"""The slow way: WIDER FACE AP with plain loops, threshold by threshold; and PROTOCOLS' oracle."""

import numpy as np


def overlap(p, g):
    px, py, pw, ph = (float(v) for v in p[:4])
    gx, gy, gw, gh = (float(v) for v in g)
    w = min(px + pw, gx + gw) - max(px, gx) + 1
    h = min(py + ph, gy + gh) - max(py, gy) + 1
    if w <= 0 or h <= 0:
        return 0.0
    return (
        w
        * h
        / (
            (px + pw - px + 1) * (py + ph - py + 1)
            + (gx + gw - gx + 1) * (gy + gh - gy + 1)
            - w * h
        )
    )


def overlap_table(pred, truth):
    """All overlaps of one image at once, as the reference's compiled extension gives them."""
    p = np.column_stack([pred[:, :2], pred[:, 2:4] + pred[:, :2]])[:, None]
    g = np.column_stack([truth[:, :2], truth[:, 2:4] + truth[:, :2]])[None]
    w = np.minimum(p[..., 2], g[..., 2]) - np.maximum(p[..., 0], g[..., 0]) + 1
    h = np.minimum(p[..., 3], g[..., 3]) - np.maximum(p[..., 1], g[..., 1]) + 1
    area_p = (p[..., 2] - p[..., 0] + 1) * (p[..., 3] - p[..., 1] + 1)
    area_g = (g[..., 2] - g[..., 0] + 1) * (g[..., 3] - g[..., 1] + 1)
    both = np.where((w > 0) & (h > 0), w * h, 0.0)
    return np.where(both > 0, both / np.where(both > 0, area_p + area_g - both, 1), 0.0)


def slow_ap(predictions, truths, keep, iou=0.5, table=None):
    """AP of one subset, or None without faces; `keep` is a list of bool arrays, one per image."""
    scores = [float(r[4]) for p in predictions for r in p]
    low, high = min([1.0, *scores]), max([0.0, *scores])
    proposals, found = np.zeros(1000), np.zeros(1000)
    for pred, truth, wanted in zip(predictions, truths, keep):
        if len(pred) == 0 or len(truth) == 0:
            continue
        pred = pred[np.argsort(-pred[:, 4], kind="stable")]
        norm = np.ones(len(pred)) if high == low else (pred[:, 4] - low) / (high - low)
        state, kept, seen = [None] * len(truth), [], []
        overlaps = table(pred, truth) if table else [[overlap(p, g) for g in truth] for p in pred]
        for row in overlaps:
            row = list(row)
            best = max(range(len(row)), key=row.__getitem__)  # max() takes the first of equals
            false_alarm_or_hit = True
            if row[best] >= iou:
                if wanted[best]:
                    state[best] = "found"
                else:
                    false_alarm_or_hit = False
            kept.append(false_alarm_or_hit)
            seen.append(state.count("found"))
        for t in range(1000):
            inside = np.where(norm >= 1 - (t + 1) / 1000)[0]
            if len(inside):
                proposals[t] += sum(kept[: inside[-1] + 1])
                found[t] += seen[inside[-1]]
    faces = int(sum(np.sum(k) for k in keep))
    if faces == 0:
        return None
    points = (
        [(0.0, 0.0)]
        + [(f / faces, f / p if p else 0.0) for f, p in zip(found, proposals)]
        + [(1.0, 0.0)]
    )
    area, ceiling = 0.0, 0.0
    for (r0, _), (r1, p1) in zip(reversed(points[:-1]), reversed(points[1:])):
        ceiling = max(ceiling, p1)
        area += (r1 - r0) * ceiling
    return area


def oracle_predictions(boxes):
    """PROTOCOLS' synthetic detector: 35 229 boxes over the validation set."""
    rng = np.random.default_rng(0)
    out = []
    for b in boxes:
        n = len(b)
        u, g = rng.random((n, 8)), rng.standard_normal((n, 4))
        rows = []
        for k in range(n):
            x, y, w, h = b[k]
            if u[k, 0] < min(1, 0.25 + h / 40):
                s = 0.03 + 0.96 * u[k, 1] ** 0.4
                rows.append(
                    [
                        x + 0.06 * w * g[k, 0],
                        y + 0.06 * h * g[k, 1],
                        max(1, w * (1 + 0.08 * g[k, 2])),
                        max(1, h * (1 + 0.08 * g[k, 3])),
                        s,
                    ]
                )
                if u[k, 2] < 0.03:
                    rows.append([x, y, w, h, 0.6 * s])
        f = rng.random((rng.integers(0, 4), 5))
        rows += [
            [1000 * r[0], 700 * r[1], 10 + 80 * r[2], 10 + 90 * r[3], 0.02 + 0.9 * r[4] ** 2]
            for r in f
        ]
        a = np.array(rows, dtype=np.float64).reshape(-1, 5)
        out.append(a[np.argsort(-a[:, 4], kind="stable")])
    return out
