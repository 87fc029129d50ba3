#include "lanes.h"

#include <math.h>

#include "vectors.h"

// A value of each frame. Go's memory is aligned to eight bytes.
typedef double lanes __attribute__((vector_size(8 * EARSHOT_LANES), aligned(8)));
typedef int64_t wholes __attribute__((vector_size(8 * EARSHOT_LANES), aligned(8)));
typedef float singles __attribute__((vector_size(4 * EARSHOT_LANES), aligned(4)));

// MIX takes elements of two vectors: 0 to 3 are a's, 4 to 7 b's.
#if defined(__clang__)
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIX(a, b, ...) __builtin_shuffle(a, b, (wholes){__VA_ARGS__})
#endif

// Complex values lie as real part, imaginary part: x[2k], x[2k+1].

// TURNED writes w·(re, im); w is one complex number for all lanes.
#define TURNED(y, w, re, im)                 \
    do {                                     \
        (y)[0] = (w)[0] * (re) - (w)[1] * (im); \
        (y)[1] = (w)[0] * (im) + (w)[1] * (re); \
    } while (0)

// The passes of Stockham's autosort FFT over n values at a stride s.

INLINE void radix2(int n, int s, const double *twiddle, const lanes *x, lanes *y) {
    int m = n / 2;
    for (int p = 0; p < m; p++) {
        const double *w = twiddle + 2 * p * s;
        const lanes *x0 = x + 2 * s * p, *x1 = x0 + 2 * s * m;
        lanes *y0 = y + 2 * s * 2 * p, *y1 = y0 + 2 * s;
        for (int q = 0; q < 2 * s; q += 2) {
            lanes re = x0[q] - x1[q], im = x0[q + 1] - x1[q + 1];
            y0[q] = x0[q] + x1[q];
            y0[q + 1] = x0[q + 1] + x1[q + 1];
            TURNED(y1 + q, w, re, im);
        }
    }
}

INLINE void radix3(int n, int s, const double *twiddle, const lanes *x, lanes *y) {
    const double sine = 0.866025403784438646763723170752936183; // sin(2π/3)
    int m = n / 3;
    for (int p = 0; p < m; p++) {
        const double *w1 = twiddle + 2 * p * s, *w2 = twiddle + 4 * p * s;
        const lanes *x0 = x + 2 * s * p, *x1 = x0 + 2 * s * m, *x2 = x1 + 2 * s * m;
        lanes *y0 = y + 2 * s * 3 * p, *y1 = y0 + 2 * s, *y2 = y1 + 2 * s;
        for (int q = 0; q < 2 * s; q += 2) {
            lanes sr = x1[q] + x2[q], si = x1[q + 1] + x2[q + 1];
            lanes tr = sine * (x1[q + 1] - x2[q + 1]), ti = -sine * (x1[q] - x2[q]);
            lanes mr = x0[q] - 0.5 * sr, mi = x0[q + 1] - 0.5 * si;
            y0[q] = x0[q] + sr;
            y0[q + 1] = x0[q + 1] + si;
            TURNED(y1 + q, w1, mr + tr, mi + ti);
            TURNED(y2 + q, w2, mr - tr, mi - ti);
        }
    }
}

INLINE void radix4(int n, int s, const double *twiddle, const lanes *x, lanes *y) {
    int m = n / 4;
    for (int p = 0; p < m; p++) {
        const double *w1 = twiddle + 2 * p * s, *w2 = twiddle + 4 * p * s, *w3 = twiddle + 6 * p * s;
        const lanes *x0 = x + 2 * s * p, *x1 = x0 + 2 * s * m, *x2 = x1 + 2 * s * m, *x3 = x2 + 2 * s * m;
        lanes *y0 = y + 2 * s * 4 * p, *y1 = y0 + 2 * s, *y2 = y1 + 2 * s, *y3 = y2 + 2 * s;
        for (int q = 0; q < 2 * s; q += 2) {
            lanes pr = x0[q] + x2[q], pi = x0[q + 1] + x2[q + 1], mr = x0[q] - x2[q], mi = x0[q + 1] - x2[q + 1];
            lanes qr = x1[q] + x3[q], qi = x1[q + 1] + x3[q + 1], dr = x1[q] - x3[q], di = x1[q + 1] - x3[q + 1];
            y0[q] = pr + qr;
            y0[q + 1] = pi + qi;
            if (p == 0) { // turned by nothing
                y1[q] = mr + di;
                y1[q + 1] = mi - dr;
                y2[q] = pr - qr;
                y2[q + 1] = pi - qi;
                y3[q] = mr - di;
                y3[q + 1] = mi + dr;
                continue;
            }
            TURNED(y1 + q, w1, mr + di, mi - dr);
            TURNED(y2 + q, w2, pr - qr, pi - qi);
            TURNED(y3 + q, w3, mr - di, mi + dr);
        }
    }
}

