"""Examples in docstrings that do not run as they stand: they name files, or need what a build machine does not have."""

IN_A_PREPARED_FOLDER = frozenset(
    f"facelab.{name}"
    for name in (
        "datasets._image_folder.load_image_folder",
        "deploy._bundle.load",
        "deploy._bundle.make_bundle",
        "deploy._gate.Verdict",
        "deploy._gate.judge",
        "deploy._verify.verify",
        "detection._evaluation.evaluate",
        "detection._registry.load",
        "doctor.all_checks",
        "embedding._evaluation.evaluate",
        "embedding._people.identify",
        "emotion._classifier.EmotionClassifier",
        "emotion._evaluate.evaluate",
        "emotion._predict.predict",
        "emotion._prepare.collect",
        "emotion._registry.load",
        "fingerprint.capture._adapters.capture_target",
        "fingerprint.capture._capture.capture_spec",
        "fingerprint.capture._tensors.import_tensors",
        "fingerprint.diagnosis._compare.compare",
        "fingerprint.diagnosis._comparison.Comparison",
        "fingerprint.document._schema.Fingerprint",
        "fingerprint.document._schema.load",
        "index.sharded._upkeep.repair",
        "index.sharded._upkeep.verify",
        "liveness._presentation.read_presentations",
        "quantization._run.quantize",
        "quantization._session.Session",
        "quantization._subject.load",
        "reproduce._runner.Runner",
        "serving.releases._store.ReleaseStore",
        "session._run.start",
    )
)
"""They run in `tests/docs/test_docstring_examples.py`, in the folder in which documented commands run."""

NOT_RUN = {
    "facelab.doodle._canvas.canvas": "needs a classifier of drawings, which is trained for a minute",
    "facelab.doodle._classifier.load": "needs a classifier of drawings, which is trained for a minute",
    "facelab.doodle._evaluate.evaluate": "needs a classifier of drawings, which is trained for a minute",
    "facelab.doodle._train.train": "trains with TensorFlow",
    "facelab.emotion._train.train_and_evaluate": "trains with TensorFlow",
    "facelab.index._source.source_of": "needs weights that are fetched",
    "facelab.index.stores._postgres.PostgresStore": "needs a PostgreSQL server",
    "facelab.index.stores._valkey.ValkeyStore": "needs a Valkey server",
    "facelab.serving.pools._resources.postgres_connections": "needs a PostgreSQL server",
}
"""Why an example is not run."""
