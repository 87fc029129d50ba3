// Every operation rounds by itself, so that all processors give the same bits:
// with -std=c11, gcc fuses none either.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define INLINE static inline __attribute__((always_inline))

// AVX2 is before a function that the compiler makes for processors that have it,
// HAS_AVX2 whether this one does.
#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))
#define HAS_AVX2 __builtin_cpu_supports("avx2")
#else
#define AVX2
#define HAS_AVX2 0
#endif
