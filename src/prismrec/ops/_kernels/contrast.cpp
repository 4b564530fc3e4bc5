// The sums of InfoNCE for narrow rows. Similarities are computed, exponentiated and used while they are in a core's cache.

#include <cmath>
#include <cstring>

#include "common.h"

namespace {

constexpr Index LANES = 16;  // candidates at once
constexpr int TOGETHER = 4;  // anchors that share each read of the candidates

// e^x for |x| < 80: 2^n e^r with n the integer nearest to x / ln 2, and a polynomial for |r| ≤ ½ ln 2 (Cephes).
INLINE float exponential(float x) {
    constexpr float ROUND = 12582912.0f;  // 1.5 · 2^23: a sum with it has the nearest integer in its low bits
    const float rounded = x * 1.44269504f + ROUND, n = rounded - ROUND;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    std::uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    bits = (bits << 23) + 0x3F800000u;
    float power;  // 2^n
    std::memcpy(&power, &bits, sizeof power);
    return power * (p * r * r + r + 1.0f);
}

INLINE double exponential(double x) { return std::exp(x); }

// Arguments and results of `contrast` in __init__.py, with e_ac = exp(<x_a, y_c>).
template <typename Real>
struct Contrast {
    const Real *anchors, *columns, *counts, *masses;  // x [A, d], yᵀ [d, C], n [C], m [A]
    const std::int32_t* excluded;                     // the candidate that an anchor ignores, or -1 [A]
    const Real* others;                               // a further term of Z [A]
    Index C;
    Real *partitions, *sums;  // Z_a = others_a + Σ_c n_c e_ac [A], Σ_c n_c e_ac y_c [A, d]
};

// The sums for anchors first..first+TOGETHER-1. Adds n_c Σ_a m_a / Z_a e_ac x_a to pulls [d, C]; kept [TOGETHER, C] is
// scratch memory for n_c e_ac.
template <int D, typename Real>
INLINE void contrast_together(const Contrast<Real>& t, Index first, Real* kept, Real* pulls) {
    const Index C = t.C;
    const Real* x = t.anchors + first * D;
    Real sums[TOGETHER][D + 1][LANES] = {}, others[LANES];
    for (Index c = 0; c < C; c += LANES) {
        for (int a = 0; a < TOGETHER; ++a) {
            Real e[LANES] = {};
            for (int j = 0; j < D; ++j)
                for (int l = 0; l < LANES; ++l) e[l] += x[a * D + j] * t.columns[j * C + c + l];
            const Real* counts = t.counts + c;
            const Index excluded = t.excluded[first + a] - c;
            if (0 <= excluded && excluded < LANES) {
                std::copy(counts, counts + LANES, others);
                others[excluded] = 0;
                counts = others;
            }
            for (int l = 0; l < LANES; ++l) e[l] = counts[l] * exponential(e[l]);
            for (int l = 0; l < LANES; ++l) kept[a * C + c + l] = e[l];
            for (int j = 0; j < D; ++j)
                for (int l = 0; l < LANES; ++l) sums[a][j][l] += e[l] * t.columns[j * C + c + l];
            for (int l = 0; l < LANES; ++l) sums[a][D][l] += e[l];
        }
    }
    Real weights[TOGETHER][D];
    for (int a = 0; a < TOGETHER; ++a) {
        const auto total = [&](int j) {
            Real sum = 0;
            for (int l = 0; l < LANES; ++l) sum += sums[a][j][l];
            return sum;
        };
        const Real partition = t.others[first + a] + total(D);
        t.partitions[first + a] = partition;
        for (int j = 0; j < D; ++j) t.sums[(first + a) * D + j] = total(j);
        for (int j = 0; j < D; ++j) weights[a][j] = t.masses[first + a] / partition * x[a * D + j];
    }
    for (int j = 0; j < D; ++j)
        for (Index c = 0; c < C; ++c) {
            Real pull = pulls[j * C + c];
            for (int a = 0; a < TOGETHER; ++a) pull += weights[a][j] * kept[a * C + c];
            pulls[j * C + c] = pull;
        }
}

template <int D, typename Real>
PER_INSTRUCTION_SET void contrast_anchors(const Contrast<Real>& t, Index begin, Index end, Real* kept, Real* pulls) {
    for (; begin < end; begin += TOGETHER) contrast_together<D>(t, begin, kept, pulls);
}

// Each part has its own pulls, which no other thread writes.
template <int D, typename Real>
void contrast(const Contrast<Real>& t, Index A, Index parts, Real* pulls) {
    const Index groups = A / TOGETHER;
    in_ranges(parts, A * t.C, [&](Index first, Index last) {
        std::vector<Real> kept(TOGETHER * t.C);
        for (Index part = first; part < last; ++part) {
            const Index begin = groups * part / parts, end = groups * (part + 1) / parts;
            contrast_anchors<D>(t, begin * TOGETHER, end * TOGETHER, kept.data(), pulls + part * D * t.C);
        }
    });
}

}  // namespace

// d must be 4, 8 or 16, A a multiple of TOGETHER, and C a multiple of LANES.
#define EXPORT(Real)                                                                                              \
    extern "C" int contrast_##Real(const Real* anchors, const Real* columns, const Real* counts,                 \
                                    const Real* masses, const std::int32_t* excluded, const Real* others,         \
                                    Index A, Index d, Index C, Index parts, Real* partitions, Real* sums,         \
                                    Real* pulls) {                                                                \
        const Contrast<Real> t{anchors, columns, counts, masses, excluded, others, C, partitions, sums};          \
        (d == 4 ? contrast<4, Real> : d == 8 ? contrast<8, Real> : contrast<16, Real>)(t, A, parts, pulls);       \
        return 1;                                                                                                 \
    }

EXPORT(float)
EXPORT(double)
