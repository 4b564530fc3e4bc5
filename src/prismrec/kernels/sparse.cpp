// Products of a sparse matrix with threads that have as much to do. Perhaps only some rows of the result are wanted, or
// only some rows of the operand are there.

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

// sum += value * row
template <int WIDTH, typename Real>
INLINE void add_row(Real* sum, Real value, const Real* row) {
#pragma omp simd
    for (int c = 0; c < WIDTH; ++c) sum[c] += value * row[c];
}

// Columns j..j+WIDTH-1 of scale (base + A x), for the wanted rows begin..end-1. PARTLY: some rows of the operand are not
// there, and `kept` has room for all entries of a row.
template <int WIDTH, bool PARTLY, typename Real>
INLINE void product_of_columns(const Product<Real>& p, Index j, Index* kept, Index begin, Index end) {
    const Real* x = p.x + j;
    for (Index t = begin; t < end; ++t) {
        const Index row = p.rows ? p.rows[t] : t, first = p.offsets[row], last = p.offsets[row + 1];
        Real sum[WIDTH];
#pragma omp simd
        for (int c = 0; c < WIDTH; ++c) sum[c] = p.base ? p.base[row * p.d + j + c] : Real{0};
        if (PARTLY) {
            Index count = 0;
            for (Index e = first; e < last; ++e) {  // without a branch, which could not be predicted
                const Index place = p.places[p.indices[e]];
                kept[count] = place;
                kept[count + 1] = e;
                count += place >= 0 ? 2 : 0;
            }
            for (Index k = 0; k < count; k += 2) {
                FETCH(x + kept[std::min(k + 2 * AHEAD, count - 2)] * p.d);
                add_row<WIDTH>(sum, p.values[kept[k + 1]], x + kept[k] * p.d);
            }
        } else {
            const Index farthest = (p.rows ? last : p.offsets[end]) - 1;  // in a later row where these come next
            for (Index e = first; e < last; ++e) {
                FETCH(x + p.indices[std::min(e + AHEAD, farthest)] * p.d);  // the lines behind it follow by themselves
                add_row<WIDTH>(sum, p.values[e], x + p.indices[e] * p.d);
            }
        }
#pragma omp simd
        for (int c = 0; c < WIDTH; ++c) p.out[t * p.d + j + c] = p.scale * sum[c];
    }
}

// As many columns at once as stay in registers.
template <bool PARTLY, typename Real>
PER_INSTRUCTION_SET void product_of_rows(const Product<Real>& p, Index* kept, Index begin, Index end) {
    Index j = 0;
    for (; j + 128 <= p.d; j += 128) product_of_columns<128, PARTLY>(p, j, kept, begin, end);
    for (; j + 64 <= p.d; j += 64) product_of_columns<64, PARTLY>(p, j, kept, begin, end);
    for (; j + 32 <= p.d; j += 32) product_of_columns<32, PARTLY>(p, j, kept, begin, end);
    for (; j + 16 <= p.d; j += 16) product_of_columns<16, PARTLY>(p, j, kept, begin, end);
    for (; j + 4 <= p.d; j += 4) product_of_columns<4, PARTLY>(p, j, kept, begin, end);
    for (; j < p.d; ++j) product_of_columns<1, PARTLY>(p, j, kept, begin, end);
}

// In parts of as many rows and entries: some rows have thousands of these.
template <typename Real>
void product(const Product<Real>& p, Index n) {
    std::vector<Index> ends(p.rows ? n + 1 : 0);  // entries of the wanted rows up to each of them
    Index longest = 0;
    for (Index t = 0; (p.rows || p.places) && t < n; ++t) {
        const Index row = p.rows ? p.rows[t] : t, length = p.offsets[row + 1] - p.offsets[row];
        if (p.rows) ends[t + 1] = ends[t] + length;
        longest = std::max(longest, length);
    }
    const auto work_before = [&](Index t) { return t + (p.rows ? ends[t] : p.offsets[t]); };
    const auto row_at = [&](Index work) {
        Index low = 0, high = n;
        while (low < high) {
            const Index middle = (low + high) / 2;
            if (work_before(middle) < work) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    };
    in_ranges(work_before(n), p.d, [&](Index begin, Index end) {
        if (!p.places) return product_of_rows<false>(p, nullptr, row_at(begin), row_at(end));
        std::vector<Index> kept(2 * longest + 2);
        product_of_rows<true>(p, kept.data(), row_at(begin), row_at(end));
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
