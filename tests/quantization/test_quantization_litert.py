"""LiteRT variants: what is in the file, what facelab's evaluation says, which layers are kept in float."""

import numpy as np
import pytest

from facelab.core.errors import CheckFailedError, UnsupportedError
from facelab.emotion import EmotionClassifier, evaluate
from facelab.preprocess import PreprocessSpec
from facelab.quantization import _layers as layers
from facelab.quantization import _subject as subject
from facelab.quantization import _table as table
from facelab.quantization import recipes
from facelab.quantization._budgets import Budgets, judge
from facelab.quantization._operators import arena_bytes, check_integer, operators
from facelab.quantization._session import FLOAT, Session
from facelab.quantization.internals import export, measure
from facelab.quantization.recipes import RECIPES
from facelab.studies import int8_trials


@pytest.fixture(scope="module")
def session(model, pool, evaluation):
    with Session(model, pool, evaluation) as opened:
        yield opened


@pytest.fixture(scope="module")
def all_files(session):
    """Make every variant of both quantisers once."""
    return session.make_all(recipes.choose("all", session.base, converter=True))


def independent(path, faces):
    """Evaluate an INT8 file with numpy and LiteRT alone: quantise by round-half-even, saturate, dequantise."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path), num_threads=1)
    run.allocate_tensors()
    i, o = run.get_input_details()[0], run.get_output_details()[0]
    (si, zi), (so, zo) = i["quantization"], o["quantization"]
    limits = np.iinfo(i["dtype"])
    out = []
    for image in faces.images:
        x = (image.astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
        q = np.clip(np.rint(x / np.float32(si)) + zi, limits.min, limits.max).astype(i["dtype"])
        run.set_tensor(i["index"], q[None])
        run.invoke()
        out.append((run.get_tensor(o["index"])[0].astype(np.float32) - zo) * np.float32(so))
    return np.array(out)


@pytest.mark.parametrize("name", ["edge-int8", "tf-int8", "tf-uint8"])
def test_facelabs_evaluation_equals_an_independent_one_on_every_image(
    session, all_files, faces, tmp_path, name
):
    session.add(name, all_files[name])
    export.write(session, {name: "m"}, tmp_path, {}, None)
    result = evaluate(EmotionClassifier(tmp_path / "m.tflite", threads=1), faces)
    expected = independent(tmp_path / "m.tflite", faces)
    np.testing.assert_array_equal(
        result.probabilities, expected
    )  # the same integers, so not a bit may differ
    np.testing.assert_array_equal(
        measure.outputs(all_files[name], session.subject.spec, session.evaluation.tensors), expected
    )
    stage = PreprocessSpec.load(tmp_path / "m.preprocess.json").find("quantize")
    assert (stage.rounding, stage.saturate, stage.dtype) == (
        "half_even",
        True,
        name.rsplit("-")[-1],
    )


def test_an_evaluation_that_wraps_around_would_differ(session, all_files, faces):
    spec = measure.with_quantize(
        session.subject.spec, measure.open_model(all_files["edge-int8"], threads=1)
    )
    beyond = session.evaluation.tensors * 4
    right = measure.to_input(beyond, spec)
    stage = spec.find("quantize")
    wrapped = (
        (np.rint(beyond / np.float32(stage.scale)) + stage.zero_point)
        .astype(np.int64)
        .astype(np.int8)
    )
    assert (right != wrapped).any() and right.max() == 127 and right.min() == -128


def test_types_read_back_from_each_file(all_files):
    kinds = {
        name: {op.computes for op in operators(path) if op.kind in ("CONV_2D", "FULLY_CONNECTED")}
        for name, path in all_files.items()
    }
    assert kinds["edge-int8"] == kinds["tf-int8"] == kinds["tf-uint8"] == {"int8"}
    assert kinds["edge-dynamic-range"] == {"float32 × int8"}
    assert kinds["edge-float16"] == kinds["tf-float16"] == kinds["edge-weight-only"] == {"float32"}
    with pytest.raises(CheckFailedError, match="not full integer") as e:
        check_integer(all_files["edge-dynamic-range"])
    assert "CONV_2D #0" in e.value.got
    assert not any(op.floating for op in check_integer(all_files["edge-int8"]))


def test_every_variant_has_a_whole_row(session, all_files):
    for name, path in all_files.items():
        row = session.add(name, path)
        assert (
            0 < row["size_ratio"] < 0.6
            and row["arena_bytes"] > 0
            and row["agreement"]["value"] > 0.9
        ), name
        assert row["per_class"].keys() == {"anger", "joy", "neutral"}
    base = session.rows[FLOAT]
    assert base["cosine"]["worst"] == pytest.approx(1) and base["agreement"]["value"] == 1
    assert session.rows["edge-int8"]["arena_bytes"] < base["arena_bytes"]
    assert session.rows["edge-int8"]["input"]["dtype"] == "int8" and base["input"] is None
    assert "edge-int8" in table.text(session)


def test_the_arena_holds_at_least_the_largest_pair_of_neighbours(session):
    # conv 1 (16×16×16) and the input (32×32×3) live at once, float32
    assert arena_bytes(session.base) >= 4 * (16 * 16 * 16 + 32 * 32 * 3)


def test_layers_kept_in_float_are_float_and_the_only_ones(session):
    heavy = [op for op in session.layers() if op.kind == "CONV_2D"]
    path = session.make(RECIPES["edge-int8"], name="kept", keep_float=[heavy[1].name])
    found = {op.name: op.computes for op in operators(path) if op.kind == "CONV_2D"}
    assert found == {heavy[0].name: "int8", heavy[1].name: "float32"}
    with pytest.raises(CheckFailedError):
        check_integer(path)
    assert layers.named("CONV_2D", session.layers()) == tuple(op.name for op in heavy)


def test_keep_float_auto_finds_the_smallest_set_that_meets_a_budget(model, pool, evaluation):
    with Session(model, pool, evaluation) as probe:
        ranking = probe.rank_layers(RECIPES["edge-int8"])
        whole = probe.row(probe.make(RECIPES["edge-int8"]))["cosine"]["mean"]
    best = max(r["cosine_left_float"] for r in ranking)
    assert best > whole
    # a made-up metric with a known answer: only the pair (b, d) meets the budget
    ops = list(probe.layers())[:4]
    names = [op.name for op in ops]

    def fake(kept, only):
        good = {names[1], names[3]} <= set(kept)
        return {
            "size_ratio": 0.1 + 0.01 * len(kept),
            "agreement": None,
            "cosine": {"mean": 0.99 if good else 0.9},
        }

    found = layers.smallest(ops, fake, Budgets())
    assert (
        found.met
        and set(found.layers) == {names[1], names[3]}
        and judge(found.row, Budgets())["passed"]
    )
    assert not layers.smallest(ops, fake, Budgets(cosine=1.0)).met
    too_large = layers.smallest(ops, fake, Budgets(size=0.05))
    assert not too_large.met and too_large.tried == 1 and "size" in too_large.how


def test_keep_float_auto_fixes_a_model_with_a_wild_channel(trained, pool, evaluation):
    """One channel between the two convolutions is a thousand times the others, so INT8 loses the others there; only
    with both of them in float does that tensor stay whole, and no single layer can fix it."""
    with Session(
        subject.load(trained / "wild" / "emotion_fp32.tflite"),
        pool,
        evaluation,
        budgets=Budgets(size=0.6),
    ) as wild:
        recipe = RECIPES["edge-int8"]
        whole = wild.add(recipe.name, wild.make(recipe))
        found = wild.keep_float_auto(recipe)
        mended = wild.make(recipe, name="mended", keep_float=found.layers)
        row = wild.add("mended", mended, keep_float=found.layers)
        convolutions = {op.name for op in wild.layers() if op.kind == "CONV_2D"}
    assert not whole["verdict"]["passed"] and whole["agreement"]["value"] < 0.9
    assert (
        found.met
        and set(found.layers) == convolutions
        and "every set of 2 and fewer was tried" in found.how
    )
    assert row["verdict"]["passed"] and row["agreement"]["value"] > whole["agreement"]["value"]


def test_model_makers_own_export_is_a_row(trained, all_files, pool, evaluation, tmp_path):
    import shutil

    from facelab.studies import int8_quantization

    for name in ("emotion_fp32.tflite", "emotion_fp32.preprocess.json", "labels.txt"):
        shutil.copy(trained / name, tmp_path / name)
    with Session(subject.load(tmp_path / "emotion_fp32.tflite"), pool, evaluation) as alone:
        assert not int8_quantization.add_modelmaker(alone)
        shutil.copy(
            all_files["tf-uint8"], tmp_path / "emotion_int8_modelmaker.tflite"
        )  # as its export has
        assert int8_quantization.add_modelmaker(alone)
        assert alone.rows["modelmaker-int8"]["input"]["dtype"] == "uint8"
        assert int8_quantization.against_numpy(alone) == {"modelmaker-int8": 0}


def test_noise_of_healthy_layers_sits_near_the_rounding_floor(session, all_files):
    rows = session.edge.noise(all_files["edge-int8"], session.evaluation.tensors[:8])
    values = [r["rmse_over_scale"] for r in rows if r["op"] == "CONV_2D"]
    # 1/√12; relu's exact zeros pull it down, a few clipped values push it up
    assert values and all(0.1 < v < 0.6 for v in values)


def test_calibration_size_and_a_wrong_normalisation_show(session, pool):
    rows = int8_trials.sizes(session, RECIPES["edge-int8"], pool, counts=(1, 60), seeds=(0,))
    assert [r["count"] for r in rows] == [1, 60] and rows[1]["agreement"]["value"] > 0.9
    right, *wrong = int8_trials.wrong_normalisation(session, RECIPES["edge-int8"], pool)
    assert min(w["agreement"]["value"] for w in wrong) < right["agreement"]["value"] - 0.1
    halves = int8_trials.stability(session, RECIPES["edge-int8"], pool)
    assert halves["agreement"]["value"] > 0.9 and [h["count"] for h in halves["halves"]] == [45, 45]


def test_kept_operators_take_the_quantiser_that_can_keep_them(session):
    keras = session.base.with_suffix(".keras")
    assert recipes.choose("int8", keras, converter=True, keep_float=True)[0].name == "edge-int8"
    for name in ("tf-int8", "uint8", "qat-int8"):
        with pytest.raises(UnsupportedError, match="cannot leave single operators in float"):
            recipes.choose(name, keras, converter=True, keep_float=True)
    with pytest.raises(UnsupportedError, match="cannot leave single operators in float"):
        session.make(RECIPES["tf-int8"], name="kept", keep_float=[session.layers()[0].name])


def test_a_tflite_alone_goes_through_ai_edge_quantizer_only(session):
    assert recipes.choose("int8", session.base, converter=False)[0].name == "edge-int8"
    with pytest.raises(UnsupportedError, match="takes no"):
        recipes.choose("uint8", session.base, converter=False)
    assert (
        recipes.choose("int8", session.base.with_suffix(".keras"), converter=True)[0].name
        == "tf-int8"
    )


def test_a_file_without_signature_gives_the_same_model(session, unsigned, pool, evaluation):
    from ai_edge_litert.interpreter import Interpreter

    assert not Interpreter(model_path=str(unsigned)).get_signature_list()
    before = unsigned.read_bytes()
    with Session(subject.load(unsigned), pool, evaluation) as other:
        theirs = measure.outputs(
            other.make(RECIPES["edge-int8"]), other.subject.spec, evaluation.tensors
        )
    ours = measure.outputs(
        session.make(RECIPES["edge-int8"]), session.subject.spec, evaluation.tensors
    )
    np.testing.assert_array_equal(theirs, ours)
    assert unsigned.read_bytes() == before  # the user's file stays as it is


def test_blame_shows_the_debuggers_figures_beside_the_end_metric(session, all_files):
    session.add("edge-int8", all_files["edge-int8"])
    rows = session.blame(RECIPES["edge-int8"])
    heavy = [r for r in rows if r["op"] == "CONV_2D"]
    assert heavy and all(r["snr_db"] > 10 and 0.1 < r["rmse_over_scale"] < 0.6 for r in heavy)
    told = table.layers_text("edge-int8", rows)
    assert all(f"#{r['index']} {r['op']}" in told for r in rows) and "not trusted" in told


@pytest.mark.slow
def test_latency_is_interleaved_in_fresh_processes(session, all_files):
    session.add("edge-int8", all_files["edge-int8"])
    assert session.time(["edge-int8"], threads=[1]) == [1]
    row = session.rows["edge-int8"]["latency"]["1"]
    assert (
        row["n"] >= 50
        and 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
        and row["peak_rss"] > row["base_rss"]
    )
    assert session.rows[FLOAT]["latency"]["1"]["speedup"] == 1
