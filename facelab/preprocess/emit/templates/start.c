#include "NAME.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__cplusplus)
#define RESTRICT __restrict
#else
#define RESTRICT restrict
#endif
#if defined(__FAST_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(_M_FP_FAST)
#error "compile without -ffast-math and its parts: the results would differ from the specification"
#endif
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0
#error "compile without -ffinite-math-only: faces that are not finite would not be refused"
#endif
/* 16, 32 and 64 say in which format narrower numbers than these are computed: GCC tells 16 for AVX-512 FP16. */
#if defined(FLT_EVAL_METHOD) && (FLT_EVAL_METHOD < 0 || FLT_EVAL_METHOD == 2 || FLT_EVAL_METHOD > 64)
#error "compile for float and double registers, such as -msse2 -mfpmath=sse: x87 rounds otherwise"
#endif
/* A product that is fused with a sum is not rounded in between: crops would differ by a pixel. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize ("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* Where a tensor's values may begin. */
typedef struct NAME_alignment {
    char before;
    NAME_value value;
} NAME_alignment;
