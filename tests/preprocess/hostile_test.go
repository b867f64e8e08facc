package preprocess

import (
	"math"
	"testing"
)

func TestHostile(t *testing.T) {
	sides := []int{math.MinInt32, -1, 0, 1, 2, 3, 47, 65535, 65536, math.MaxInt32}
	odd := []float64{0, 1, -1, 1e9, -1e9, 1e300, math.NaN(), math.Inf(1), math.Inf(-1), 1e-300, 20.5}
	frame := make([]byte, 1<<20)
	seed := uint32(7)
	next := func() int {
		seed = seed*1664525 + 1013904223
		return int(seed >> 8)
	}
	side := func() int {
		if next()%4 == 0 {
			return sides[next()%len(sides)]
		}
		return next() % 50
	}
	var p Preprocessor
	var tensor []VALUE
	good, refused := 0, map[error]int{}
	for i := 0; i < 5000; i++ {
		face := make([]float64, []int{4, 10, LENGTH}[next()%3])
		for k := range face {
			face[k] = float64(next() % 60)
			if next()%3 == 0 {
				face[k] = odd[next()%len(odd)]
			}
		}
		in := Input{Width: side(), Height: side(), GIVEN}
		shape, err := p.Shape(in)
		if err != nil {
			if _, known := err.(Error); !known {
				t.Fatal(err)
			}
			refused[err]++
			continue
		}
		length, values := in.Width*in.Height*3, 1
		for _, n := range shape {
			values *= n
		}
		if length > len(frame) || values > 1<<20 {
			continue
		}
		if cap(tensor) < values+1 {
			tensor = make([]VALUE, values+1)
		}
		if err := p.Run(in, frame[:length], tensor[:values]); err != nil {
			t.Fatal(in, err)
		}
		good++
		if p.Run(in, frame[:length+1], tensor[:values]) != ErrFrame {
			t.Fatal("a frame too long")
		}
		if p.Run(in, nil, tensor[:values]) != ErrFrame {
			t.Fatal("no frame")
		}
		if p.Run(in, frame[:length], tensor[:values-1]) != ErrOutput {
			t.Fatal("a tensor too short")
		}
		if p.Run(in, frame[:length], nil) != ErrOutput {
			t.Fatal("no tensor")
		}
	}
	if good < 30 || refused[ErrSize] < 100 || len(refused) < KINDS {
		t.Fatal(good, refused)
	}
}
