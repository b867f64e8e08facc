// An independent reader of the quantize rule: quantize IN OUT SCALE ZERO ROUNDING; float32 in, int8 out, saturating.
package main

import (
	"encoding/binary"
	"math"
	"os"
	"strconv"
)

func main() {
	raw, err := os.ReadFile(os.Args[1])
	if err != nil {
		os.Exit(2)
	}
	wide, _ := strconv.ParseFloat(os.Args[3], 32)
	zero, _ := strconv.Atoi(os.Args[4])
	scale := float32(wide)
	out := make([]byte, len(raw)/4)
	for i := range out {
		v := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		quotient := float64(v / scale)
		step := int(math.Trunc(quotient))
		switch os.Args[5] {
		case "half_even":
			step = int(math.RoundToEven(quotient))
		case "half_away":
			step = int(math.Round(quotient))
		}
		step += zero
		if step > 127 {
			step = 127
		} else if step < -128 {
			step = -128
		}
		out[i] = byte(int8(step))
	}
	if os.WriteFile(os.Args[2], out, 0o644) != nil {
		os.Exit(2)
	}
}
