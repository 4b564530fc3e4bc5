// Sparse products that divide the entries evenly among threads. A call may request some rows of the result alone, and
// may pass only the nonzero rows of the operand.

#include "common.h"

namespace {

template <typename Real>
struct Product {
    const std::int32_t *offsets, *indices;  // A by rows
    const Real* values;
    const Index* rows;           // rows of A to compute, or null for all
    const std::int32_t* positions;  // row of x for each column of A, -1 for a zero row; or null if x is complete
    const Real *x, *base;        // base has as many rows as A, or is null
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

// Columns j..j+WIDTH-1 of scale (base + A x), for rows begin..end-1 of the result. With PARTLY, x stores only nonzero
// rows, and `kept` has room for all entries of a row.
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
            for (Index e = first; e < last; ++e) {  // no branch, because it would be unpredictable
                const Index position = p.positions[p.indices[e]];
                kept[count] = position;
                kept[count + 1] = e;
                count += position >= 0 ? 2 : 0;
            }
            for (Index k = 0; k < count; k += 2) {
                FETCH(x + kept[std::min(k + 2 * AHEAD, count - 2)] * p.d);
                add_row<WIDTH>(sum, p.values[kept[k + 1]], x + kept[k] * p.d);
            }
        } else {
            const Index farthest = (p.rows ? last : p.offsets[end]) - 1;  // may lie in a later row if rows are consecutive
            for (Index e = first; e < last; ++e) {
                FETCH(x + p.indices[std::min(e + AHEAD, farthest)] * p.d);  // hardware prefetches the lines that follow
                add_row<WIDTH>(sum, p.values[e], x + p.indices[e] * p.d);
            }
        }
#pragma omp simd
        for (int c = 0; c < WIDTH; ++c) p.out[t * p.d + j + c] = p.scale * sum[c];
    }
}

// All columns of rows begin..end-1, as many at a time as fit in registers.
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

// Divide the rows so that all threads get about the same number of entries; some rows have thousands.
template <typename Real>
void product(const Product<Real>& p, Index n) {
    std::vector<Index> ends(p.rows ? n + 1 : 0);  // running number of entries of the requested rows
    Index longest = 0;
    for (Index t = 0; (p.rows || p.positions) && t < n; ++t) {
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
        if (!p.positions) return product_of_rows<false>(p, nullptr, row_at(begin), row_at(end));
        std::vector<Index> kept(2 * longest + 2);
        product_of_rows<true>(p, kept.data(), row_at(begin), row_at(end));
    });
}

}  // namespace

#define EXPORT(Real)                                                                                                 \
    extern "C" int product_##Real(const std::int32_t* offsets, const std::int32_t* indices, const Real* values,      \
                                  Index table_rows, const Index* rows, Index n, const std::int32_t* positions,       \
                                  Index columns, const Real* x, Index x_rows, const Real* base, double scale,        \
                                  Index d, Real* out) {                                                              \
        const auto exists = [x_rows](std::int32_t position) { return -1 <= position && position < x_rows; };         \
        if (!within(rows, n, table_rows)) return 0;                                                                  \
        if (positions && !std::all_of(positions, positions + columns, exists)) return 0;                             \
        product(Product<Real>{offsets, indices, values, rows, positions, x, base, Real(scale), d, out}, n);          \
        return 1;                                                                                                    \
    }

EXPORT(float)
EXPORT(double)
