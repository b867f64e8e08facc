#include "preprocess.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
    static const int32_t sides[] = {-2147483647 - 1, -1, 0, 1, 2, 3, 47, 65535, 65536, 2147483647};
    static const double odd[] = {0, 1, -1, 1e9, -1e9, 1e300, NAN, INFINITY, -INFINITY, 1e-300, 20.5};
    uint8_t *frame = calloc(1, 1 << 20);
    unsigned seed = 7;
    int seen[9] = {0};
    if (frame == NULL) return 2;
    for (int i = 0; i < 5000; i++) {
        double face[14];
        preprocess_input in;
        size_t bytes = 0, values = 0;
        int32_t shape[PREPROCESS_RANK];
        memset(&in, 0, sizeof in);
        for (int k = 0; k < 14; k++) {
            seed = seed * 1664525u + 1013904223u;
            face[k] = (seed >> 16) % 3 ? (double)((seed >> 8) % 60) : odd[(seed >> 8) % 11];
        }
        seed = seed * 1664525u + 1013904223u;
        in.width = (seed >> 30) ? (int32_t)((seed >> 10) % 50) : sides[(seed >> 10) % 10];
        seed = seed * 1664525u + 1013904223u;
        in.height = (seed >> 30) ? (int32_t)((seed >> 10) % 50) : sides[(seed >> 10) % 10];
        GIVEN
        preprocess_status status = preprocess_measure(&in, &bytes, &values, shape);
        if (status == PREPROCESS_OK && bytes < (8u << 20) && values < (1u << 20)) {
            size_t length = (size_t)in.width * (size_t)in.height * 3;
            uint8_t *workspace = malloc(bytes);
            preprocess_value *tensor = malloc(values * sizeof *tensor);
            if (workspace == NULL || tensor == NULL) return 2;
            if (length > (1u << 20)) length = 0;
            status = preprocess_run(&in, frame, length, workspace, bytes, tensor, values);
            if (length && status != PREPROCESS_OK) return 3;
            if (preprocess_run(&in, frame, length + 1, workspace, bytes, tensor, values) != PREPROCESS_FRAME) return 4;
            if (length && preprocess_run(&in, frame, length, workspace, bytes - 1, tensor, values) != PREPROCESS_WORKSPACE) return 5;
            if (length && preprocess_run(&in, frame, length, workspace, bytes, tensor, values + 1) != PREPROCESS_OUTPUT) return 6;
            if (preprocess_run(&in, NULL, length, workspace, bytes, tensor, values) != PREPROCESS_FRAME) return 7;
            free(workspace);
            free(tensor);
        }
        seen[status]++;
    }
    if (preprocess_measure(NULL, NULL, NULL, NULL) != PREPROCESS_SIZE) return 8;
    free(frame);
    printf("%d %d %d %d %d %d\n", seen[0], seen[1], seen[3], seen[4], seen[5], seen[6]);
    return 0;
}
