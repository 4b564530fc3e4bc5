// Margins, squares and their gradients of triplets whose rows stay where they are.

#include "common.h"

namespace {

template <typename Real>
struct Table {
    const Real* data;
    const Index* rows;  // which of its rows are meant, or null for all in their order
    Index d;

    INLINE const Real* operator[](Index place) const { return data + (rows ? rows[place] : place) * d; }
};

// B of them: users at places 0..B-1, positives at 0..B-1 and negatives at B..2B-1 of the items.
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

// Whether all of r row numbers are those of a table of n rows.
bool within(const Index* rows, Index r, Index n) {
    return !rows || std::all_of(rows, rows + r, [n](Index row) { return 0 <= row && row < n; });
}

// margins[b] = u (n - p); squares[0..2][b] = |u|², |p|², |n|².
template <typename Real>
PER_INSTRUCTION_SET void rank(const Triplets<Real>& t, Real* margins, Real* squares, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
        t.fetch(std::min(b + AHEAD, end - 1));
        const Real *u = t.users[b], *p = t.items[b], *n = t.items[t.batch + b];
        Real margin = 0, of_user = 0, of_positive = 0, of_negative = 0;
#pragma omp simd reduction(+ : margin, of_user, of_positive, of_negative)
        for (Index j = 0; j < t.d; ++j) {
            margin += u[j] * (n[j] - p[j]);
            of_user += u[j] * u[j];
            of_positive += p[j] * p[j];
            of_negative += n[j] * n[j];
        }
        margins[b] = margin;
        squares[b] = of_user;
        squares[t.batch + b] = of_positive;
        squares[2 * t.batch + b] = of_negative;
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

    INLINE void add_item(Index place, Real* out) const {
        const Triplets<Real>& t = triplets;
        const bool negative = place >= t.batch;
        const Index b = negative ? place - t.batch : place;
        const Real weight = negative ? weights[b] : -weights[b], scale = scales[negative ? 2 : 1];
        const Real *u = t.users[b], *i = t.items[place];
        for (Index j = 0; j < t.d; ++j) out[j] += weight * u[j] + scale * i[j];
    }
};

// Rows begin..end-1 of the gradient: of the table's where places are given, else of the batch's as they are read.
template <typename Real>
PER_INSTRUCTION_SET void gradient_of_rows(const Gradient<Real>& g, bool of_items, const Places* places, Real* out,
                                          Index begin, Index end) {
    const Index d = g.triplets.d;
    for (Index row = begin; row < end; ++row) {
        const Index ahead = std::min(row + AHEAD, end - 1), soon = places ? places->first[ahead] : ahead;
        if (soon >= 0) g.triplets.fetch(soon % g.triplets.batch);
        Real* sum = out + row * d;
        std::fill(sum, sum + d, Real{0});
        for (Index place = places ? places->first[row] : row; place >= 0; place = places ? places->next[place] : -1) {
            if (of_items) {
                g.add_item(place, sum);
            } else {
                g.add_user(place, sum);
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
    const Places places((of_items ? t.items : t.users).rows, read, table_rows);
    in_ranges(table_rows, t.d, [&](Index begin, Index end) {
        gradient_of_rows(g, of_items, &places, out, begin, end);
    });
}

}  // namespace

#define EXPORT(Real)                                                                                                  \
    extern "C" int rank_##Real(const Real* users, const Index* user_rows, Index U, const Real* items,                 \
                               const Index* item_rows, Index I, Index batch, Index d, Real* margins, Real* squares) { \
        if (!within(user_rows, batch, U) || !within(item_rows, 2 * batch, I)) return 0;                               \
        const Triplets<Real> t{{users, user_rows, d}, {items, item_rows, d}, batch, d};                               \
        in_ranges(batch, d, [&](Index begin, Index end) { rank(t, margins, squares, begin, end); });                  \
        return 1;                                                                                                     \
    }                                                                                                                 \
    extern "C" void rank_gradient_##Real(const Real* users, const Index* user_rows, const Real* items,                \
                                         const Index* item_rows, Index batch, Index d, const Real* weights,           \
                                         const Real* scales, int of_items, Index table_rows, Real* out) {             \
        const Triplets<Real> t{{users, user_rows, d}, {items, item_rows, d}, batch, d};                               \
        gradient(Gradient<Real>{t, weights, scales}, of_items, table_rows, out);                                      \
    }

EXPORT(float)
EXPORT(double)
