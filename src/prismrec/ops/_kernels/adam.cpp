// Adam's step for a table in which few rows have a gradient; the gradient of all other rows is zero.

#include <cmath>

#include "common.h"

namespace {

// The weights of a table, their moments and the constants of a step; the arithmetic is that of PyTorch's fused Adam.
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
PER_INSTRUCTION_SET void move_rows(const Adam<Real>& adam, const Real* gradients, const Positions& positions, Real* sum,
                                   Index begin, Index end) {
    const Index d = adam.d;
    for (Index row = begin; row < end; ++row) {
        const Index soon = positions.first[std::min(row + AHEAD, end - 1)], position = positions.first[row];
        if (soon >= 0) fetch_row(gradients + soon * d, d);
        if (position < 0) {
            adam.move(row, nullptr);
            continue;
        }
        const Real* gradient = gradients + position * d;
        if (positions.next[position] >= 0) {
            std::copy(gradient, gradient + d, sum);
            for (Index more = positions.next[position]; more >= 0; more = positions.next[more])
                for (Index j = 0; j < d; ++j) sum[j] += gradients[more * d + j];
            gradient = sum;
        }
        adam.move(row, gradient);
    }
}

template <typename Real>
void move(const Adam<Real>& adam, Index n, const Index* rows, const Real* gradients, Index r) {
    const Positions positions(rows, r, n);
    in_ranges(n, adam.d, [&](Index begin, Index end) {
        std::vector<Real> sum(adam.d);
        move_rows(adam, gradients, positions, sum.data(), begin, end);
    });
}

}  // namespace

#define EXPORT(Real)                                                                                              \
    extern "C" int adam_##Real(Real* weights, Real* means, Real* squares, Index n, Index d, const Index* rows,    \
                               const Real* gradients, Index r, double beta1, double beta2, double epsilon,        \
                               double weight_decay, double step_size, double inverse_root) {                      \
        if (!within(rows, r, n)) return 0;                                                                        \
        const Adam<Real> adam{weights,         means,         squares,       d,                  Real(1 - beta1), \
                              Real(1 - beta2), Real(beta2),   Real(epsilon), Real(weight_decay), Real(step_size), \
                              Real(inverse_root)};                                                                \
        move(adam, n, rows, gradients, r);                                                                        \
        return 1;                                                                                                 \
    }

EXPORT(float)
EXPORT(double)
