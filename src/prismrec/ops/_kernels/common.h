// Helpers shared by the kernels. All matrices are row-major and contiguous; rows and positions count from 0.
//
// A parallel region only distributes ranges: the compiler makes one version per instruction set of a function, but not
// of code inside a region, so functions do the work. The threads are those of PyTorch: the library links no OpenMP
// runtime and uses the one that PyTorch has loaded.
//
// Every exported function returns 1, or 0 if a row number is out of range; then it has written nothing.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#ifdef _OPENMP
extern "C" int omp_get_num_threads(void);
extern "C" int omp_get_thread_num(void);
#endif

#ifdef PER_INSTRUCTION_SET  // set empty by `make sanitize`: the clones are resolved before a sanitizer starts
#elif defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
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

constexpr Index AHEAD = 8;              // how many rows ahead to prefetch
constexpr Index LINE = 64;              // bytes of a cache line
constexpr Index ALONE_UP_TO = 1 << 14;  // below this many numbers, starting other threads takes longer than the work

// Divide n rows of d numbers among the threads; each calls run(begin, end).
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

// Whether all r row numbers are within 0..n-1; a null pointer stands for all rows in order.
inline bool within(const Index* rows, Index r, Index n) {
    return !rows || std::all_of(rows, rows + r, [n](Index row) { return 0 <= row && row < n; });
}

// For each row of a table, the positions 0..r-1 at which a list of rows names it, in ascending order: first[row], then
// next[position], until -1. The order is fixed, so sums along it are reproducible.
struct Positions {
    std::vector<std::int32_t> first, next;

    Positions(const Index* rows, Index r, Index n) : first(n, -1), next(r) {
        for (Index position = r - 1; position >= 0; --position) {
            next[position] = first[rows[position]];
            first[rows[position]] = static_cast<std::int32_t>(position);
        }
    }
};

}  // namespace
