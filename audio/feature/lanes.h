#include <stdint.h>

// EARSHOT_LANES is how many frames one call makes.
#define EARSHOT_LANES 4

// earshot_frames makes the log-mel of EARSHOT_LANES frames, one in each lane of
// its vectors: what a lane holds never meets another's, so that a frame is the
// same bits whichever frames are beside it, and on every processor.
//
// shape: half of the FFT, window, mels, how many radices, the radices, then the
// mels+2 edges. tables: window, twiddle, split, rise, fall, pairs of a logarithm
// (see plan.go). samples + at[i] is where frame i begins, out + row[i] where its
// mels go. Where unit is 0, floor is added to the power; else the power is
// raised to it and the natural logarithm multiplied by unit. scratch: see
// workspace in plan.go. plain: without AVX2, for the tests.
void earshot_frames(const int32_t *shape, const double *tables, const float *samples, const int64_t *at, double floor,
                    double unit, double *scratch, float *out, const int64_t *row, int plain);
