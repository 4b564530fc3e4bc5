// Margins and squared norms of triplets, and their gradients, without copying rows.

#include "common.h"

namespace {

template <typename Real>
struct Table {
    const Real* data;
    const Index* rows;  // the rows in use, or null for all rows in order
    Index d;

    INLINE const Real* operator[](Index position) const { return data + (rows ? rows[position] : position) * d; }
};

// B triplets. Among the items, the positives are at positions 0..B-1 and the negatives at B..2B-1.
template <typename Real>
struct Triplets {
    Table<Real> users, items;
    Index batch, d;

    INLINE void fetch(Index b) const {
        fetch_row(users[b], d);
        fetch_row(items[b], d);
        fetch_row(items[batch + b], d);
    }
};

// margins[b] = u (n - p); squares[0..2][b] = |u|², |p|², |n|².
template <typename Real>
PER_INSTRUCTION_SET void margins_of(const Triplets<Real>& t, Real* margins, Real* squares, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
        t.fetch(std::min(b + AHEAD, end - 1));
        const Real *u = t.users[b], *p = t.items[b], *n = t.items[t.batch + b];
        Real margin = 0, user_square = 0, positive_square = 0, negative_square = 0;
#pragma omp simd reduction(+ : margin, user_square, positive_square, negative_square)
        for (Index j = 0; j < t.d; ++j) {
            margin += u[j] * (n[j] - p[j]);
            user_square += u[j] * u[j];
            positive_square += p[j] * p[j];
            negative_square += n[j] * n[j];
        }
        margins[b] = margin;
        squares[b] = user_square;
        squares[t.batch + b] = positive_square;
        squares[2 * t.batch + b] = negative_square;
    }
}

// weights[b] is the gradient of a margin, scales[0..2] that of ½|u|², ½|p|², ½|n|².
template <typename Real>
struct Gradient {
    Triplets<Real> triplets;
    const Real *weights, *scales;

    INLINE void add_user(Index b, Real* out) const {
        const Triplets<Real>& t = triplets;
        const Real *u = t.users[b], *p = t.items[b], *n = t.items[t.batch + b];
        for (Index j = 0; j < t.d; ++j) out[j] += weights[b] * (n[j] - p[j]) + scales[0] * u[j];
    }

    INLINE void add_item(Index position, Real* out) const {
        const Triplets<Real>& t = triplets;
        const bool negative = position >= t.batch;
        const Index b = negative ? position - t.batch : position;
        const Real weight = negative ? weights[b] : -weights[b], scale = scales[negative ? 2 : 1];
        const Real *u = t.users[b], *i = t.items[position];
        for (Index j = 0; j < t.d; ++j) out[j] += weight * u[j] + scale * i[j];
    }
};

// Rows begin..end-1 of the gradient: rows of the table if positions are given, else rows in the order of the batch.
template <typename Real>
PER_INSTRUCTION_SET void gradient_of_rows(const Gradient<Real>& g, bool of_items, const Positions* positions, Real* out,
                                          Index begin, Index end) {
    const Index d = g.triplets.d;
    for (Index row = begin; row < end; ++row) {
        const Index ahead = std::min(row + AHEAD, end - 1), soon = positions ? positions->first[ahead] : ahead;
        if (soon >= 0) g.triplets.fetch(soon % g.triplets.batch);
        Real* sum = out + row * d;
        std::fill(sum, sum + d, Real{0});
        for (Index position = positions ? positions->first[row] : row; position >= 0; position = positions ? positions->next[position] : -1) {
            if (of_items) {
                g.add_item(position, sum);
            } else {
                g.add_user(position, sum);
            }
        }
    }
}

template <typename Real>
void gradient(const Gradient<Real>& g, bool of_items, Index table_rows, Real* out) {
    const Triplets<Real>& t = g.triplets;
    const Index read = of_items ? 2 * t.batch : t.batch;
    if (!table_rows) {
        in_ranges(read, t.d, [&](Index begin, Index end) { gradient_of_rows(g, of_items, nullptr, out, begin, end); });
        return;
    }
    const Positions positions((of_items ? t.items : t.users).rows, read, table_rows);
    in_ranges(table_rows, t.d, [&](Index begin, Index end) {
        gradient_of_rows(g, of_items, &positions, out, begin, end);
    });
}

}  // namespace

#define EXPORT(Real)                                                                                                 \
    extern "C" int triplet_margins_##Real(const Real* users, const Index* user_rows, Index U, const Real* items,     \
                                          const Index* item_rows, Index I, Index batch, Index d, Real* margins,      \
                                          Real* squares) {                                                           \
        if (!within(user_rows, batch, U) || !within(item_rows, 2 * batch, I)) return 0;                              \
        const Triplets<Real> t{{users, user_rows, d}, {items, item_rows, d}, batch, d};                              \
        in_ranges(batch, d, [&](Index begin, Index end) { margins_of(t, margins, squares, begin, end); });           \
        return 1;                                                                                                    \
    }                                                                                                                \
    extern "C" int triplet_gradient_##Real(const Real* users, const Index* user_rows, Index U, const Real* items,    \
                                           const Index* item_rows, Index I, Index batch, Index d,                    \
                                           const Real* weights, const Real* scales, int of_items, Index table_rows,  \
                                           Real* out) {                                                              \
        if (!within(user_rows, batch, U) || !within(item_rows, 2 * batch, I)) return 0;                              \
        const Triplets<Real> t{{users, user_rows, d}, {items, item_rows, d}, batch, d};                              \
        gradient(Gradient<Real>{t, weights, scales}, of_items, table_rows, out);                                     \
        return 1;                                                                                                    \
    }

EXPORT(float)
EXPORT(double)