INLINE void radix5(int n, int s, const double *twiddle, const lanes *x, lanes *y) {
    const double cos1 = 0.309016994374947424102293417182819059;  // cos(2π/5)
    const double cos2 = -0.809016994374947424102293417182819059; // cos(4π/5)
    const double sin1 = 0.951056516295153572116439333379382143;  // sin(2π/5)
    const double sin2 = 0.587785252292473129168705954639072769;  // sin(4π/5)
    int m = n / 5;
    for (int p = 0; p < m; p++) {
        const double *w1 = twiddle + 2 * p * s, *w2 = twiddle + 4 * p * s, *w3 = twiddle + 6 * p * s, *w4 = twiddle + 8 * p * s;
        const lanes *x0 = x + 2 * s * p, *x1 = x0 + 2 * s * m, *x2 = x1 + 2 * s * m, *x3 = x2 + 2 * s * m, *x4 = x3 + 2 * s * m;
        lanes *y0 = y + 2 * s * 5 * p, *y1 = y0 + 2 * s, *y2 = y1 + 2 * s, *y3 = y2 + 2 * s, *y4 = y3 + 2 * s;
        for (int q = 0; q < 2 * s; q += 2) {
            lanes s1r = x1[q] + x4[q], s1i = x1[q + 1] + x4[q + 1], d1r = x1[q] - x4[q], d1i = x1[q + 1] - x4[q + 1];
            lanes s2r = x2[q] + x3[q], s2i = x2[q + 1] + x3[q + 1], d2r = x2[q] - x3[q], d2i = x2[q + 1] - x3[q + 1];
            lanes m1r = x0[q] + cos1 * s1r + cos2 * s2r, m1i = x0[q + 1] + cos1 * s1i + cos2 * s2i;
            lanes m2r = x0[q] + cos2 * s1r + cos1 * s2r, m2i = x0[q + 1] + cos2 * s1i + cos1 * s2i;
            lanes t1r = sin1 * d1i + sin2 * d2i, t1i = -sin1 * d1r - sin2 * d2r;
            lanes t2r = sin2 * d1i - sin1 * d2i, t2i = -sin2 * d1r + sin1 * d2r;
            y0[q] = x0[q] + s1r + s2r;
            y0[q + 1] = x0[q + 1] + s1i + s2i;
            TURNED(y1 + q, w1, m1r + t1r, m1i + t1i);
            TURNED(y2 + q, w2, m2r + t2r, m2i + t2i);
            TURNED(y3 + q, w3, m2r - t2r, m2i - t2i);
            TURNED(y4 + q, w4, m1r - t1r, m1i - t1i);
        }
    }
}

// spectra writes |X[k]|², k to half, of the real signals whose even and odd
// samples' transform z is.
INLINE void spectra(int half, const double *split, const lanes *z, lanes *power) {
    lanes sum = z[0] + z[1], difference = z[0] - z[1];
    power[0] = sum * sum;
    power[half] = difference * difference;
    for (int k = 1; k <= half / 2; k++) {
        const lanes *a = z + 2 * k, *b = z + 2 * (half - k);
        lanes er = (a[0] + b[0]) / 2, ei = (a[1] - b[1]) / 2, odd[2];
        lanes re = a[0] - b[0], im = a[1] + b[1];
        TURNED(odd, split + 2 * k, re, im);
        lanes lr = er + odd[0], li = ei + odd[1], hr = er - odd[0], hi = ei - odd[1];
        power[k] = lr * lr + li * li;
        power[half - k] = hr * hr + hi * hi;
    }
}

// logarithms makes ln x, within 1e-11, of n vectors: x = 2^e·m, m by the nearest
// of the table's pairs (its inverse and its logarithm), the rest by its series.
// What is zero, denormal, negative or no number is log's.
INLINE void logarithms(const lanes *x, lanes *y, int n, const double *pairs) {
    wholes odd = {0};
    for (int i = 0; i < n; i++) {
        wholes bits = (wholes)x[i], exponent = bits >> 52, place = bits >> 43 & 510;
        odd |= (exponent < 1) | (exponent > 0x7fe);
        const double *p0 = pairs + place[0], *p1 = pairs + place[1], *p2 = pairs + place[2], *p3 = pairs + place[3];
        lanes m = (lanes)((bits & 0xfffffffffffff) | 0x3ff0000000000000);
        lanes r = m * (lanes){p0[0], p1[0], p2[0], p3[0]} - 1;
        // A whole number in the last bits of 2^52 is that much more than it.
        lanes e = (lanes)(exponent | 0x4330000000000000) - (0x1p52 + 1023);
        y[i] = e * 0x1.62e42fefa39efp-1 + (lanes){p0[1], p1[1], p2[1], p3[1]} + r * (1 - r * (0.5 - r * (1.0 / 3)));
    }
    if (!(odd[0] | odd[1] | odd[2] | odd[3])) return;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < EARSHOT_LANES; j++)
            if (!(x[i][j] >= 0x1p-1022 && x[i][j] <= 0x1.fffffffffffffp1023)) y[i][j] = log(x[i][j]);
}

