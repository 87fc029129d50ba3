#include "level.h"

#include <math.h>

#include "vectors.h"

// Loops whose turns do not depend on one another: the compiler makes vectors of
// them.

#define ABREAST 32

INLINE float highest(const float *x, int64_t n) {
    float top[ABREAST];
    for (int j = 0; j < ABREAST; j++) top[j] = -INFINITY;
    int64_t i = 0;
    for (; i + ABREAST <= n; i += ABREAST)
        for (int j = 0; j < ABREAST; j++) top[j] = x[i + j] > top[j] ? x[i + j] : top[j];
    for (; i < n; i++) top[0] = x[i] > top[0] ? x[i] : top[0];
    for (int j = 1; j < ABREAST; j++) top[0] = top[j] > top[0] ? top[j] : top[0];
    return top[0];
}

INLINE void raise(float *x, int64_t n, float floor, float add, float factor) {
    for (int64_t i = 0; i < n; i++) x[i] = ((x[i] < floor ? floor : x[i]) + add) * factor;
}

INLINE void sums(const float *restrict x, int64_t frames, int mels, const double *restrict mean, double *restrict sum) {
    for (int64_t i = 0; i < frames; i++, x += mels) {
        if (!mean) {
            for (int c = 0; c < mels; c++) sum[c] += x[c];
            continue;
        }
        for (int c = 0; c < mels; c++) sum[c] += (x[c] - mean[c]) * (x[c] - mean[c]);
    }
}

INLINE void scaled(float *restrict x, int64_t frames, int mels, const double *restrict mean, const double *restrict scale) {
    for (int64_t i = 0; i < frames; i++, x += mels)
        for (int c = 0; c < mels; c++) x[c] = (float)((x[c] - mean[c]) * scale[c]);
}

AVX2 static float highest_avx2(const float *x, int64_t n) { return highest(x, n); }

AVX2 static void raise_avx2(float *x, int64_t n, float floor, float add, float factor) { raise(x, n, floor, add, factor); }

AVX2 static void sums_avx2(const float *x, int64_t frames, int mels, const double *mean, double *sum) {
    sums(x, frames, mels, mean, sum);
}

AVX2 static void scaled_avx2(float *x, int64_t frames, int mels, const double *mean, const double *scale) {
    scaled(x, frames, mels, mean, scale);
}

float earshot_highest(const float *x, int64_t n) { return HAS_AVX2 ? highest_avx2(x, n) : highest(x, n); }

void earshot_raise(float *x, int64_t n, float floor, float add, float factor) {
    HAS_AVX2 ? raise_avx2(x, n, floor, add, factor) : raise(x, n, floor, add, factor);
}

void earshot_sums(const float *x, int64_t frames, int mels, const double *mean, double *sum) {
    HAS_AVX2 ? sums_avx2(x, frames, mels, mean, sum) : sums(x, frames, mels, mean, sum);
}

void earshot_scale(float *x, int64_t frames, int mels, const double *mean, const double *scale) {
    HAS_AVX2 ? scaled_avx2(x, frames, mels, mean, scale) : scaled(x, frames, mels, mean, scale);
}
