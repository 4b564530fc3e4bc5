// What __init__.py describes, compiled. All matrices are row-major and contiguous, rows and places count from 0.
//
// A parallel region only hands out ranges. What works on them is compiled once per instruction set, which code inside
// a region would not be. The threads are PyTorch's own: this library is linked against no OpenMP runtime, and finds
// the one that PyTorch has loaded.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
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

// --- rankings of triplets ---------------------------------------------------------------------------------------

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

// --- Adam -------------------------------------------------------------------------------------------------------

// The weights of a table, its moments, and the constants of a step; the arithmetic is that of PyTorch's fused Adam.
template <typename Real>
struct Adam {
    Real *weights, *means, *squares;
    Index d;
    Real keep_mean, add_square, keep_square, epsilon, weight_decay, step_size, inverse_root;

    INLINE void move(Index row, const Real* gradient) const {
        Real *weight = weights + row * d, *mean = means + row * d, *square = squares + row * d;
        for (Index j = 0; j < d; ++j) {
            const Real g = (gradient ? gradient[j] : Real{0}) + weight_decay * weight[j];
            mean[j] += keep_mean * (g - mean[j]);
            square[j] = keep_square * square[j] + add_square * g * g;
            weight[j] -= step_size * mean[j] / (std::sqrt(square[j]) * inverse_root + epsilon);
        }
    }
};

template <typename Real>
PER_INSTRUCTION_SET void move_rows(const Adam<Real>& adam, const Real* gradients, const Places& places, Real* sum,
                                   Index begin, Index end) {
    const Index d = adam.d;
    for (Index row = begin; row < end; ++row) {
        const Index soon = places.first[std::min(row + AHEAD, end - 1)], place = places.first[row];
        if (soon >= 0) fetch_row(gradients + soon * d, d);
        if (place < 0) {
            adam.move(row, nullptr);
            continue;
        }
        const Real* gradient = gradients + place * d;
        if (places.next[place] >= 0) {
            std::copy(gradient, gradient + d, sum);
            for (Index more = places.next[place]; more >= 0; more = places.next[more])
                for (Index j = 0; j < d; ++j) sum[j] += gradients[more * d + j];
            gradient = sum;
        }
        adam.move(row, gradient);
    }
}

template <typename Real>
void move(const Adam<Real>& adam, Index n, const Index* rows, const Real* gradients, Index r) {
    const Places places(rows, r, n);
    in_ranges(n, adam.d, [&](Index begin, Index end) {
        std::vector<Real> sum(adam.d);
        move_rows(adam, gradients, places, sum.data(), begin, end);
    });
}

// --- the k best -------------------------------------------------------------------------------------------------

// Ascending keys are descending scores, and of equal scores ascending item numbers: selection.py.
using Key = std::int64_t;

constexpr Key NO_ITEM = Key{0x7F800000} << 32;  // of score -inf

std::int32_t swap_order(std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7FFFFFFF); }

Key key_of(float score, Index item) {
    const float negated = 0.0f - score;
    std::int32_t bits;
    std::memcpy(&bits, &negated, sizeof bits);
    return static_cast<Key>(static_cast<std::uint64_t>(static_cast<std::uint32_t>(swap_order(bits))) << 32) | item;
}

float score_of(Key key) {
    const std::int32_t bits = swap_order(static_cast<std::int32_t>(key >> 32));
    float negated;
    std::memcpy(&negated, &bits, sizeof negated);
    return 0.0f - negated;
}

// Room for one row's work.
struct Selection {
    std::vector<float> best;           // of each group of items
    std::vector<unsigned char> above;  // whether an item reaches the bound; 8 bytes too many
    std::vector<Key> found;

    Selection(Index n, Index k) : best(std::min(2 * k, n)), above(n + 8), found(n + k) {}
};

// What at least k of the scores reach: the k-th best of the maxima of k or more groups of them.
INLINE float bound_of(const float* scores, Index n, Index k, std::vector<float>& best) {
    const Index groups = static_cast<Index>(best.size());
    if (groups < k) return std::numeric_limits<float>::lowest();
    float* most = best.data();
    std::copy(scores, scores + groups, most);
    for (Index start = groups; start < n; start += groups) {
        const float* part = scores + start;
        const Index width = std::min(groups, n - start);
        for (Index j = 0; j < width; ++j) most[j] = part[j] > most[j] ? part[j] : most[j];
    }
    std::nth_element(most, most + (groups - k), most + groups);
    return std::max(most[groups - k], std::numeric_limits<float>::lowest());  // -inf is no score
}

template <typename Score>
PER_INSTRUCTION_SET void best_of_rows(const Score* scores, Index rows, Index n, Index first, Index k, Key* keys) {
    Selection room(n, k);
    unsigned char* above = room.above.data();
    for (Index row = 0; row < rows; ++row, scores += n, keys += k) {
        Key* end = std::copy_if(keys, keys + k, room.found.data(), [](Key key) { return key != NO_ITEM; });
        float bound = bound_of(scores, n, k, room.best);
        if (end - room.found.data() == k) bound = std::max(bound, score_of(keys[k - 1]));
        for (Index j = 0; j < n; ++j) above[j] = scores[j] >= bound;
        for (Index start = 0; start < n; start += 8) {
            std::uint64_t any;
            std::memcpy(&any, above + start, sizeof any);
            if (!any) continue;
            for (Index j = start; j < std::min(start + 8, n); ++j)
                if (above[j]) *end++ = key_of(scores[j], first + j);
        }
        Key *begin = room.found.data(), *kept = std::min(begin + k, end);
        if (end - begin > 2 * k) std::nth_element(begin, kept, end);  // many equals
        std::sort(begin, end - begin > 2 * k ? kept : end);
        std::fill(std::copy(begin, kept, keys), keys + k, NO_ITEM);
    }
}

}  // namespace

extern "C" void best_keys_float(const float* scores, Index rows, Index n, Index first, Index k, Key* keys) {
    best_of_rows(scores, rows, n, first, k, keys);
}

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
    }                                                                                                                 \
    extern "C" void adam_##Real(Real* weights, Real* means, Real* squares, Index n, Index d, const Index* rows,       \
                                const Real* gradients, Index r, double beta1, double beta2, double epsilon,           \
                                double weight_decay, double step_size, double inverse_root) {                                 \
        const Adam<Real> adam{weights,   means,           squares,     d,                  Real(1 - beta1),           \
                              Real(1 - beta2), Real(beta2), Real(epsilon), Real(weight_decay), Real(step_size),       \
                              Real(inverse_root)};                                                                            \
        move(adam, n, rows, gradients, r);                                                                            \
    }

EXPORT(float)
EXPORT(double)
