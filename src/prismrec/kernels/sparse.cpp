// Products of a sparse matrix where only some rows of the result are wanted, or only some rows of the operand are there.

#include "common.h"

namespace {

template <typename Real>
struct Product {
    const std::int32_t *offsets, *indices;  // A, row by row
    const Real* values;
    const Index* rows;           // of A that are wanted, or null for all
    const std::int32_t* places;  // where each row of the operand is in x, -1 where it is zero; or null for all
    const Real *x, *base;        // base, as many rows as A, or null
    Real scale;
    Index d;
    Real* out;
};

// Columns j..j+WIDTH-1 of scale (base + A x), for the wanted rows begin..end-1. `kept` has room for all entries of a row.
template <int WIDTH, typename Real>
INLINE void product_of_columns(const Product<Real>& p, Index j, Index* kept, Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
        const Index row = p.rows ? p.rows[t] : t, first = p.offsets[row], last = p.offsets[row + 1];
        Index count = 0;
        for (Index e = first; e < last; ++e) {  // without a branch, which could not be predicted
            const Index place = p.places ? p.places[p.indices[e]] : p.indices[e];
            kept[count] = place;
            kept[count + 1] = e;
            count += place >= 0 ? 2 : 0;
        }
        Real sum[WIDTH];
        for (int c = 0; c < WIDTH; ++c) sum[c] = p.base ? p.base[row * p.d + j + c] : Real{0};
        for (Index k = 0; k < count; k += 2) {
            fetch_row(p.x + kept[std::min(k + 2 * AHEAD, count - 2)] * p.d + j, WIDTH);
            const Real value = p.values[kept[k + 1]];
            const Real* from = p.x + kept[k] * p.d + j;
            for (int c = 0; c < WIDTH; ++c) sum[c] += value * from[c];
        }
        for (int c = 0; c < WIDTH; ++c) p.out[t * p.d + j + c] = p.scale * sum[c];
    }
}

template <typename Real>
PER_INSTRUCTION_SET void product_of_rows(const Product<Real>& p, Index* kept, Index begin, Index end) {
    constexpr int MANY = 64, SOME = 16, FEW = 4;  // as many columns at once as stay in registers
    Index j = 0;
    for (; j + MANY <= p.d; j += MANY) product_of_columns<MANY>(p, j, kept, begin, end);
    for (; j + SOME <= p.d; j += SOME) product_of_columns<SOME>(p, j, kept, begin, end);
    for (; j + FEW <= p.d; j += FEW) product_of_columns<FEW>(p, j, kept, begin, end);
    for (; j < p.d; ++j) product_of_columns<1>(p, j, kept, begin, end);
}

// In parts of as many entries: some rows have thousands of them.
template <typename Real>
void product(const Product<Real>& p, Index n) {
    std::vector<Index> ends(n + 1, 0);
    Index longest = 0;
    for (Index t = 0; t < n; ++t) {
        const Index row = p.rows ? p.rows[t] : t, length = p.offsets[row + 1] - p.offsets[row];
        ends[t + 1] = ends[t] + length + 1;
        longest = std::max(longest, length);
    }
    const auto row_at = [&](Index work) { return std::lower_bound(ends.begin(), ends.end(), work) - ends.begin(); };
    in_ranges(ends[n], p.d, [&](Index begin, Index end) {
        std::vector<Index> kept(2 * longest + 2);
        product_of_rows(p, kept.data(), row_at(begin), row_at(end));
    });
}

}  // namespace

#define EXPORT(Real)                                                                                               \
    extern "C" void product_##Real(const std::int32_t* offsets, const std::int32_t* indices, const Real* values,   \
                                   const Index* rows, Index n, const std::int32_t* places, const Real* x,          \
                                   const Real* base, double scale, Index d, Real* out) {                           \
        product(Product<Real>{offsets, indices, values, rows, places, x, base, Real(scale), d, out}, n);           \
    }

EXPORT(float)
EXPORT(double)
