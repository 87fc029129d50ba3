#include <stdint.h>

// What is done to an item as a whole. x: [frames, mels] row by row, or n values.

// earshot_highest is the highest of x that is a number; -Inf if there is none.
float earshot_highest(const float *x, int64_t n);

// earshot_raise raises what is below floor to it, then makes (x + add)·factor.
// What is no number stays so.
void earshot_raise(float *x, int64_t n, float floor, float add, float factor);

// earshot_sums adds each channel's values to sums, or its squared distances from
// mean where that is given. sums and mean: [mels].
void earshot_sums(const float *x, int64_t frames, int mels, const double *mean, double *sums);

// earshot_scale makes (x - mean)·scale, channel by channel. mean and scale: [mels].
void earshot_scale(float *x, int64_t frames, int mels, const double *mean, const double *scale);
