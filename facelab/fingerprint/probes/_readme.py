"""The README beside the probes, for programmers who write the inference side in another language."""

README = """# facelab preprocessing probes, version {version}

{count} files on which every known preprocessing mistake shows. Set hash: `{hash}`.

Run your program's preprocessing on each file it can read, write the tensor it would give to the model, and let facelab
say whether it does what training did, and if not, why:

    facelab fingerprint import --tensors DIR --out infer.json
    facelab fingerprint compare train.json infer.json

## Which files to read
- A program that opens image files reads the `.png` and `.jpg` files.
- A program that gets frames from a camera reads the raw files of its format: no header, rows from top to bottom.
  `rgb24` and `bgr24` have three bytes a pixel; `gray8` one; `yuyv` is Y0 U Y1 V for two pixels; `nv12` is a plane of
  Y, then rows of U V pairs, one pair for 2×2 pixels. The size is in the name. YUV content is BT.601 of limited range
  (Y 16…235); the `_full` files are of full range (Y 0…255). Treat them all as your program treats its camera.
- Skip what your program cannot read. Do not convert files first: a conversion is preprocessing too.
- A program that crops or aligns faces takes the face from `probes.json`, not from a detector: `face.box` is
  (x1, y1, x2, y2) and `face.landmarks` are left eye, right eye, nose, left and right mouth corner (left as seen), in
  pixels of the upright picture, pixel centres of landmarks at whole numbers.

## What to write
For the probe named `NAME` (first column below, not the file's name), into one folder, either

- `NAME.npy`: NumPy's format, or
- `NAME.bin`: the numbers alone, row by row (last axis fastest), little-endian, with `NAME.json` beside it:

      {{"shape": [1, 3, 112, 112], "dtype": "float32"}}

  `dtype` is that of your tensor, such as `float32`, `uint8` or `int8`. In C, for a tensor `float t[1][3][112][112]`:

      FILE *f = fopen("marks.bin", "wb"); fwrite(t, sizeof(float), 3 * 112 * 112, f); fclose(f);

  In Go: `binary.Write(f, binary.LittleEndian, t)`. In JavaScript, for a `Float32Array`:
  `fs.writeFileSync("marks.bin", Buffer.from(t.buffer))`.

Write exactly what the model gets, batch axis and all: no rescaling to look at it, no copy in another layout.
A quantised model's input is written as the integers that it gets, or as the floats before quantising.

## The probes
| name | file | size | what |
|---|---|---|---|
{rows}

`probes.json` has the same list with SHA-256, face and the mistakes each probe is there for.
"""
