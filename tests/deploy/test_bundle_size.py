"""Bundles of detectors weigh less than twice the model and 10 MB, however little the model weighs."""

import gzip
import json
import shutil
import subprocess

import numpy as np
import onnx
import pytest

from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.hashing import sha256_file
from facelab.deploy import judge, verify
from facelab.deploy._bundle_files._golden import KEPT_FOR_LAST, ROOM
from facelab.deploy.internals import golden, manifest
from facelab.fingerprint import import_tensors
from facelab.fingerprint.document._schema import MAX_BYTES
from facelab.fingerprint.probes import image_probes, write_probes
from facelab.preprocess import apply
from facelab.preprocess.presets import catalogue_specs
from facelab.zoo import load_catalogue
from facelab.zoo.internals import require
from facelab.zoo.runtimes import open_model
from tests.deploy.test_detector_bundles import bundled, limit

SPECS = catalogue_specs()
ENTRIES = {
    e.name: e
    for e in load_catalogue().of_kind("detector")
    if e.runtime in ("onnx", "litert") and not e.parts
}
BY_INPUT = {(e.family, SPECS[n].hash): n for n, e in reversed(ENTRIES.items())}


def opened(name):
    """Return a detector's model; where it is not here, that of its family with the same input."""
    entry = ENTRIES[name]
    twins = [n for n, e in ENTRIES.items() if e.family == entry.family and SPECS[n] == SPECS[name]]
    for twin in (name, *twins):
        try:
            return open_model(require(ENTRIES[twin]))
        except MissingAssetError:
            continue
    return pytest.skip("no network of this family and input is on this machine")


def weightless(name, folder):
    """Write a network with the inputs and outputs of a detector and no weights: no INT8 version weighs less."""
    model = opened(name)
    (entry,) = model.inputs
    if any(n is None for t in (entry, *model.outputs) for n in t.shape):
        pytest.skip("its sizes depend on the picture")
    h = onnx.helper
    kind = h.np_dtype_to_tensor_dtype(np.dtype(entry.dtype))
    nodes = [h.make_node("Cast", [entry.name], ["real"], to=onnx.TensorProto.FLOAT)]
    nodes += [h.make_node("ReduceMean", ["real"], ["all"], keepdims=0)]
    nodes += [h.make_node("Mul", ["all", "little"], ["mean"])]  # outputs that a decoder can take
    shapes, outputs = [onnx.numpy_helper.from_array(np.float32(1e-3), "little")], []
    for k, t in enumerate(model.outputs):
        shapes.append(onnx.numpy_helper.from_array(np.array(t.shape, np.int64), f"shape{k}"))
        nodes.append(h.make_node("Expand", ["mean", f"shape{k}"], [f"out{k}"]))
        outputs.append(h.make_tensor_value_info(f"out{k}", onnx.TensorProto.FLOAT, t.shape))
    given = h.make_tensor_value_info(entry.name, kind, entry.shape)
    graph = h.make_graph(nodes, "weightless", [given], outputs, shapes)
    file = folder / "weightless.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8), file)
    SPECS[name].save(folder / "weightless.preprocess.json")
    return file


@pytest.fixture(scope="module")
def always(tmp_path_factory):
    """What a bundle weighs at most without model and golden files: the probes, two fingerprints, page and manifest."""
    files = write_probes(tmp_path_factory.mktemp("probes") / "probes").iterdir()
    return sum(f.stat().st_size for f in files) + 2 * MAX_BYTES + KEPT_FOR_LAST


@pytest.mark.parametrize("name", BY_INPUT.values())
def test_a_face_fits_beside_any_int8_version(name, mirror, always, tmp_path):
    """Modelled: one packed golden tensor and its outputs fit where the model weighs nothing."""
    (face,) = (p for p in image_probes() if p.name == "face")
    tensor = apply(SPECS[name], face.data, face=face.face)
    np.save(tmp_path / "face.npy", tensor)
    model = opened(name)
    outputs = sum(a.nbytes for a in model.run(tensor))
    weight = golden.pack(tmp_path / "face.npy").stat().st_size + outputs
    assert always + weight < ROOM, f"{weight} bytes beside {always}"


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_INPUT.values())
def test_no_int8_version_of_a_detector_is_too_large(name, mirror, tmp_path):
    """Built: the bundle of a network with the same inputs and outputs and no weights."""
    file = weightless(name, tmp_path)
    assert file.stat().st_size < 5_000
    made, size = bundled(file, tmp_path)
    assert size < limit(made) and verify(tmp_path / "bundle").ok
    assert "face" in made.manifest.golden


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_no_detector_of_the_catalogue_is_too_large(name, mirror, tmp_path):
    try:
        require(ENTRIES[name])
    except MissingAssetError:
        pytest.skip("the model is not on this machine")
    if name == "blazeface-back-onnx-nms":  # its thresholds are inputs
        with pytest.raises(BadInputError, match="models with one input"):
            bundled(name, tmp_path)
        return
    made, size = bundled(name, tmp_path)
    assert size < limit(made) and verify(tmp_path / "bundle").ok
    assert "face" in made.manifest.golden


