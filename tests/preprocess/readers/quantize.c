/* An independent reader of the quantize rule: quantize IN OUT SCALE ZERO ROUNDING; float32 in, int8 out, saturating. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    FILE *in, *out;
    float v, scale;
    long zero;
    if (argc != 6) return 2;
    in = fopen(argv[1], "rb");
    out = fopen(argv[2], "wb");
    scale = strtof(argv[3], NULL);
    zero = atol(argv[4]);
    if (in == NULL || out == NULL) return 2;
    while (fread(&v, sizeof v, 1, in) == 1) {
        float quotient = v / scale;
        float whole = strcmp(argv[5], "half_even") == 0 ? rintf(quotient)
                : strcmp(argv[5], "half_away") == 0 ? roundf(quotient) : truncf(quotient);
        long step = (long)whole + zero;
        step = step < -128 ? -128 : step > 127 ? 127 : step;
        fputc((unsigned char)(signed char)step, out);
    }
    fclose(in);
    return fclose(out) != 0;
}
