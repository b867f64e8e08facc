"""A session's table can be stored, loaded and restored; what a session was made from identifies it."""

import numpy as np

from facelab.core.hashing import sha256_file
from facelab.preprocess import PreprocessSpec
from facelab.quantization._session import FLOAT, Session
from facelab.quantization.recipes import RECIPES
from facelab.session import _call_key as call_key
from facelab.session import _stored_results as stored_results
from facelab.studies import int8_variants
from facelab.zoo.runtimes import open_model


def test_a_stored_table_is_taken_up_as_if_it_had_been_measured(model, pool, evaluation, tmp_path):
    recipe, step = RECIPES["edge-int8"], tmp_path / "step"
    with Session(model, pool, evaluation) as first:
        made = int8_variants.make_table(first, [recipe], step / "variants", runs=50, threads=[1])
        stored_results.keep(
            step / "results", "table", made, parts={}, key="k", at="", run="r", seconds=1
        )
        rows, key = first.rows, call_key.describe(first)
        answers = first.blame(recipe)[0]["index"]
    loaded = stored_results.find([step / "results"], "table", "k")[0].value
    with Session(model, pool, evaluation) as second:
        assert call_key.describe(second) == key
        assert int8_variants.take_up(second, loaded) == [1]
        assert list(second.rows) == list(rows) == [FLOAT, recipe.name]
        for name, row in rows.items():
            assert second.rows[name]["verdict"] == row["verdict"]
            assert np.array_equal(second.rows[name]["samples_s"]["1"], row["samples_s"]["1"])
        assert second.files[recipe.name] == step / "variants" / "edge-int8.tflite"
        assert sha256_file(second.files[recipe.name]) == sha256_file(made["files"][recipe.name])
        assert int8_variants.blame(second, recipe)[0]["index"] == answers
        assert (step / "variants" / "labels.txt").read_text().split() == list(
            second.subject.classes
        )
    # a bundle takes the file as it is there
    assert open_model(made["files"][recipe.name]).inputs[0].dtype == "int8"
    spec = PreprocessSpec.load(step / "variants" / "edge-int8.preprocess.json")
    assert spec.output_dtype == "int8" and spec.stages[-1].op == "quantize"


def test_sessions_of_other_samples_or_seed_differ(model, pool, evaluation, calibrate):
    with (
        Session(model, pool, evaluation) as a,
        Session(model, calibrate, evaluation) as b,
        Session(model, pool, evaluation, seed=1) as c,
    ):
        assert len({a.hash, b.hash, c.hash}) == 3