INLINE void frames(const int32_t *shape, const double *tables, const float *samples, const int64_t *at, double floor,
                   double unit, double *scratch, float *out, const int64_t *row) {
    const int half = shape[0], window = shape[1], mels = shape[2], passes = shape[3];
    const int32_t *radices = shape + 4, *edges = radices + passes;
    const double *twiddle = tables + window, *split = twiddle + 2 * half, *rise = split + 2 * (half / 2 + 1);
    const double *fall = rise + half + 1, *pairs = fall + half + 1;
    const int size = 2 * half > mels ? 2 * half : mels;
    lanes *x = (lanes *)scratch, *y = x + size, *power = y + size;

    const float *s0 = samples + at[0], *s1 = samples + at[1], *s2 = samples + at[2], *s3 = samples + at[3];
    int i = 0;
    for (; i + EARSHOT_LANES <= window; i += EARSHOT_LANES) {
        lanes a = __builtin_convertvector(*(const singles *)(s0 + i), lanes), b = __builtin_convertvector(*(const singles *)(s1 + i), lanes);
        lanes c = __builtin_convertvector(*(const singles *)(s2 + i), lanes), d = __builtin_convertvector(*(const singles *)(s3 + i), lanes);
        lanes even = MIX(a, b, 0, 4, 2, 6), odd = MIX(a, b, 1, 5, 3, 7), evens = MIX(c, d, 0, 4, 2, 6), odds = MIX(c, d, 1, 5, 3, 7);
        x[i] = MIX(even, evens, 0, 1, 4, 5) * tables[i];
        x[i + 1] = MIX(odd, odds, 0, 1, 4, 5) * tables[i + 1];
        x[i + 2] = MIX(even, evens, 2, 3, 6, 7) * tables[i + 2];
        x[i + 3] = MIX(odd, odds, 2, 3, 6, 7) * tables[i + 3];
    }
    for (; i < window; i++) x[i] = (lanes){s0[i], s1[i], s2[i], s3[i]} * tables[i];
    for (; i < 2 * half; i++) x[i] = (lanes){0};

    for (int i = 0, n = half, s = 1; i < passes; n /= radices[i], s *= radices[i], i++) {
        switch (radices[i]) {
        case 2: radix2(n, s, twiddle, x, y); break;
        case 3: radix3(n, s, twiddle, x, y); break;
        case 4: radix4(n, s, twiddle, x, y); break;
        case 5: radix5(n, s, twiddle, x, y); break;
        }
        lanes *z = x;
        x = y;
        y = z;
    }
    spectra(half, split, x, power);

    // Between two corners each bin adds to the channel that rises there and to the one that falls.
    lanes *channels = y, *logs = x, rising = {0}, low = (lanes){0} + floor;
    for (int i = 0; i <= mels; i++) {
        lanes up = {0}, down = {0};
        for (int k = edges[i]; k < edges[i + 1]; k++) {
            up += rise[k] * power[k];
            down += fall[k] * power[k];
        }
        lanes channel = rising + down;
        rising = up;
        if (i == 0) continue;
        wholes below = unit == 0 ? (wholes){0} : channel < low;
        if (unit == 0) channel += low;
        channels[i - 1] = (lanes)(((wholes)channel & ~below) | ((wholes)low & below));
    }
    logarithms(channels, logs, mels, pairs);
    for (int i = 0; i < mels; i++) {
        lanes v = unit == 0 ? logs[i] : logs[i] * unit;
        for (int j = 0; j < EARSHOT_LANES; j++) out[row[j] + i] = (float)v[j];
    }
}

#define ARGUMENTS shape, tables, samples, at, floor, unit, scratch, out, row

AVX2 static void frames_avx2(const int32_t *shape, const double *tables, const float *samples, const int64_t *at,
                             double floor, double unit, double *scratch, float *out, const int64_t *row) {
    frames(ARGUMENTS);
}

void earshot_frames(const int32_t *shape, const double *tables, const float *samples, const int64_t *at, double floor,
                    double unit, double *scratch, float *out, const int64_t *row, int plain) {
    if (HAS_AVX2 && !plain) {
        frames_avx2(ARGUMENTS);
    } else {
        frames(ARGUMENTS);
    }
}
