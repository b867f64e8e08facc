/* Check NAME.c against the golden tensors: cc -std=c99 -O3 NAME.c NAME_check.c -lm -o check && ./check testdata
   With a number behind the folder, every frame is repeated so often and timed.
   ORIGIN */
#include "NAME.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *content(const char *folder, const char *name, const char *ending, size_t *bytes) {
    char path[1024];
    FILE *file;
    long end;
    void *data;
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending);
    file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    end = ftell(file);
    rewind(file);
    *bytes = (size_t)end;
    data = malloc(*bytes + 1);
    if (data == NULL || fread(data, 1, *bytes, file) != *bytes) exit(2);
    fclose(file);
    return data;
}

static int check(const char *folder, char *line, int repeat) {
    char name[200];
    double face[14];
    int width, height, orientation, i;
    int used = 0;
    size_t frame_bytes, golden_bytes, workspace_bytes, values, k;
    NAME_input in;
    NAME_status status;
    uint8_t *frame, *workspace;
    NAME_value *golden, *tensor;
    double low = INFINITY, high = -INFINITY, worst = 0.0, span;
    clock_t start;
    char *numbers;
    if (sscanf(line, "%199s %d %d %d", name, &width, &height, &orientation) != 4) return 1;
    sscanf(line, "%*s %*d %*d %*d%n", &used);
    numbers = line + used;
    for (i = 0; i < 14; i++) face[i] = strtod(numbers, &numbers);
    memset(&in, 0, sizeof in);
    GIVEN
    frame = (uint8_t *)content(folder, name, "frame", &frame_bytes);
    golden = (NAME_value *)content(folder, name, "tensor", &golden_bytes);
    status = NAME_measure(&in, &workspace_bytes, &values, NULL);
    if (status != UPPER_OK || values * sizeof *golden != golden_bytes) {
        printf("%s: FAILED, %s\n", name, NAME_message(status));
        return 1;
    }
    workspace = (uint8_t *)malloc(workspace_bytes);
    tensor = (NAME_value *)malloc(golden_bytes);
    if (workspace == NULL || tensor == NULL) exit(2);
    start = clock();
    for (i = 0; i < repeat; i++) {
        status = NAME_run(&in, frame, frame_bytes, workspace, workspace_bytes, tensor, values);
    }
    if (repeat > 1) {
        printf("%s %.9f\n", name, (double)(clock() - start) / CLOCKS_PER_SEC / repeat);
    }
    for (k = 0; k < values && status == UPPER_OK; k++) {
        double want = (double)golden[k], off = fabs(want - (double)tensor[k]);
        low = want < low ? want : low;
        high = want > high ? want : high;
        if (!(off <= worst)) worst = off >= 0.0 ? off : INFINITY; /* not a number is not the same */
    }
    span = high - low > 1e-12 ? high - low : 1e-12;
    i = status == UPPER_OK && worst <= BOUND;
    if (repeat == 1) printf("%s: %s, at most %g off over a range of %g\n", name, i ? "same" : "DIFFERS", worst, span);
    free(frame);
    free(golden);
    free(workspace);
    free(tensor);
    return !i;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "testdata";
    int repeat = argc > 2 ? atoi(argv[2]) : 1, failed = 0;
    char path[1024], line[2000];
    FILE *cases;
    snprintf(path, sizeof path, "%s/cases.txt", folder);
    cases = fopen(path, "r");
    if (cases == NULL) {
        fprintf(stderr, "cannot read %s\n", path);
        return 2;
    }
    while (fgets(line, sizeof line, cases) != NULL) failed += check(folder, line, repeat > 0 ? repeat : 1);
    fclose(cases);
    return failed != 0;
}
