// What the kernels share. All matrices are row-major and contiguous, rows and places count from 0.
//
// A parallel region only hands out ranges. What works on them is compiled once per instruction set, which code inside
// a region would not be. The threads are PyTorch's own: the library is linked against no OpenMP runtime, and finds the
// one that PyTorch has loaded.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#ifdef _OPENMP
extern "C" int omp_get_num_threads(void);
extern "C" int omp_get_thread_num(void);
#endif

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define PER_INSTRUCTION_SET __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PER_INSTRUCTION_SET
#endif
#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define FETCH(address) __builtin_prefetch(address)
#else
#define INLINE inline
#define FETCH(address)
#endif

namespace {

using Index = std::int64_t;

constexpr Index AHEAD = 8;              // rows between the one that is fetched and the one that is read
constexpr Index LINE = 64;              // bytes that a fetch brings
constexpr Index ALONE_UP_TO = 1 << 14;  // numbers that one thread is through with before others have started

template <typename Run>
void in_ranges(Index n, Index d, Run run) {
#ifdef _OPENMP
#pragma omp parallel if (n * d > ALONE_UP_TO)
    {
        const Index threads = omp_get_num_threads(), thread = omp_get_thread_num();
        run(n * thread / threads, n * (thread + 1) / threads);
    }
#else
    run(Index{0}, n);
#endif
}

template <typename Real>
INLINE void fetch_row(const Real* row, Index d) {
    const char* bytes = reinterpret_cast<const char*>(row);
    for (Index byte = 0; byte < d * Index{sizeof(Real)}; byte += LINE) FETCH(bytes + byte);
}

// For each row of a table the places 0..r-1 where a list of rows names it, ascending: first[row], then next[place],
// until -1. Whoever adds up along them adds in a fixed order.
struct Places {
    std::vector<std::int32_t> first, next;

    Places(const Index* rows, Index r, Index n) : first(n, -1), next(r) {
        for (Index place = r - 1; place >= 0; --place) {
            next[place] = first[rows[place]];
            first[rows[place]] = static_cast<std::int32_t>(place);
        }
    }
};

}  // namespace
