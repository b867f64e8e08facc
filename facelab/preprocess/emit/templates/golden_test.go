// Check of the package against the golden tensors: go test ./...
// ORIGIN

package PACKAGE_

import (
IMPORTS_
)

// A frame of testdata with the tensor that the specification's reference makes of it.
type golden struct {
	name                       string
	width, height, orientation int
	box, landmarks             []float64
	frame                      []byte
	tensor                     []OUT_
}

func readGolden(t testing.TB) []golden {
	file, err := os.Open(filepath.Join("testdata", "cases.txt"))
	if err != nil {
		t.Skip("testdata is not here: emit with golden tensors")
	}
	defer file.Close()
	var found []golden
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		c := golden{box: make([]float64, 4), landmarks: make([]float64, 10)}
		to := []any{&c.name, &c.width, &c.height, &c.orientation}
		for i := range c.box {
			to = append(to, &c.box[i])
		}
		for i := range c.landmarks {
			to = append(to, &c.landmarks[i])
		}
		if _, err := fmt.Sscan(scanner.Text(), to...); err != nil {
			t.Fatal(err)
		}
		if c.frame, err = os.ReadFile(filepath.Join("testdata", c.name+".frame")); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join("testdata", c.name+".tensor"))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(raw); i += SIZE_ {
			b := raw[i:]
			c.tensor = append(c.tensor, READ_)
		}
		found = append(found, c)
	}
	return found
}

func TestGolden(t *testing.T) {
	var p Preprocessor
	for _, c := range readGolden(t) {
		got := make([]OUT_, len(c.tensor))
		if err := p.Run(Input{GIVEN_}, c.frame, got); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		low, high, worst := math.Inf(1), math.Inf(-1), 0.0
		for i, v := range c.tensor {
			low, high = math.Min(low, float64(v)), math.Max(high, float64(v))
			worst = math.Max(worst, math.Abs(float64(v)-float64(got[i])))
		}
		span := math.Max(high-low, 1e-12)
		t.Logf("%s: at most %g off over a range of %g", c.name, worst, span)
		if bound := BOUND_; !(worst <= bound) {
			t.Errorf("%s: %g off over a range of %g", c.name, worst, span)
		}
	}
}

func TestWrongInput(t *testing.T) {
	var p Preprocessor
	for _, c := range readGolden(t) {
		in := Input{GIVEN_}
		if err := p.Run(in, c.frame[1:], make([]OUT_, len(c.tensor))); err != ErrFrame {
			t.Errorf("%s: a short frame gives %v", c.name, err)
		}
		if err := p.Run(in, c.frame, make([]OUT_, len(c.tensor)+1)); err != ErrOutput {
			t.Errorf("%s: a long tensor gives %v", c.name, err)
		}
		in.Width = 0
		if err := p.Run(in, c.frame, make([]OUT_, len(c.tensor))); err != ErrSize {
			t.Errorf("%s: a width of 0 gives %v", c.name, err)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	var p Preprocessor
	found := readGolden(b)
	if len(found) == 0 {
		b.Skip("testdata is empty")
	}
	c := found[0]
	tensor := make([]OUT_, len(c.tensor))
	b.SetBytes(int64(len(c.frame)))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := p.Run(Input{GIVEN_}, c.frame, tensor); err != nil {
			b.Fatal(err)
		}
	}
}
