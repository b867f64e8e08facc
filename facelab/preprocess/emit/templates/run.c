    ALIGNED
/* Whether sums, products and quotients are rounded one by one to the nearest: no macro shows every flag that
   forbids it (clang's -ffp-contract=fast, say), nor the rounding mode of the thread. */
static int rounds_to_nearest(void) {
    volatile double one = 1.0, tiny = 1e-20, large = 134217729.0, odd = 49.0;
    double a = one, b = tiny, c = large, d = odd;
    int fused = c * c - 18014398777917440.0 != 0.0;
    int reordered = (a + b) - a != 0.0 || d / 49.0 != 1.0;
    int directed = a + b != 1.0 || a - b != 1.0;
    return !fused && !reordered && !directed;
}

static int share_memory(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
    uintptr_t p = (uintptr_t)a, q = (uintptr_t)b;
    return p < q ? q - p < a_bytes : p - q < b_bytes;
}

static NAME_status measured(const NAME_input *in, NAME_geometry *g, int64_t *bytes) {
    int64_t total = 8;
    if (!rounds_to_nearest()) return UPPER_ARITHMETIC;
    if (in == NULL) return UPPER_SIZE;
    CHECKS
    int32_t status = plan(PLAN);
    if (status != 0) return (NAME_status)status;
    TOTAL
    if ((uint64_t)total > SIZE_MAX) return UPPER_SIZE;
    if ((uint64_t)g->tensor_length > SIZE_MAX / sizeof(NAME_value)) return UPPER_SIZE;
    *bytes = total;
    return UPPER_OK;
}

NAME_status NAME_measure(const NAME_input *in, size_t *workspace_bytes,
        size_t *tensor_values, int32_t shape[UPPER_RANK]) {
    NAME_geometry g;
    int64_t bytes = 0;
    memset(&g, 0, sizeof g);
    NAME_status status = measured(in, &g, &bytes);
    if (status != UPPER_OK) return status;
    if (workspace_bytes != NULL) *workspace_bytes = (size_t)bytes;
    if (tensor_values != NULL) *tensor_values = (size_t)g.tensor_length;
    if (shape == NULL) return status;
    SHAPE
    return status;
}

NAME_status NAME_run(const NAME_input *in, const uint8_t *frame, size_t frame_bytes,
        void *workspace, size_t workspace_bytes, NAME_value *tensor, size_t tensor_values) {
    NAME_geometry g;
    int64_t bytes = 0;
    memset(&g, 0, sizeof g);
    NAME_status status = measured(in, &g, &bytes);
    if (status != UPPER_OK) return status;
    if (frame == NULL || frame_bytes != (size_t)g.frame_length) return UPPER_FRAME;
    if (workspace == NULL || workspace_bytes < (size_t)bytes) return UPPER_WORKSPACE;
    if (tensor == NULL || tensor_values != (size_t)g.tensor_length) return UPPER_OUTPUT;
    if ((uintptr_t)tensor % offsetof(NAME_alignment, value) != 0) return UPPER_OUTPUT;
    size_t tensor_bytes = tensor_values * sizeof *tensor;
    if (share_memory(frame, frame_bytes, workspace, workspace_bytes)
            || share_memory(frame, frame_bytes, tensor, tensor_bytes)
            || share_memory(workspace, workspace_bytes, tensor, tensor_bytes)) {
        return UPPER_OVERLAP;
    }
    CARVE
    PROCESS
    return UPPER_OK;
}

const char *NAME_message(NAME_status status) {
    switch (status) {
    MESSAGES
    }
    return "unknown status";
}
