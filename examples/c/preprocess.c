/* Raw RGB camera frames in, model tensors out: what an embedded program does before inference, without a library.
 *
 *   cc -O2 -std=c99 -o preprocess preprocess.c -lm
 *   ./preprocess PROBES OUT [--mistake bgr|nearest|mean]
 *
 * Every PROBES/<picture>_<width>x<height>.rgb24 becomes OUT/<picture>_rgb24.bin (float32, 1 x 3 x 96 x 96) with its
 * shape in OUT/<picture>_rgb24.json, as `facelab fingerprint import` reads them. train.preprocess.json beside this
 * file says what training did; without --mistake this program does the same.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 96 };
static float tensor[3][SIDE][SIDE];

typedef struct { int bgr, nearest, mean; } Mistake;

/* Bilinear with half-pixel centres: the source place of output pixel i is (i + 0.5) * scale - 0.5. */
static float sample(const unsigned char *rgb, int width, int height, double x, double y, int channel) {
    int x0 = (int)floor(x), y0 = (int)floor(y);
    double fx = x - x0, fy = y - y0, value = 0;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2; i++) {
            int sx = x0 + i, sy = y0 + j;
            sx = sx < 0 ? 0 : sx >= width ? width - 1 : sx;
            sy = sy < 0 ? 0 : sy >= height ? height - 1 : sy;
            value += (i ? fx : 1 - fx) * (j ? fy : 1 - fy) * rgb[(sy * width + sx) * 3 + channel];
        }
    return (float)value;
}

static void preprocess(const unsigned char *rgb, int width, int height, Mistake mistake) {
    double step_x = (double)width / SIDE, step_y = (double)height / SIDE;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                int source = mistake.bgr ? 2 - c : c;
                float value;
                if (mistake.nearest)
                    value = rgb[((int)(y * step_y) * width + (int)(x * step_x)) * 3 + source];
                else
                    value = sample(rgb, width, height, (x + 0.5) * step_x - 0.5, (y + 0.5) * step_y - 0.5, source);
                tensor[c][y][x] = (value - (mistake.mean ? 104.0f : 127.5f)) / 127.5f;
            }
}

static int fail(const char *what, const char *name) {
    fprintf(stderr, "preprocess: %s: %s\n", what, name);
    return 2;
}

/* "marks_160x120.rgb24" -> picture "marks", 160, 120 */
static int parse(const char *file, char *picture, int *width, int *height) {
    const char *dot = strstr(file, ".rgb24"), *mark;
    if (!dot || strcmp(dot, ".rgb24") != 0) return 0;
    mark = strrchr(file, '_');
    if (!mark || mark - file > 100 || sscanf(mark, "_%dx%d.rgb24", width, height) != 2) return 0;
    memcpy(picture, file, (size_t)(mark - file));
    picture[mark - file] = 0;
    return *width > 0 && *height > 0 && *width <= 4096 && *height <= 4096;
}

static int convert(const char *folder, const char *file, const char *out, Mistake mistake) {
    char picture[128], path[1024];
    int width, height;
    if (!parse(file, picture, &width, &height)) return 1;
    size_t bytes = (size_t)width * (size_t)height * 3;
    unsigned char *rgb = malloc(bytes);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *in = fopen(path, "rb");
    if (!rgb || !in || fread(rgb, 1, bytes, in) != bytes) return 0;
    fclose(in);
    preprocess(rgb, width, height, mistake);
    free(rgb);
    snprintf(path, sizeof path, "%s/%s_rgb24.bin", out, picture);
    FILE *to = fopen(path, "wb");
    /* little-endian machines only, as the file format asks */
    if (!to || fwrite(tensor, sizeof tensor, 1, to) != 1 || fclose(to)) return 0;
    snprintf(path, sizeof path, "%s/%s_rgb24.json", out, picture);
    to = fopen(path, "w");
    if (!to) return 0;
    fprintf(to, "{\"shape\": [1, 3, %d, %d], \"dtype\": \"float32\"}\n", SIDE, SIDE);
    return fclose(to) == 0;
}

int main(int argc, char **argv) {
    Mistake mistake = {0, 0, 0};
    if (argc != 3 && !(argc == 5 && strcmp(argv[3], "--mistake") == 0))
        return fail("usage", "preprocess PROBES OUT [--mistake bgr|nearest|mean]");
    if (argc == 5) {
        mistake.bgr = strcmp(argv[4], "bgr") == 0;
        mistake.nearest = strcmp(argv[4], "nearest") == 0;
        mistake.mean = strcmp(argv[4], "mean") == 0;
        if (!mistake.bgr && !mistake.nearest && !mistake.mean) return fail("unknown mistake", argv[4]);
    }
    DIR *folder = opendir(argv[1]);
    if (!folder) return fail("cannot read the folder", argv[1]);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (!convert(argv[1], entry->d_name, argv[2], mistake)) return fail("cannot convert", entry->d_name);
    closedir(folder);
    return 0;
}