C = r"""
#include <stdio.h>
#include <zlib.h>
int main(int argc, char **argv) {
  gzFile f = gzopen(argv[1], "rb");
  unsigned char b[65536], head[10];
  unsigned long long n = 0, sum = 0;
  if (!f || gzread(f, head, 10) != 10) return 1;
  for (int left = head[8] | head[9] << 8; left--;) gzgetc(f);
  for (int got; (got = gzread(f, b, sizeof b)) > 0; n += got)
    for (int i = 0; i < got; i++) sum += b[i] * (1 + (n + i) % 251);
  printf("%llu %llu\n", n, sum);
  return gzclose(f) != Z_OK;
}
"""
GO = r"""
package main

import ("compress/gzip"; "fmt"; "io"; "os")

func main() {
	f, _ := os.Open(os.Args[1])
	z, err := gzip.NewReader(f)
	if err != nil { panic(err) }
	all, err := io.ReadAll(z)
	if err != nil { panic(err) }
	all = all[10+int(all[8])+int(all[9])<<8:]
	sum := 0
	for i, b := range all { sum += int(b) * (1 + i%251) }
	fmt.Println(len(all), sum)
}
"""


def said(*command):
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [int(word) for word in ran.stdout.split()]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A folder with one packed tensor, its file and its numbers."""
    folder = tmp_path_factory.mktemp("packed")
    array = np.random.default_rng(0).normal(size=(1, 3, 40, 50)).astype(np.float32)
    np.save(folder / "face.npy", array)
    return folder, golden.pack(folder / "face.npy"), array


def test_other_languages_read_a_packed_tensor(packed, tmp_path):
    """By what the README says: gzip, a header whose length bytes 8 and 9 give, then the numbers."""
    _, file, array = packed
    numbers = np.frombuffer(array.tobytes(), np.uint8).astype(int)
    expected = [len(numbers), int((numbers * (1 + np.arange(len(numbers)) % 251)).sum())]
    raw = gzip.decompress(file.read_bytes())
    assert raw[10 + raw[8] + (raw[9] << 8) :] == array.tobytes()
    assert np.array_equal(golden.read_tensor(file), array)
    ran = 0
    if shutil.which("cc"):
        (tmp_path / "a.c").write_text(C)
        built = subprocess.run(["cc", tmp_path / "a.c", "-lz", "-o", tmp_path / "a"], check=False)
        if built.returncode == 0:  # zlib's header is there
            assert said(tmp_path / "a", file) == expected
            ran += 1
    if shutil.which("go"):
        (tmp_path / "a.go").write_text(GO)
        assert said("go", "run", tmp_path / "a.go", file) == expected
        ran += 1
    if not ran:
        pytest.skip("Python's reader agrees; neither C with zlib nor Go is here")


def test_packing_is_the_same_each_time_and_names_nothing(packed, tmp_path):
    _, file, array = packed
    np.save(tmp_path / "other.npy", array)
    again = golden.pack(tmp_path / "other.npy")
    assert again.read_bytes() == file.read_bytes() and not (tmp_path / "other.npy").exists()
    assert file.read_bytes()[3:8] == bytes(5)  # no name, no time


def unpacked(bundle):
    """Make of a bundle what earlier versions wrote: golden tensors as they are."""
    said = json.loads((bundle / "manifest.json").read_text())
    for entry in said["files"]:
        if entry["path"].endswith(golden.PACKED):
            file = bundle / entry["path"]
            raw, plain = gzip.decompress(file.read_bytes()), file.with_suffix("")
            file.unlink()
            plain.write_bytes(raw)
            entry |= {
                "path": entry["path"].removesuffix(".gz"),
                "bytes": len(raw),
                "sha256": sha256_file(plain),
            }
    said["hash"] = manifest.canonical_hash(said)
    (bundle / "manifest.json").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def detector(mirror, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    made, _ = bundled("yunet-n-320", folder)
    return folder / "bundle", made.manifest.golden


def test_bundles_of_earlier_versions_pass(detector, tmp_path):
    made, probes = detector
    bundle = shutil.copytree(made, tmp_path / "bundle")
    tensors = bundle / "golden" / "tensors"
    assert len(list(tensors.glob("*.npy.gz"))) == len(probes) and not list(tensors.glob("*.npy"))
    infer = import_tensors(tensors, partial=len(probes) < 25)
    packed = judge(bundle, inference=infer)
    unpacked(bundle)
    assert list(tensors.glob("*.npy")) and not list(tensors.glob("*.gz"))
    assert verify(bundle).ok
    plain = judge(bundle, inference=infer)
    for verdict in (packed, plain):
        assert verdict.check("golden_outputs").status == "pass"
    assert [c.what for c in packed.checks[1:]] == [c.what for c in plain.checks[1:]]


def test_a_bundle_with_both_forms_is_refused(detector, tmp_path):
    bundle = shutil.copytree(detector[0], tmp_path / "bundle")
    file = next((bundle / "golden" / "tensors").glob("*.npy.gz"))
    file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
    assert not verify(bundle).ok
